//! Who may enter, as a file says it: `authorization { … }`.

use super::read::Item;
use super::settings::Settings;
use super::tree::ConfError;
use midge_engine::{AccountId, Permissions, PublicKey, Responses, Rule, Rules, Secret, User};
use std::sync::Arc;

/// Users that a file may name: more than a small machine has clients.
const USERS_MAX: usize = 10_000;

/// Kinds of connections that nats-server knows, of which this server has the
/// first.
const CONNECTION_TYPES: [&str; 7] = [
    "STANDARD",
    "WEBSOCKET",
    "LEAFNODE",
    "LEAFNODE_WS",
    "MQTT",
    "MQTT_WS",
    "IN_PROCESS",
];

/// Where `no_auth_user` is looked for once all users are known.
pub(crate) fn authorization(settings: &mut Settings, item: Item<'_>) -> Result<(), ConfError> {
    let whole = item.place;
    let (mut name, mut pass, mut token) = (None, None, None);
    let mut permissions = None;
    let mut users: Option<Vec<User>> = None;
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "user" | "username" => name = Some(shown(item)?),
            "pass" | "password" => pass = Some(item.text()?),
            "token" => token = Some(shown(item)?),
            "timeout" => settings.config.limits.auth_timeout = item.duration()?,
            "users" => {
                let read = |item| read_user(item);
                let read: Result<_, _> = item.list().into_iter().map(read).collect();
                users = Some(read?);
            }
            "default_permissions" | "permissions" | "permission" => {
                permissions = Some(Arc::new(read_permissions(item)?));
            }
            "auth_callout" | "auth_hook" => {
                // Passed over, it would have the wrong ones in.
                let what = format!("{}: midge asks nobody else who may enter", item.name);
                return Err(ConfError::new(item.place, what));
            }
            _ => item.refuse_misspelt()?,
        }
    }
    let one = match (name, pass, token) {
        (Some(name), Some(pass), None) => Some(User::new(name, Secret::Password(pass.into()))),
        (None, None, Some(token)) => Some(User::new(String::new(), Secret::Token(token.into()))),
        (None, None, None) => None,
        (.., Some(_)) => {
            return Err(ConfError::new(
                whole,
                "a token goes without user and password",
            ));
        }
        (.., None) => return Err(ConfError::new(whole, "user and password go together")),
    };
    let mut users = match (one, users) {
        (Some(_), Some(_)) => {
            let what = "users go without a token, a user and a password beside them";
            return Err(ConfError::new(whole, what));
        }
        (one, users) => users.unwrap_or_else(|| Vec::from_iter(one)),
    };
    if users.len() > USERS_MAX {
        let what = format!("there are more than {USERS_MAX} users");
        return Err(ConfError::new(whole, what));
    }
    for user in &mut users {
        if user.permissions.is_none() {
            user.permissions.clone_from(&permissions);
        }
    }
    let all = &mut settings.config.auth.users;
    all.retain(|user| user.account != AccountId::GLOBAL);
    all.extend(users.into_iter().map(Arc::new));
    Ok(())
}

/// Something to be shown, of which nothing would let everybody in.
fn shown(item: Item<'_>) -> Result<String, ConfError> {
    let text = item.text()?;
    match text.is_empty() {
        true => Err(ConfError::new(
            item.place,
            format!("{} is empty", item.name),
        )),
        false => Ok(text),
    }
}

pub(crate) fn read_user(item: Item<'_>) -> Result<User, ConfError> {
    let whole = item.place;
    let (mut name, mut pass, mut key) = (None, None, None);
    let mut user = User::new(String::new(), Secret::None);
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "user" | "username" => name = Some(shown(item)?),
            "pass" | "password" => pass = Some(item.text()?),
            "nkey" => key = Some((item.text()?, nkey(item)?)),
            "permissions" | "permission" => {
                user.permissions = Some(Arc::new(read_permissions(item)?));
            }
            "max_connections" | "max_conn" => {
                user.max_connections = item.limit()?.unwrap_or_default();
            }
            "allowed_connection_types" | "connection_types" | "clients" => {
                user.is_shut_out = !includes_ours(item)?;
            }
            _ => item.refuse_misspelt()?,
        }
    }
    (user.name, user.secret) = match (name, pass, key) {
        (None, None, Some((name, key))) => (name, Secret::Key(key)),
        (.., Some(_)) => {
            return Err(ConfError::new(
                whole,
                "a user with an nkey takes no user and no password",
            ));
        }
        (Some(name), Some(pass), None) => (name, Secret::Password(pass.into())),
        // One who enters by the name, or whose clients are known otherwise.
        (Some(name), None, None) => (name, Secret::None),
        (None, ..) => return Err(ConfError::new(whole, "a user takes a user or an nkey")),
    };
    Ok(user)
}

fn nkey(item: Item<'_>) -> Result<PublicKey, ConfError> {
    PublicKey::parse(&item.text()?).ok_or_else(|| {
        // Without the value: it may be the secret half.
        let what = format!(
            "{} takes the public key of a user, U and 55 letters and digits",
            item.name
        );
        ConfError::new(item.place, what)
    })
}

/// Whether ordinary connections are among these kinds.
fn includes_ours(item: Item<'_>) -> Result<bool, ConfError> {
    let mut is_ours = false;
    for item in item.list() {
        let kind = item.text()?.to_ascii_uppercase();
        match CONNECTION_TYPES.iter().position(|known| *known == kind) {
            Some(place) => is_ours |= place == 0,
            None => return Err(item.wrong("kinds of connections, such as STANDARD")),
        }
    }
    Ok(is_ours)
}

pub(crate) fn read_permissions(item: Item<'_>) -> Result<Permissions, ConfError> {
    let mut permissions = Permissions::default();
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "publish" | "pub" | "import" => permissions.publish = rules(item)?,
            "subscribe" | "sub" | "export" => permissions.subscribe = rules(item)?,
            "allow_responses" | "allow_response" => {
                permissions.responses = responses(item)?;
            }
            _ => item.refuse_misspelt()?,
        }
    }
    // Who may answer and is told of nothing else may publish answers alone.
    let publish = &mut permissions.publish;
    if permissions.responses.is_some() && publish.allow.is_none() {
        publish.allow = Some(Vec::new());
    }
    Ok(permissions)
}

/// A subject, a list of them, or a block of lists.
fn rules(item: Item<'_>) -> Result<Rules, ConfError> {
    let Ok(entries) = item.block() else {
        return Ok(Rules {
            allow: allowed(item)?,
            deny: Vec::new(),
        });
    };
    let mut rules = Rules::default();
    for entry in entries {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "allow" => rules.allow = allowed(item)?,
            "deny" => rules.deny = subjects(item)?,
            _ => item.refuse_misspelt()?,
        }
    }
    Ok(rules)
}

/// What is allowed alone. An empty list says nothing, in nats-server too.
fn allowed(item: Item<'_>) -> Result<Option<Vec<Rule>>, ConfError> {
    Ok(Some(subjects(item)?).filter(|rules| !rules.is_empty()))
}

fn subjects(item: Item<'_>) -> Result<Vec<Rule>, ConfError> {
    let read = |item: Item<'_>| {
        let rule = Rule::parse(&item.text()?);
        rule.ok_or_else(|| item.wrong("a subject, perhaps with a queue group behind it"))
    };
    item.list().into_iter().map(read).collect()
}

fn responses(item: Item<'_>) -> Result<Option<Responses>, ConfError> {
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
            _ => item.refuse_misspelt()?,
        }
    }
    Ok(Some(responses))
}

/// A user of an account has to be a new one.
pub(crate) fn check_new(
    all: &[Arc<User>],
    own: &[User],
    user: &User,
    item: Item<'_>,
) -> Result<(), ConfError> {
    let others = all.iter().map(|other| &**other).chain(own);
    if others.into_iter().any(|other| other.name == user.name) {
        let what = format!("there is a user \"{}\" already", user.name);
        return Err(ConfError::new(item.place, what));
    }
    if all.len() + own.len() >= USERS_MAX {
        let what = format!("there are more than {USERS_MAX} users");
        return Err(ConfError::new(item.place, what));
    }
    Ok(())
}
