//! Accounts, as a file says them: `accounts { … }`.
//!
//! They may name one another before they are named themselves, so what they
//! take from one another is settled when all of them are known.

use super::exchange::{self, Offer, Wish};
use super::read::Item;
use super::settings::Settings;
use super::tree::{ConfError, Entry, Value};
use super::users;
use midge_engine::{ACCOUNTS_MAX, AccountConfig, AccountId, Accounts};
use std::sync::Arc;

/// What the accounts of a file offer and want.
#[derive(Default)]
struct Exchange<'a> {
    offers: Vec<Offer>,
    wishes: Vec<Wish<'a>>,
}

/// Reads `accounts`: a block with a block for each, or a list of names.
pub(crate) fn accounts(settings: &mut Settings, item: Item<'_>) -> Result<(), ConfError> {
    let Ok(entries) = item.block() else {
        for item in item.list() {
            let name = item.text()?;
            place_for(&mut settings.config.accounts, item, &name)?;
        }
        close_global(settings);
        return Ok(());
    };
    let mut named: Vec<(AccountId, Item<'_>)> = Vec::new();
    for entry in entries {
        let item = Item::from(entry);
        let id = place_for(&mut settings.config.accounts, item, &entry.key)?;
        if named.iter().any(|(other, _)| *other == id) {
            let what = format!("account \"{}\" is there twice", entry.key);
            return Err(ConfError::new(item.place, what));
        }
        named.push((id, item));
    }
    close_global(settings);
    let mut exchange = Exchange::default();
    for (id, item) in named {
        read_account(settings, id, item, &mut exchange)?;
    }
    let accounts = &mut settings.config.accounts;
    accounts.imports = exchange::settle(accounts, &exchange.offers, &exchange.wishes)?;
    Ok(())
}

/// Which account is the system's, as it has to be known before the others are
/// read.
pub(crate) fn name_system(settings: &mut Settings, item: Item<'_>) -> Result<(), ConfError> {
    let name = item.text()?;
    let accounts = &mut settings.config.accounts;
    if accounts.named(&name) == Some(AccountId::GLOBAL) {
        return Err(item.wrong("the name of an account for those who look after the server"));
    }
    accounts[AccountId::SYSTEM].name = name;
    Ok(())
}

/// The system account has to be among the accounts, unless it has its usual
/// name.
pub(crate) fn check_system(entries: &[Entry], item: Item<'_>) -> Result<(), ConfError> {
    let name = item.text()?;
    let is_named = |entry: &Entry| match &entry.value {
        Value::Block(accounts) => accounts.iter().any(|account| account.key == name),
        _ => Item::from(entry)
            .list()
            .iter()
            .any(|item| item.text().is_ok_and(|text| text == name)),
    };
    if name == Accounts::SYSTEM || blocks(entries).any(is_named) {
        return Ok(());
    }
    Err(ConfError::new(
        item.place,
        format!("there is no account \"{name}\""),
    ))
}

/// Accounts are said in one place: another would undo what the first exchange.
pub(crate) fn check_once(entries: &[Entry]) -> Result<(), ConfError> {
    match blocks(entries).nth(1) {
        Some(second) => Err(ConfError::new(&second.place, "accounts are there twice")),
        None => Ok(()),
    }
}

fn blocks(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    let is_one = |entry: &&Entry| entry.key.eq_ignore_ascii_case("accounts");
    entries.iter().filter(is_one)
}

/// Where an account of this name is, or is made.
fn place_for(accounts: &mut Accounts, item: Item<'_>, name: &str) -> Result<AccountId, ConfError> {
    match accounts.named(name) {
        Some(AccountId::GLOBAL) => {
            let what = format!("\"{name}\" is there without being named: for those users in none");
            Err(ConfError::new(item.place, what))
        }
        Some(id) => Ok(id),
        None if name.is_empty() || name.contains(|char: char| char.is_whitespace()) => Err(
            ConfError::new(item.place, "an account has a name without blanks"),
        ),
        None => accounts.add(AccountConfig::new(name)).ok_or_else(|| {
            let what = format!("there are more than {ACCOUNTS_MAX} accounts");
            ConfError::new(item.place, what)
        }),
    }
}

/// Where there are others, `$G` keeps no streams.
fn close_global(settings: &mut Settings) {
    let accounts = &mut settings.config.accounts;
    if accounts.has_others() {
        accounts[AccountId::GLOBAL].streams = None;
    }
}

fn read_account<'a>(
    settings: &mut Settings,
    id: AccountId,
    item: Item<'a>,
    exchange: &mut Exchange<'a>,
) -> Result<(), ConfError> {
    let mut users = Vec::new();
    let mut permissions = None;
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "users" => {
                for item in item.list() {
                    let mut user = users::read_user(item)?;
                    user.account = id;
                    users::check_new(&settings.config.auth.users, &users, &user, item)?;
                    users.push(user);
                }
            }
            "default_permissions" | "permissions" | "permission" => {
                permissions = Some(Arc::new(users::read_permissions(item)?));
            }
            "jetstream" => jetstream(settings, id, item)?,
            "limits" => limits(settings, id, item)?,
            "exports" => {
                for item in item.list() {
                    let offer = exchange::read_offer(settings, id, item)?;
                    exchange.offers.push(offer);
                }
            }
            "imports" => {
                for item in item.list() {
                    let wish = exchange::read_wish(settings, id, item)?;
                    exchange.wishes.push(wish);
                }
            }
            _ => settings.unknown(item),
        }
    }
    for user in &mut users {
        if user.permissions.is_none() {
            user.permissions.clone_from(&permissions);
        }
    }
    let users = users.into_iter().map(Arc::new);
    settings.config.auth.users.extend(users);
    Ok(())
}

/// Whether an account may have streams, and what they may take.
fn jetstream(settings: &mut Settings, id: AccountId, item: Item<'_>) -> Result<(), ConfError> {
    let mut limits = midge_api::AccountLimits::default();
    let mut is_on = true;
    if matches!(item.value, Value::Text(_)) {
        is_on = item.is_enabled()?;
    } else {
        for entry in item.block()? {
            let item = Item::from(entry);
            let number = || item.number(-1, i64::MAX);
            match entry.key.to_ascii_lowercase().as_str() {
                "max_memory" | "max_mem" | "mem" | "memory" => limits.max_memory = number()?,
                "max_store" | "max_file" | "max_disk" | "store" | "disk" => {
                    limits.max_storage = number()?;
                }
                "max_streams" | "streams" => limits.max_streams = number()?,
                "max_consumers" | "consumers" => limits.max_consumers = number()?,
                "max_ack_pending" => limits.max_ack_pending = number()?,
                "memory_max_stream_bytes" | "mem_max_stream_bytes" => {
                    limits.memory_max_stream_bytes = number()?;
                }
                "store_max_stream_bytes" | "disk_max_stream_bytes" => {
                    limits.storage_max_stream_bytes = number()?;
                }
                "max_bytes_required" | "max_stream_bytes" | "max_bytes" => {
                    limits.max_bytes_required = item.flag()?;
                }
                _ => settings.unknown(item),
            }
        }
    }
    if is_on && id == AccountId::SYSTEM {
        let what = "the system account keeps no streams";
        return Err(ConfError::new(item.place, what));
    }
    settings.config.accounts[id].streams = is_on.then_some(limits);
    Ok(())
}

/// What the clients of an account may ask for.
fn limits(settings: &mut Settings, id: AccountId, item: Item<'_>) -> Result<(), ConfError> {
    let mut limits = midge_engine::ClientLimits::default();
    for entry in item.block()? {
        let item = Item::from(entry);
        let number = || {
            let number = item.number(-1, i64::MAX)?;
            Ok(usize::try_from(number).ok())
        };
        match entry.key.to_ascii_lowercase().as_str() {
            "max_connections" | "max_conn" => limits.max_connections = number()?,
            "max_subscriptions" | "max_subs" => limits.max_subscriptions = number()?,
            "max_payload" | "max_pay" => limits.max_payload = number()?,
            // There are no such connections.
            "max_leafnodes" | "max_leafs" => {}
            _ => settings.unknown(item),
        }
    }
    settings.config.accounts[id].limits = limits;
    Ok(())
}
