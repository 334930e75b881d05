//! A configuration that is read again while the server runs.
//!
//! Whoever started the server gave it something that reads ([`ReadAgain`]);
//! the helper thread does, so that neither a slow disk nor a long file holds
//! anybody up. What comes back is whole and checked, and then everything in it
//! changes in one step of the loop, or, where it is wrong, nothing does.

use crate::config::Config;
use crate::event_loop::EventLoop;
use crate::helper::Task;
use crate::lame_duck::LameDuck;
use crate::tls::Handshakes;
use std::sync::Arc;

/// Reads and checks a configuration, on a thread that has time.
pub type ReadAgain = Arc<dyn Fn() -> Result<Reading, String> + Send + Sync>;

/// A configuration that was read again.
pub struct Reading {
    /// What the server is to go by.
    pub config: Config,
    /// Changes what is not the server's, such as the level of the log, once
    /// all is known to be in order. If that cannot be, nothing is changed.
    pub adopt: Box<dyn FnOnce() -> Result<(), String>>,
}

/// Why a file with other accounts is refused.
const ACCOUNTS_STAY: &str = "accounts cannot go, change places or be switched between with and \
     without streams while the server runs; new ones come behind the others, without streams";

/// A configuration, and what it names.
pub(crate) struct Fresh {
    config: Config,
    handshakes: Handshakes,
}

impl Fresh {
    /// Reads what there is to be read again, beside the loop.
    ///
    /// # Errors
    /// Why nothing can change; then nothing has.
    pub(crate) fn read(old: Config) -> Result<Box<Fresh>, String> {
        let Some(read) = &old.reload else {
            // It came from no file; certificates did.
            let handshakes = Handshakes::new(&old)?;
            let config = old;
            return Ok(Box::new(Fresh { config, handshakes }));
        };
        let Reading { config, adopt } = read()?;
        let handshakes = Handshakes::new(&config)?;
        if !old.accounts.may_become(&config.accounts) {
            return Err(ACCOUNTS_STAY.to_owned());
        }
        adopt()?;
        Ok(Box::new(Fresh { config, handshakes }))
    }
}

impl EventLoop {
    /// Has the configuration read.
    pub(crate) fn reload(&mut self) {
        if self.config.reload.is_none() && !self.handshakes.is_on() {
            log::info!("nothing to reload: no configuration file");
            return;
        }
        log::info!("Reloading the configuration");
        if let Err(error) = self.helper.give(Task::Reload(self.config.clone())) {
            log::error!("cannot start the thread that reads the configuration: {error}");
        }
    }

    /// Goes by a configuration that has been read, if it could be.
    pub(crate) fn reloaded(&mut self, read: Result<Box<Fresh>, String>) {
        let fresh = match read {
            Ok(fresh) => *fresh,
            Err(why) => {
                log::error!("Reload failed, nothing has changed: {why}");
                return;
            }
        };
        let (mut new, handshakes) = (fresh.config, fresh.handshakes);
        self.warn_of_what_stays(&new, &handshakes);
        if self.handshakes.is_on() != handshakes.is_on() {
            // Certificates can only say who somebody is where they are shown.
            new.auth.maps_certificates = self.config.auth.maps_certificates;
        }
        if self.handshakes.is_on() && handshakes.is_on() {
            self.handshakes.adopt(handshakes);
            #[cfg(feature = "tls")]
            if let Some(tls) = &new.tls {
                self.engine.set_tls_verify(tls.verify);
            }
        }
        let now = self.connections.now;
        let rules = (new.limits.clone(), new.auth.clone(), new.accounts.clone());
        let done = self.engine.reload(now, rules, &mut self.connections);
        if self.stop_due.is_none() && !self.engine.info().lame_duck {
            self.lame_duck = LameDuck::new(new.lame_duck_grace, new.lame_duck_duration);
        }
        self.monitor.reloaded(&new);
        // Whatever cannot change is to be warned of again the next time.
        let old = std::mem::replace(&mut *self.config, new);
        self.config.keep_fixed(old);
        log::info!(
            "Reloaded: {} clients let go, {} subscriptions ended",
            done.closed,
            done.unsubscribed
        );
    }

    fn warn_of_what_stays(&self, new: &Config, handshakes: &Handshakes) {
        let old = &self.config;
        let http = |config: &Config| {
            config
                .http
                .as_ref()
                .map(|http| (http.host.clone(), http.port))
        };
        warn_if("listen", (&old.host, old.port) != (&new.host, new.port));
        let is_moved = http(old) != http(new) || old.https != new.https;
        warn_if("http", is_moved);
        warn_if("tls", self.handshakes.is_on() != handshakes.is_on());
        warn_if("allow_non_tls", old.allow_non_tls != new.allow_non_tls);
        warn_if("memory", old.memory != new.memory);
        warn_if("server_name", old.name != new.name);
        warn_if("commit_linger", old.commit_linger != new.commit_linger);
        #[cfg(feature = "streams")]
        {
            warn_if("store", old.store != new.store);
            let streams = |of: &Config| (of.is_lenient, of.stream_limits);
            let differs = old.domain != new.domain || streams(old) != streams(new);
            warn_if("jetstream", differs);
        }
    }
}

fn warn_if(setting: &str, differs: bool) {
    if differs {
        log::warn!("{setting} cannot change while the server runs: it stays until a restart");
    }
}

impl Config {
    /// Takes over what cannot change.
    fn keep_fixed(&mut self, old: Config) {
        self.host = old.host;
        self.port = old.port;
        self.http = old.http;
        self.name = old.name;
        self.https = old.https;
        self.memory = old.memory;
        self.commit_linger = old.commit_linger;
        self.allow_non_tls = old.allow_non_tls;
        #[cfg(feature = "tls")]
        if self.tls.is_some() != old.tls.is_some() {
            self.tls = old.tls;
        }
        #[cfg(feature = "streams")]
        {
            self.store = old.store;
            self.domain = old.domain;
            self.is_lenient = old.is_lenient;
            self.stream_limits = old.stream_limits;
        }
        self.handle_signals = old.handle_signals;
        self.reload = old.reload;
    }
}
