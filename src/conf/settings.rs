//! From a configuration file to a [`Config`].
//!
//! The keys are nats-server's where it has them. One that is not known is a
//! warning, so that a file written for nats-server serves here as well; one
//! that would make of this server something it is not, such as a part of a
//! cluster, is an error.

use super::accounts;
use super::listeners;
#[cfg(not(feature = "tls"))]
use super::no_tls as tls;
use super::read::Item;
use super::syntax::{self, World};
#[cfg(feature = "tls")]
use super::tls;
use super::tree::{ConfError, Entry, Place, Value};
use super::users;
use midge_engine::{AccountId, Auth, User};
use midge_server::{Config, HttpConfig};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files larger than this are no configuration.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a file has set.
#[derive(Clone)]
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// What there is to be logged: `debug`, `trace`.
    pub log: LogDetail,
    /// Where it is logged to, and how.
    pub log_to: LogSettings,
    /// The file that has the process id while the server runs.
    pub pid_file: Option<PathBuf>,
    /// The folder of the file that has the addresses while the server runs.
    pub ports_file_dir: Option<PathBuf>,
    /// The folder that streams are kept in, which is made if it is not there.
    #[cfg(feature = "streams")]
    store_dir: Option<PathBuf>,
    /// What was passed over: keys that are not known, each with its place.
    pub warnings: Vec<String>,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogDetail {
    /// What an operator wants to know.
    #[default]
    Plain,
    /// What happens to each connection.
    Debug,
    /// Everything.
    Trace,
}

/// Where the log goes, and what it looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// The file that is logged to, in place of stderr.
    pub file: Option<PathBuf>,
    /// What a line is.
    pub format: LogFormat,
    /// Bytes after which the file is moved away and begun anew.
    pub len_max: Option<u64>,
    /// Files that were moved away of which so many are kept; 0 for all.
    pub kept_max: usize,
}

/// What a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object of JSON.
    Json,
}

/// Reads a configuration file over a configuration.
///
/// # Errors
/// What is wrong, with file and line.
pub fn read_config(path: &Path, config: Config) -> Result<Settings, String> {
    let text = read_file(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let file: Arc<str> = path.display().to_string().into();
    read_text(&text, file, &Machine, config)
}

fn read_text(
    text: &str,
    file: Arc<str>,
    world: &dyn World,
    config: Config,
) -> Result<Settings, String> {
    let settings = syntax::parse(text, file.clone(), world)
        .and_then(|entries| read_entries(&entries, config))
        .map_err(|error| error.to_string())?;
    match settings.config.check() {
        Ok(()) => Ok(settings),
        Err(why) => Err(format!("{file}: {why}")),
    }
}

/// Reads a configuration where there are no other files and no environment.
///
/// # Errors
/// What is wrong, with its line.
pub fn parse_config(text: &str, config: Config) -> Result<Settings, String> {
    struct Nowhere;
    impl World for Nowhere {
        fn read(&self, _: &str, _: &str) -> Result<(String, Arc<str>), String> {
            Err("there are no files".to_owned())
        }

        fn variable(&self, name: &str) -> Option<String> {
            (name == "a").then(|| "1".to_owned())
        }
    }
    read_text(text, "text".into(), &Nowhere, config)
}

/// This machine's files and environment.
struct Machine;

impl World for Machine {
    fn read(&self, path: &str, from: &str) -> Result<(String, Arc<str>), String> {
        let folder = Path::new(from).parent().unwrap_or(Path::new(""));
        let path = folder.join(path);
        Ok((read_file(&path)?, path.display().to_string().into()))
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let said = |error: std::io::Error| error.to_string();
    // A pipe may have no end, or no beginning.
    if !std::fs::metadata(path).map_err(said)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(said)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(said)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err("it is too large for a configuration".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
    // Some editors begin a text with a mark that cannot be seen.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

fn read_entries(entries: &[Entry], config: Config) -> Result<Settings, ConfError> {
    let mut settings = Settings::from(config);
    accounts::check_once(entries)?;
    // The others are told from it.
    let is_system = |entry: &&Entry| {
        let key = entry.key.to_ascii_lowercase();
        matches!(&*key, "system_account" | "system")
    };
    let system = entries.iter().rfind(is_system).map(Item::from);
    if let Some(item) = system {
        accounts::name_system(&mut settings, item)?;
    }
    for entry in entries {
        settings.take(Item::from(entry))?;
    }
    if let Some(item) = system {
        accounts::check_system(entries, item)?;
    }
    tls::settle(&mut settings);
    let open = settings.config.auth.without_password();
    let warnings = open.map(|name| format!("user \"{name}\" has no password: the name lets in"));
    settings.warnings.extend(warnings);
    Ok(settings)
}

impl From<Config> for Settings {
    fn from(config: Config) -> Self {
        Settings {
            config,
            log: LogDetail::Plain,
            log_to: LogSettings::default(),
            pid_file: None,
            ports_file_dir: None,
            #[cfg(feature = "streams")]
            store_dir: None,
            warnings: Vec::new(),
        }
    }
}

impl Settings {
    /// Sets what a key of a file would set, from an option of the command line.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        let place = Place {
            file: "command line".into(),
            line: 1,
        };
        let value = Value::Text(text.to_owned());
        let item = Item {
            name: key,
            value: &value,
            place: &place,
            is_variable: false,
        };
        // A file has a block for these.
        let taken = match key.starts_with("tls") {
            true => tls::option(self, item),
            false => self.take(item),
        };
        taken.map_err(|error| format!("--{}", error.what().replace('_', "-")))
    }

    /// Has one user or token of the command line in place of the file's.
    ///
    /// # Errors
    /// Where the file says more of who may enter than one could stand for.
    pub fn replace_auth(&mut self, auth: Auth) -> Result<(), String> {
        let old = &self.config.auth;
        let is_elsewhere = |user: &Arc<User>| user.account != AccountId::GLOBAL;
        if self.config.accounts.has_others() || old.users.iter().any(is_elsewhere) {
            return Err("a user or a token goes without accounts in the file".to_owned());
        }
        if old.no_auth_user.is_some() || old.maps_certificates {
            let what = "a user or a token goes without no_auth_user and verify_and_map in the file";
            return Err(what.to_owned());
        }
        self.config.auth = auth;
        Ok(())
    }

    /// A key that means nothing here, unless something stands for it elsewhere.
    pub(crate) fn unknown(&mut self, item: Item<'_>) {
        if item.is_variable {
            return;
        }
        let words = format!(
            "{}: \"{}\" is not known and does nothing",
            item.place, item.name
        );
        self.warnings.push(words);
    }

    fn take(&mut self, item: Item<'_>) -> Result<(), ConfError> {
        match item.name.to_ascii_lowercase().as_str() {
            "listen" => (self.config.host, self.config.port) = self.listen(item)?,
            "host" | "net" => self.config.host = item.text()?,
            "port" => self.config.port = port(item)?,
            "http" => self.pages(self.listen(item)?, false),
            "https" => self.pages(self.listen(item)?, true),
            "http_port" | "monitor_port" => self.pages(self.here(port(item)?), false),
            "https_port" => self.pages(self.here(port(item)?), true),
            "tls" => tls::read(self, item)?,
            "allow_non_tls" => self.config.allow_non_tls = item.flag()?,
            "server_name" => self.config.name = item.text()?,
            "debug" if item.flag()? => self.log = self.log.max(LogDetail::Debug),
            "trace" if item.flag()? => self.log = LogDetail::Trace,
            "debug" | "trace" => {}
            "log_file" | "logfile" => self.log_to.file = Some(item.text()?.into()),
            "log_format" => self.log_to.format = log_format(item)?,
            "log_size_limit" | "logfile_size_limit" => {
                self.log_to.len_max = item.limit()?.map(|limit| limit as u64);
            }
            "log_max_num" | "logfile_max_num" => {
                let max = item.number(0, i64::from(u32::MAX))?;
                self.log_to.kept_max = usize::try_from(max).unwrap_or_default();
            }
            "pid_file" | "pidfile" => self.pid_file = Some(item.text()?.into()),
            "ports_file_dir" => self.ports_file_dir = Some(item.text()?.into()),
            "authorization" => users::authorization(self, item)?,
            "no_auth_user" => self.config.auth.no_auth_user = Some(item.text()?),
            "store" => self.keep_in(item)?,
            "jetstream" => self.jetstream(item)?,
            "cluster" | "gateway" | "leafnodes" | "routes" | "websocket" | "mqtt" => {
                let warning = listeners::pass_over(item)?;
                self.warnings.push(warning);
            }
            "accounts" => accounts::accounts(self, item)?,
            "system_account" | "system" => {}
            "operator" | "resolver" | "resolver_preload" => {
                // Passed over, they would let in whom they should not.
                let what = format!("{} is not known yet", item.name);
                return Err(ConfError::new(item.place, what));
            }
            _ => self.limit(item)?,
        }
        Ok(())
    }

    fn limit(&mut self, item: Item<'_>) -> Result<(), ConfError> {
        let config = &mut self.config;
        let limits = &mut config.limits;
        let bytes = || item.limit().map(|limit| limit.unwrap_or(usize::MAX));
        let none_is_zero = || item.limit().map(Option::unwrap_or_default);
        match item.name.to_ascii_lowercase().as_str() {
            "max_payload" => limits.frame.max_payload = bytes()?,
            "no_header_support" => limits.is_headerless = item.flag()?,
            "max_control_line" => limits.frame.max_control_line = bytes()?,
            "memory" => config.memory = item.limit()?,
            "commit_linger" => config.commit_linger = item.duration()?,
            "max_pending" => limits.max_pending = bytes()?,
            "max_connections" | "max_conn" => {
                let max = item.number(-1, i64::MAX)?;
                limits.max_connections = usize::try_from(max).unwrap_or(usize::MAX);
            }
            "max_subscriptions" | "max_subs" => limits.max_subscriptions = none_is_zero()?,
            "max_sub_tokens" | "max_subscription_tokens" | "max_subject_tokens" => {
                limits.max_subject_tokens = none_is_zero()?;
            }
            "ping_interval" => limits.ping_interval = item.duration()?,
            "ping_max" => {
                let max = item.number(0, i64::from(u32::MAX))?;
                limits.ping_max = u32::try_from(max).unwrap_or_default();
            }
            "write_deadline" => config.write_deadline = item.duration()?,
            "lame_duck_duration" => config.lame_duck_duration = item.duration()?,
            "auth_timeout" => limits.auth_timeout = item.duration()?,
            "lame_duck_grace_period" | "lame_duck_grace" => {
                config.lame_duck_grace = item.duration()?
            }
            _ => self.unknown(item),
        }
        Ok(())
    }

    /// Where monitoring pages are served; what is said last holds.
    fn pages(&mut self, (host, port): (String, u16), is_https: bool) {
        self.config.http = Some(HttpConfig { host, port });
        self.config.https = is_https;
    }

    /// This port, where clients are listened for.
    fn here(&self, port: u16) -> (String, u16) {
        (self.config.host.clone(), port)
    }

    /// An address, a port, or both.
    fn listen(&self, item: Item<'_>) -> Result<(String, u16), ConfError> {
        let expected = "a port, or an address and a port such as 127.0.0.1:4222";
        if let Ok(port) = port(item) {
            return Ok(self.here(port));
        }
        let text = item.text()?;
        let (host, digits) = match text.rsplit_once(':') {
            Some((host, digits)) => (host, digits),
            None => return Err(item.wrong(expected)),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = match digits {
            "-1" => 0,
            _ => digits.parse().map_err(|_| item.wrong(expected))?,
        };
        match host {
            "" => Ok(self.here(port)),
            host => Ok((host.to_owned(), port)),
        }
    }

    /// Whether there are streams, and where.
    fn jetstream(&mut self, item: Item<'_>) -> Result<(), ConfError> {
        let wrong = |why: String| ConfError::new(item.place, why);
        match item.is_enabled() {
            Ok(true) => return self.keep_streams(true, None).map_err(wrong),
            Ok(false) => {
                self.keep_none();
                return Ok(());
            }
            Err(_) => {}
        }
        let (mut is_on, mut folder) = (true, None);
        for entry in item.block()? {
            let item = Item::from(entry);
            match entry.key.to_ascii_lowercase().as_str() {
                "store_dir" | "storedir" | "store" => folder = Some(item.text()?.into()),
                "enabled" | "enable" => is_on = item.flag()?,
                "domain" => self.config.domain = domain(item)?,
                "strict" => self.config.is_lenient = !item.flag()?,
                "max_memory_store" | "max_mem_store" | "max_mem" => {
                    self.config.stream_limits.max_memory = item.limit()?.unwrap_or(0) as u64;
                }
                "max_file_store" | "max_file" => {
                    self.config.stream_limits.max_storage = item.limit()?.unwrap_or(0) as u64;
                }
                "limits" => self.stream_limits(item)?,
                "key"
                | "ek"
                | "encryption_key"
                | "prev_key"
                | "prev_ek"
                | "prev_encryption_key"
                | "cipher" => {
                    // Passed over, it would leave open what was to be shut.
                    let what = format!(
                        "{}: what is stored is not encrypted here; leave it out and encrypt the disk",
                        item.name
                    );
                    return Err(ConfError::new(item.place, what));
                }
                _ => self.unknown(item),
            }
        }
        if !is_on {
            self.keep_none();
        }
        self.keep_streams(is_on, folder).map_err(wrong)
    }

    /// What streams and consumers may ask for, in whatever account.
    fn stream_limits(&mut self, item: Item<'_>) -> Result<(), ConfError> {
        for entry in item.block()? {
            let item = Item::from(entry);
            let limits = &mut self.config.stream_limits;
            match entry.key.to_ascii_lowercase().as_str() {
                "max_ack_pending" => limits.max_ack_pending = item.number(0, i64::MAX)?,
                "max_request_batch" => limits.max_request_batch = item.number(0, i64::MAX)?,
                "batch" => self.batch_limits(item)?,
                "duplicate_window" => limits.duplicate_window = item.duration()?.into(),
                // Nothing is kept on several servers.
                "max_ha_assets" => {}
                _ => self.unknown(item),
            }
        }
        Ok(())
    }

    /// What batches may ask for; what is no limit elsewhere is the default here.
    fn batch_limits(&mut self, item: Item<'_>) -> Result<(), ConfError> {
        for entry in item.block()? {
            let item = Item::from(entry);
            let limits = &mut self.config.stream_limits.batches;
            match entry.key.to_ascii_lowercase().as_str() {
                "timeout" => {
                    let timeout = item.duration()?;
                    limits.timeout = if timeout.is_zero() {
                        limits.timeout
                    } else {
                        timeout
                    };
                }
                "max_msgs" => {
                    let max = item.limit()?.map(|max| max as u64);
                    limits.max_messages = max.unwrap_or(limits.max_messages);
                }
                "max_inflight_per_stream" => {
                    let max = item.limit()?.unwrap_or(limits.max_inflight_per_stream);
                    limits.max_inflight_per_stream = max;
                }
                _ => self.unknown(item),
            }
        }
        Ok(())
    }

    /// Keeps streams, in `jetstream` in this folder, if that is wanted.
    ///
    /// # Errors
    /// Where the program was built without them.
    #[cfg(feature = "streams")]
    pub fn keep_streams(&mut self, is_on: bool, folder: Option<PathBuf>) -> Result<(), String> {
        if let Some(folder) = folder {
            self.store_dir = Some(folder.join("jetstream"));
        }
        let folder = match &self.store_dir {
            Some(folder) => folder.clone(),
            None if self.config.store.is_some() => return Ok(()),
            None => std::env::temp_dir().join("nats").join("jetstream"),
        };
        // The command line may name the folder of what the file has turned on.
        if is_on || self.config.store.is_some() {
            self.config.store = Some(folder.join(midge_server::STORE_DEFAULT));
            self.store_dir = Some(folder);
        }
        Ok(())
    }

    #[cfg(feature = "streams")]
    fn keep_none(&mut self) {
        self.config.store = None;
    }

    #[cfg(feature = "streams")]
    fn keep_in(&mut self, item: Item<'_>) -> Result<(), ConfError> {
        self.config.store = Some(item.text()?.into());
        Ok(())
    }

    /// Makes the folder that streams are kept in, if one was named.
    ///
    /// # Errors
    /// Why it cannot be made.
    #[cfg(feature = "streams")]
    pub fn make_folder(&self) -> Result<Option<&Path>, String> {
        let named = self.store_dir.as_ref();
        let Some(folder) = named.filter(|_| self.config.store.is_some()) else {
            return Ok(None);
        };
        match std::fs::create_dir_all(folder) {
            Ok(()) => Ok(Some(folder)),
            Err(error) => Err(format!("cannot make {}: {error}", folder.display())),
        }
    }

    /// There are none in this program.
    ///
    /// # Errors
    /// If they are wanted.
    #[cfg(not(feature = "streams"))]
    pub fn keep_streams(&mut self, is_on: bool, _: Option<PathBuf>) -> Result<(), String> {
        match is_on {
            true => Err("this program was built without streams".to_owned()),
            false => Ok(()),
        }
    }

    #[cfg(not(feature = "streams"))]
    fn keep_none(&mut self) {}

    #[cfg(not(feature = "streams"))]
    fn keep_in(&mut self, item: Item<'_>) -> Result<(), ConfError> {
        self.keep_streams(true, None)
            .map_err(|why| ConfError::new(item.place, why))
    }

    /// There is nothing to be kept.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "streams"))]
    pub fn make_folder(&self) -> Result<Option<&Path>, String> {
        Ok(None)
    }
}

fn log_format(item: Item<'_>) -> Result<LogFormat, ConfError> {
    match item.text().unwrap_or_default().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(item.wrong("text or json")),
    }
}

/// The name of a domain: a token of a subject.
fn domain(item: Item<'_>) -> Result<String, ConfError> {
    let name = item.text()?;
    let is_token = midge_proto::is_literal(name.as_bytes())
        && !midge_proto::has_blank(name.as_bytes())
        && !name.contains('.');
    // `$JS.API` is the API of a server without one.
    match is_token && name != "API" {
        true => Ok(name),
        false => Err(item.wrong("one token of a subject, and not API")),
    }
}

/// A port; -1 is any that is free.
fn port(item: Item<'_>) -> Result<u16, ConfError> {
    let port = item.number(-1, i64::from(u16::MAX))?;
    Ok(u16::try_from(port).unwrap_or(0))
}
