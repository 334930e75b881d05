//! What accounts take from one another, as a file says it: `exports [ … ]` and
//! `imports [ … ]`.

use super::read::Item;
use super::settings::Settings;
use super::tree::{ConfError, Place};
use midge_engine::{AccountId, Accounts, Answers, Import, ImportKind, Mapping};

/// Imports of all accounts together. Each is compared with all others.
const IMPORTS_MAX: usize = 1000;

/// What an account offers.
pub(crate) struct Offer {
    account: AccountId,
    is_service: bool,
    subject: String,
    /// To these alone, if that is said.
    to: Option<Vec<AccountId>>,
    answers: Answers,
    allows_trace: bool,
}

/// What an account wants of another.
pub(crate) struct Wish<'a> {
    account: AccountId,
    is_service: bool,
    exporter: String,
    subject: String,
    /// What it is called where it is wanted, if otherwise.
    to: Option<String>,
    allows_trace: bool,
    place: &'a Place,
}

impl Wish<'_> {
    fn kind(&self) -> &'static str {
        match self.is_service {
            true => "service",
            false => "stream",
        }
    }

    fn error(&self, what: String) -> ConfError {
        ConfError::new(self.place, what)
    }
}

fn subject(item: Item<'_>) -> Result<String, ConfError> {
    let text = item.text()?;
    match midge_proto::is_valid_filter(text.as_bytes()) {
        true => Ok(text),
        false => Err(item.wrong("a subject")),
    }
}

/// Which of both it is; that it is one, and one alone.
fn note_kind(kind: &mut Option<bool>, item: Item<'_>, is_service: bool) -> Result<(), ConfError> {
    if kind.replace(is_service).is_some() {
        let what = "it is a stream or a service, and one of them";
        return Err(ConfError::new(item.place, what));
    }
    Ok(())
}

/// Reads one of `exports`.
pub(crate) fn read_offer(
    settings: &mut Settings,
    account: AccountId,
    item: Item<'_>,
) -> Result<Offer, ConfError> {
    let (mut kind, mut name, mut to) = (None, String::new(), None);
    let (mut answers, mut allows_trace) = (None, false);
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            key @ ("stream" | "service") => {
                note_kind(&mut kind, item, key == "service")?;
                name = subject(item)?;
            }
            "accounts" => {
                let named = |item: Item<'_>| {
                    let name = item.text()?;
                    let id = settings.config.accounts.named(&name);
                    id.ok_or_else(|| no_account(item.place, &name))
                };
                let named: Result<Vec<_>, _> = item.list().into_iter().map(named).collect();
                to = Some(named?);
            }
            "response" | "response_type" => {
                answers = Some(match item.text()?.to_ascii_lowercase().as_str() {
                    "single" | "singleton" => Answers::One,
                    "stream" | "chunked" => Answers::Several,
                    _ => return Err(item.wrong("singleton, stream or chunked")),
                });
            }
            "allow_trace" => allows_trace = item.flag()?,
            _ => settings.unknown(item),
        }
    }
    let is_service = kind.ok_or_else(|| item.wrong("a stream or a service"))?;
    if answers.is_some() && !is_service {
        let what = "a stream is answered by nobody; response_type is for services";
        return Err(ConfError::new(item.place, what));
    }
    Ok(Offer {
        account,
        is_service,
        subject: name,
        to,
        answers: answers.unwrap_or(Answers::One),
        allows_trace,
    })
}

/// Reads one of `imports`.
pub(crate) fn read_wish<'a>(
    settings: &mut Settings,
    account: AccountId,
    item: Item<'a>,
) -> Result<Wish<'a>, ConfError> {
    let (mut kind, mut from) = (None, None);
    let (mut to, mut prefix) = (None, None);
    let mut allows_trace = false;
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            key @ ("stream" | "service") => {
                note_kind(&mut kind, item, key == "service")?;
                from = Some(read_source(settings, item)?);
            }
            "to" => to = Some(item.text()?),
            "prefix" => prefix = Some(subject(item)?),
            // Whether the service is told more of who asks.
            "share" => drop(item.flag()?),
            "allow_trace" => allows_trace = item.flag()?,
            _ => settings.unknown(item),
        }
    }
    let (Some(is_service), Some((exporter, subject))) = (kind, from) else {
        return Err(item.wrong("a stream or a service"));
    };
    let to = match (to, prefix) {
        (Some(_), Some(_)) => {
            let what = "\"to\" and \"prefix\" both say what it is called; one is enough";
            return Err(ConfError::new(item.place, what));
        }
        (None, Some(prefix)) if !is_service => {
            Some(format!("{}.{subject}", prefix.trim_end_matches('.')))
        }
        (to, _) => to,
    };
    Ok(Wish {
        account,
        is_service,
        exporter,
        subject,
        to,
        allows_trace,
        place: item.place,
    })
}

/// `{ account: A, subject: "a.>" }`
fn read_source(settings: &mut Settings, item: Item<'_>) -> Result<(String, String), ConfError> {
    let (mut account, mut name) = (None, None);
    for entry in item.block()? {
        let item = Item::from(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            "account" => account = Some(item.text()?),
            "subject" => name = Some(subject(item)?),
            _ => settings.unknown(item),
        }
    }
    match (account, name) {
        (Some(account), Some(name)) => Ok((account, name)),
        _ => Err(item.wrong("an account and a subject")),
    }
}

fn no_account(place: &Place, name: &str) -> ConfError {
    ConfError::new(place, format!("there is no account \"{name}\""))
}

/// Finds for each wish the offer that it goes by.
pub(crate) fn settle(
    accounts: &Accounts,
    offers: &[Offer],
    wishes: &[Wish<'_>],
) -> Result<Vec<Import>, ConfError> {
    let mut settled: Vec<Import> = Vec::new();
    for wish in wishes {
        if settled.len() >= IMPORTS_MAX {
            return Err(wish.error(format!("there are more than {IMPORTS_MAX} imports")));
        }
        settled.push(grant(accounts, offers, wish)?);
    }
    let ends: Vec<Ends<'_>> = wishes.iter().zip(&settled).map(Ends::of).collect();
    for (place, wish) in wishes.iter().enumerate() {
        if leads_back(&ends, place) {
            let (kind, subject) = (wish.kind(), &wish.subject);
            return Err(wish.error(format!("the import of {kind} \"{subject}\" forms a cycle")));
        }
    }
    Ok(settled)
}

fn grant(accounts: &Accounts, offers: &[Offer], wish: &Wish<'_>) -> Result<Import, ConfError> {
    let exporter = accounts.named(&wish.exporter);
    let exporter = exporter.ok_or_else(|| no_account(wish.place, &wish.exporter))?;
    let is_meant = |offer: &&Offer| {
        offer.account == exporter
            && offer.is_service == wish.is_service
            && midge_proto::is_subset(wish.subject.as_bytes(), offer.subject.as_bytes())
    };
    let allows = |offer: &&Offer| {
        let to = offer.to.as_ref();
        to.is_none_or(|accounts| accounts.contains(&wish.account))
    };
    let (kind, subject) = (wish.kind(), &wish.subject);
    let Some(offer) = offers.iter().filter(is_meant).find(allows) else {
        return Err(wish.error(format!(
            "account \"{}\" does not export {kind} \"{subject}\" to \"{}\"",
            wish.exporter, accounts[wish.account].name
        )));
    };
    let to = wish.to.as_ref().unwrap_or(subject);
    let mapped = match wish.is_service {
        true => Mapping::inverse(subject, to).map(|(mapping, filter)| {
            let kind = ImportKind::Service(offer.answers);
            (kind, mapping, filter)
        }),
        false => {
            Mapping::new(subject, to).map(|mapping| (ImportKind::Stream, mapping, subject.clone()))
        }
    };
    let Some((kind, mapping, filter)) = mapped else {
        return Err(wish.error(format!(
            "\"{to}\" is no other name for \"{subject}\": it has to have its wildcards"
        )));
    };
    Ok(Import {
        kind,
        importer: wish.account,
        exporter,
        filter: filter.into_bytes().into(),
        mapping,
        // Whoever gets the messages decides.
        allows_trace: match wish.is_service {
            true => offer.allows_trace,
            false => wish.allows_trace,
        },
    })
}

/// Where the messages of an import come from and where they go.
struct Ends<'a> {
    is_service: bool,
    from: (AccountId, Vec<u8>),
    to: (AccountId, &'a [u8]),
}

impl<'a> Ends<'a> {
    fn of((wish, import): (&'a Wish<'_>, &'a Import)) -> Ends<'a> {
        if wish.is_service {
            return Ends {
                is_service: true,
                from: (import.importer, import.filter.to_vec()),
                to: (import.exporter, wish.subject.as_bytes()),
            };
        }
        let to = wish.to.as_ref().unwrap_or(&wish.subject);
        Ends {
            is_service: false,
            from: (import.exporter, import.filter.to_vec()),
            to: (import.importer, to.as_bytes()),
        }
    }

    /// Whether what comes out here may go in there.
    fn leads_to(&self, other: &Ends<'_>) -> bool {
        self.is_service == other.is_service
            && self.to.0 == other.from.0
            && midge_proto::subjects_collide(self.to.1, &other.from.1)
    }
}

/// Whether a message that goes in at one import may come to it again.
fn leads_back(ends: &[Ends<'_>], start: usize) -> bool {
    let mut seen = vec![false; ends.len()];
    let mut todo = vec![start];
    while let Some(at) = todo.pop() {
        for (next, end) in ends.iter().enumerate() {
            if !ends[at].leads_to(end) {
                continue;
            }
            if next == start {
                return true;
            }
            if !std::mem::replace(&mut seen[next], true) {
                todo.push(next);
            }
        }
    }
    false
}
