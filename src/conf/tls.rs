//! TLS, as a file says it: `tls { … }`.

use super::read::Item;
use super::settings::Settings;
use super::tree::ConfError;
use midge_server::{HandshakeFirst, TlsConfig, TlsVersion, has_curve, has_suite};

/// `tls { … }`.
pub(crate) fn read(settings: &mut Settings, item: Item<'_>) -> Result<(), ConfError> {
    let mut tls = TlsConfig::default();
    let entries = item.block()?;
    if entries.is_empty() {
        // In order where clients may do without; see `settle`.
        settings.config.tls = Some(tls);
        return Ok(());
    }
    for entry in entries {
        take(settings, &mut tls, Item::from(entry))?;
    }
    if tls.cert_file.as_os_str().is_empty() || tls.key_file.as_os_str().is_empty() {
        let what = "tls takes a cert_file and a key_file";
        return Err(ConfError::new(item.place, what));
    }
    if tls.verify && tls.ca_file.is_none() {
        let what = "tls: verify takes a ca_file, which clients' certificates come from";
        return Err(ConfError::new(item.place, what));
    }
    settings.config.tls = Some(tls);
    Ok(())
}

/// Once all is read: where `tls` says nothing and clients may do without it, they
/// do.
pub(crate) fn settle(settings: &mut Settings) {
    let says_nothing = |tls: &TlsConfig| tls.cert_file.as_os_str().is_empty();
    if settings.config.allow_non_tls && settings.config.tls.as_ref().is_some_and(says_nothing) {
        settings.config.tls = None;
        let words = "tls: there is no certificate, so nobody is encrypted to";
        settings.warnings.push(words.to_owned());
    }
}

/// An option of the command line, which goes before what a file says.
pub(crate) fn option(settings: &mut Settings, item: Item<'_>) -> Result<(), ConfError> {
    let tls = settings.config.tls.get_or_insert_default();
    match item.name {
        "tlscert" => tls.cert_file = item.text()?.into(),
        "tlskey" => tls.key_file = item.text()?.into(),
        "tlscacert" => tls.ca_file = Some(item.text()?.into()),
        "tlsverify" => tls.verify = item.flag()?,
        // That there is to be TLS is all it says.
        _ => {}
    }
    Ok(())
}

fn take(settings: &mut Settings, tls: &mut TlsConfig, item: Item<'_>) -> Result<(), ConfError> {
    match item.name.to_ascii_lowercase().as_str() {
        "cert_file" => tls.cert_file = item.text()?.into(),
        "key_file" => tls.key_file = item.text()?.into(),
        "ca_file" => tls.ca_file = Some(item.text()?.into()),
        "verify" => tls.verify |= item.flag()?,
        "verify_and_map" => {
            settings.config.auth.maps_certificates = item.flag()?;
            tls.verify |= item.flag()?;
        }
        "timeout" => tls.timeout = item.duration()?,
        "min_version" => tls.min_version = version(item)?,
        "handshake_first" | "first" | "immediate" => tls.first = first(item)?,
        "cipher_suites" => tls.cipher_suites = known(settings, item, has_suite)?,
        "curve_preferences" => tls.curve_preferences = known(settings, item, has_curve)?,
        "pinned_certs" => {
            let texts: Result<_, _> = item.list().iter().map(Item::text).collect();
            tls.pinned_certs = texts?;
        }
        // It is about connecting to others, which is not done here.
        "insecure" if !item.flag()? => {}
        _ => settings.unknown(item),
    }
    Ok(())
}

fn version(item: Item<'_>) -> Result<TlsVersion, ConfError> {
    match item.text()?.as_str() {
        "1.2" => Ok(TlsVersion::V12),
        "1.3" => Ok(TlsVersion::V13),
        _ => Err(item.wrong("1.2 or 1.3")),
    }
}

fn first(item: Item<'_>) -> Result<HandshakeFirst, ConfError> {
    if item.text()?.eq_ignore_ascii_case("auto") {
        return Ok(HandshakeFirst::auto());
    }
    match (item.flag(), item.duration()) {
        (Ok(true), _) => Ok(HandshakeFirst::Always),
        (Ok(false), _) => Ok(HandshakeFirst::Never),
        (_, Ok(time)) if time.is_zero() => Ok(HandshakeFirst::Never),
        (_, Ok(time)) => Ok(HandshakeFirst::Within(time)),
        _ => Err(item.wrong("true, false, auto or a duration")),
    }
}

/// The names of a list that mean something here; the others are warned of.
fn known(
    settings: &mut Settings,
    item: Item<'_>,
    is_known: fn(&str) -> bool,
) -> Result<Vec<String>, ConfError> {
    let mut names = Vec::new();
    for item in item.list() {
        let name = item.text()?;
        if is_known(&name) {
            names.push(name);
        } else {
            let (place, key) = (item.place, item.name);
            settings
                .warnings
                .push(format!("{place}: {key}: \"{name}\" is not there"));
        }
    }
    if names.is_empty() {
        return Err(item.wrong("one at least that is there"));
    }
    Ok(names)
}
