//! Who may enter, as a file says it: `authorization { … }`.

use super::read::Item;
use super::settings::Settings;
use super::tree::ConfError;
use midge_engine::{AccountId, Auth, Permissions, Responses, Rule, Rules, Secret, User};
use std::sync::Arc;

/// Users that a file may name: more than a small machine has clients.
const USERS_MAX: usize = 10_000;

/// Where `no_auth_user` is looked for once all users are known.
pub(crate) fn authorization(settings: &mut Settings, item: Item<'_>) -> Result<(), ConfError> {
    let (mut user, mut pass) = (None, None);
    let mut permissions = None;
    let mut users = Vec::new();
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "user" | "username" => user = Some(item.text()?),
            "pass" | "password" => pass = Some(secret(item)?),
            "token" => users.push(User {
                name: String::new(),
                secret: Secret::Token(secret(item)?),
                account: AccountId::GLOBAL,
                permissions: None,
            }),
            "timeout" => settings.config.limits.auth_timeout = item.duration()?,
            "users" => {
                for item in item.list() {
                    users.push(read_user(settings, item)?);
                }
            }
            "default_permissions" | "permissions" | "permission" => {
                permissions = Some(Arc::new(read_permissions(settings, item)?));
            }
            _ => settings.unknown(item),
        }
    }
    match (user, pass) {
        (Some(name), Some(pass)) => users.push(User {
            name,
            secret: Secret::Password(pass),
            account: AccountId::GLOBAL,
            permissions: None,
        }),
        (None, None) => {}
        _ => return Err(ConfError::new(item.place, "user and password go together")),
    }
    if users.len() > USERS_MAX {
        let what = format!("there are more than {USERS_MAX} users");
        return Err(ConfError::new(item.place, what));
    }
    for user in &mut users {
        if user.permissions.is_none() {
            user.permissions.clone_from(&permissions);
        }
    }
    settings.config.auth.users = users;
    Ok(())
}

/// Passwords that are hashes have to be compared as such.
fn secret(item: Item<'_>) -> Result<String, ConfError> {
    let text = item.text()?;
    if ["$2a$", "$2b$", "$2y$"]
        .iter()
        .any(|kind| text.starts_with(kind))
    {
        let what = format!("{} is a bcrypt hash, which is not known yet", item.name);
        return Err(ConfError::new(item.place, what));
    }
    Ok(text)
}

fn read_user(settings: &mut Settings, item: Item<'_>) -> Result<User, ConfError> {
    let (mut name, mut pass) = (None, None);
    let mut permissions = None;
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "user" | "username" => name = Some(item.text()?),
            "pass" | "password" => pass = Some(secret(item)?),
            "permissions" | "permission" => {
                permissions = Some(Arc::new(read_permissions(settings, item)?));
            }
            // Whoever has a key would be let in by nobody.
            "nkey" => return Err(ConfError::new(item.place, "nkeys are not known yet")),
            _ => settings.unknown(item),
        }
    }
    let (Some(name), Some(pass)) = (name, pass) else {
        return Err(ConfError::new(
            item.place,
            "a user takes a user and a password",
        ));
    };
    Ok(User {
        name,
        secret: Secret::Password(pass),
        account: AccountId::GLOBAL,
        permissions,
    })
}

pub(crate) fn read_permissions(
    settings: &mut Settings,
    item: Item<'_>,
) -> Result<Permissions, ConfError> {
    let mut permissions = Permissions::default();
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "publish" | "pub" | "import" => permissions.publish = rules(settings, item)?,
            "subscribe" | "sub" | "export" => permissions.subscribe = rules(settings, item)?,
            "allow_responses" | "allow_response" => {
                permissions.responses = responses(settings, item)?;
            }
            _ => settings.unknown(item),
        }
    }
    // Who may answer and is told nothing else may publish answers alone.
    let publish = &mut permissions.publish;
    if permissions.responses.is_some() && publish.allow.is_none() && publish.deny.is_empty() {
        publish.allow = Some(Vec::new());
    }
    Ok(permissions)
}

/// A subject, a list of them, or a block of lists.
fn rules(settings: &mut Settings, item: Item<'_>) -> Result<Rules, ConfError> {
    let Ok(entries) = item.block() else {
        return Ok(Rules {
            allow: Some(subjects(item)?),
            deny: Vec::new(),
        });
    };
    let mut rules = Rules::default();
    for entry in entries {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "allow" => rules.allow = Some(subjects(item)?),
            "deny" => rules.deny = subjects(item)?,
            _ => settings.unknown(item),
        }
    }
    Ok(rules)
}

fn subjects(item: Item<'_>) -> Result<Vec<Rule>, ConfError> {
    let read = |item: Item<'_>| {
        let rule = Rule::parse(&item.text()?);
        rule.ok_or_else(|| item.wrong("a subject, perhaps with a queue group behind it"))
    };
    item.list().into_iter().map(read).collect()
}

fn responses(settings: &mut Settings, item: Item<'_>) -> Result<Option<Responses>, ConfError> {
    if let Ok(flag) = item.flag() {
        return Ok(flag.then(Responses::default));
    }
    let mut responses = Responses::default();
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "max" | "max_msgs" => {
                let max = item.number(-1, i64::from(u32::MAX))?;
                responses.max = match max {
                    0 => Responses::default().max,
                    max => u32::try_from(max).ok(),
                };
            }
            "expires" | "ttl" => responses.expires = Some(item.duration()?),
            _ => settings.unknown(item),
        }
    }
    Ok(Some(responses))
}

/// Checks what names users once all of them are known.
pub(crate) fn check(auth: &Auth) -> Result<(), String> {
    match &auth.no_auth_user {
        Some(name) if !auth.users.iter().any(|user| user.name == *name) => {
            Err(format!("no_auth_user \"{name}\" is none of the users"))
        }
        _ => Ok(()),
    }
}
