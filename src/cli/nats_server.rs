//! midge under the name `nats-server`.
//!
//! What starts nats-server, a test harness, a script, a container, looks for
//! its command line and its signs of life. Started under that name midge has
//! them: flags with one dash or two, their values behind a blank or `=`, all
//! addresses instead of this machine's alone, and streams only where they are
//! asked for.

use crate::failure::{EXIT_USAGE, finish};
use crate::serve::{ReadSettings, base_config, check_config, serve};
use midge_conf::{LogDetail, Settings, read_config};
use midge_server::{Auth, Config, HttpConfig};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The name that makes the difference.
const NAME: &str = "nats-server";

/// The address that is listened on if nothing else is said.
const HOST_DEFAULT: &str = "0.0.0.0";

/// What a flag is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Port,
    Address,
    HttpPort,
    Config,
    Check,
    Streams,
    StoreDir,
    User,
    Pass,
    Token,
    Name,
    LogFile,
    PidFile,
    PortsDir,
    Signal,
    Debug,
    Trace,
    DebugTrace,
    Version,
    Help,
    HttpsPort,
    Tls,
    TlsCert,
    TlsKey,
    TlsVerify,
    TlsCaCert,
    Cluster,
    /// Means nothing here, and takes a value.
    Ignored,
    /// Means nothing here.
    IgnoredSwitch,
}

/// The names of each flag, without dashes.
const FLAGS: [(Flag, &str); 29] = [
    (Flag::Port, "p port"),
    (Flag::Address, "a addr net"),
    (Flag::HttpPort, "m http_port"),
    (Flag::Config, "c config"),
    (Flag::Check, "t"),
    (Flag::Streams, "js jetstream"),
    (Flag::StoreDir, "sd store_dir"),
    (Flag::User, "user"),
    (Flag::Pass, "pass"),
    (Flag::Token, "auth"),
    (Flag::Name, "n name server_name"),
    (Flag::LogFile, "l log"),
    (Flag::PidFile, "P pid"),
    (Flag::PortsDir, "ports_file_dir"),
    (Flag::Signal, "sl signal"),
    (Flag::Debug, "D debug"),
    (Flag::Trace, "V trace"),
    (Flag::DebugTrace, "DV DVV VV"),
    (Flag::Version, "v version"),
    (Flag::Help, "h help"),
    (
        Flag::Cluster,
        "cluster cluster_listen cluster_name routes cluster_advertise connect_retries no_advertise",
    ),
    (Flag::HttpsPort, "ms https_port"),
    (Flag::Tls, "tls"),
    (Flag::TlsCert, "tlscert"),
    (Flag::TlsKey, "tlskey"),
    (Flag::TlsVerify, "tlsverify"),
    (Flag::TlsCaCert, "tlscacert"),
    (Flag::Ignored, "profile client_advertise log_size_limit"),
    (Flag::IgnoredSwitch, "T logtime s syslog"),
];

impl Flag {
    fn takes_value(self) -> bool {
        !matches!(
            self,
            Flag::Check
                | Flag::Streams
                | Flag::Debug
                | Flag::Trace
                | Flag::DebugTrace
                | Flag::Version
                | Flag::Help
                | Flag::Tls
                | Flag::TlsVerify
                | Flag::Cluster
                | Flag::IgnoredSwitch
        )
    }
}

/// The value of a switch that is off.
const OFF: &str = "false";

/// A flag as it was given.
struct Given<'a> {
    flag: Flag,
    name: &'a str,
    value: &'a str,
}

/// Whether the program was started under that name.
pub(crate) fn is_meant(program: &str) -> bool {
    Path::new(program)
        .file_stem()
        .is_some_and(|name| name == NAME)
}

/// Does what nats-server would do with these arguments.
pub(crate) fn run(args: &[&str]) -> ExitCode {
    let done = parse(args).and_then(|given| act(&given, args));
    done.unwrap_or_else(|why| {
        eprintln!("{NAME}: {why}");
        ExitCode::from(EXIT_USAGE)
    })
}

fn parse<'a>(args: &[&'a str]) -> Result<Vec<Given<'a>>, String> {
    let mut given = Vec::new();
    let mut rest = args.iter();
    while let Some(&arg) = rest.next() {
        let word = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'));
        let Some(word) = word.filter(|word| !word.is_empty()) else {
            return Err(format!("unrecognized command: {arg:?}"));
        };
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let is_named = |names: &str| names.split(' ').any(|known| known == name);
        let found = FLAGS.iter().find(|(_, names)| is_named(names));
        let Some(&(flag, _)) = found else {
            return Err(format!("flag provided but not defined: -{name}"));
        };
        if flag == Flag::Cluster {
            // Whatever follows, this is refused.
            return Ok(vec![Given {
                flag,
                name,
                value: "",
            }]);
        }
        let value = match value {
            Some(value) if !flag.takes_value() => {
                if !switch(name, value)? {
                    given.retain(|given: &Given<'_>| given.flag != flag);
                    // It may be on in the file, and off comes before on.
                    if matches!(flag, Flag::Debug | Flag::Trace | Flag::DebugTrace) {
                        let value = OFF;
                        given.insert(0, Given { flag, name, value });
                    }
                    continue;
                }
                value
            }
            Some(value) => value,
            None if flag.takes_value() => rest
                .next()
                .ok_or_else(|| format!("flag needs an argument: -{name}"))?,
            None => "",
        };
        given.push(Given { flag, name, value });
    }
    Ok(given)
}

fn act(given: &[Given<'_>], args: &[&str]) -> Result<ExitCode, String> {
    let of = |flag: Flag| given.iter().rev().find(|given| given.flag == flag);
    if of(Flag::Version).is_some() {
        println!("{NAME}: v{}", midge_proto::NATS_VERSION);
        return Ok(ExitCode::SUCCESS);
    }
    if of(Flag::Help).is_some() {
        println!("{}", help());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(signal) = of(Flag::Signal) {
        return send_signal(signal.value);
    }
    if let Some(Given { name, .. }) = of(Flag::Cluster) {
        return Err(format!(
            "--{name}: midge is one server and no part of a cluster; leave it out"
        ));
    }
    let settings = settings(given)?;
    if of(Flag::Check).is_some() {
        settings.config.check_files()?;
        eprintln!("{NAME}: configuration file is valid");
        return Ok(ExitCode::SUCCESS);
    }
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    let read: ReadSettings = Box::new(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self::settings(&parse(&args)?)
    });
    let read = of(Flag::Config).map(|_| read);
    Ok(finish(serve(settings, read)))
}

fn settings(given: &[Given<'_>]) -> Result<Settings, String> {
    let config = Config {
        host: HOST_DEFAULT.to_owned(),
        #[cfg(feature = "streams")]
        store: None,
        ..base_config()
    };
    let file = given.iter().rev().find(|given| given.flag == Flag::Config);
    let mut settings = match file {
        Some(file) => read_config(Path::new(file.value), config)?,
        None => Settings::from(config),
    };
    let (mut user, mut pass, mut token) = (None, None, None);
    let (mut has_streams, mut folder) = (false, None);
    let mut http_port = None;
    for Given { flag, name, value } in given {
        let config = &mut settings.config;
        let path = || PathBuf::from(value);
        match flag {
            Flag::Port => config.port = port(name, value)?,
            Flag::Address => config.host = (*value).to_owned(),
            Flag::HttpPort => http_port = Some((port(name, value)?, false)),
            Flag::HttpsPort => http_port = Some((port(name, value)?, true)),
            // They go by the names of the options of midge serve.
            Flag::Tls | Flag::TlsVerify => settings.set(name, "true")?,
            Flag::TlsCert | Flag::TlsKey | Flag::TlsCaCert => settings.set(name, value)?,
            Flag::Streams => has_streams = true,
            Flag::StoreDir => folder = Some(path()),
            Flag::User => user = Some((*value).to_owned()),
            Flag::Pass => pass = Some((*value).to_owned()),
            Flag::Token => token = Some((*value).to_owned()),
            Flag::Name => config.name = (*value).to_owned(),
            Flag::LogFile => settings.log_to.file = Some(path()),
            Flag::PidFile => settings.pid_file = Some(path()),
            Flag::PortsDir => settings.ports_file_dir = Some(path()),
            Flag::Debug | Flag::Trace | Flag::DebugTrace if *value == OFF => {
                settings.log = without(*flag, settings.log);
            }
            Flag::Debug => settings.log = settings.log.max(LogDetail::Debug),
            Flag::Trace | Flag::DebugTrace => settings.log = LogDetail::Trace,
            _ => {}
        }
    }
    let auth = match (user, pass) {
        (Some(user), Some(pass)) => Some(Auth::user(user, pass)),
        // As there: a user without a password is a token.
        (Some(token), None) => Some(Auth::token(token)),
        (None, _) => token.map(Auth::token),
    };
    if let Some(auth) = auth {
        settings.replace_auth(auth)?;
    }
    if let Some((port, is_https)) = http_port {
        let host = settings.config.host.clone();
        settings.config.https = is_https;
        settings.config.http = Some(HttpConfig { host, port });
    }
    settings.keep_streams(has_streams, folder)?;
    check_config(&settings.config)?;
    Ok(settings)
}

/// What the log is to show when a switch of its level is off.
fn without(flag: Flag, log: LogDetail) -> LogDetail {
    match (flag, log) {
        (Flag::Debug, LogDetail::Debug) | (Flag::DebugTrace, _) => LogDetail::Plain,
        (Flag::Trace, LogDetail::Trace) => LogDetail::Debug,
        _ => log,
    }
}

/// Whether a switch that has a value is on, as Go writes it.
fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("invalid boolean value {value:?} for -{name}")),
    }
}

/// A port; -1 is any that is free.
fn port(name: &str, value: &str) -> Result<u16, String> {
    match value {
        "-1" => Ok(0),
        _ => value
            .parse()
            .map_err(|_| format!("invalid value {value:?} for flag -{name}")),
    }
}

/// Tells a running server something: `COMMAND=PID` or `COMMAND=PIDFILE`, where
/// the flag's own `=` was taken already.
fn send_signal(words: &str) -> Result<ExitCode, String> {
    let Some((command, target)) = words.split_once('=') else {
        return Err("--signal takes COMMAND=PID".to_owned());
    };
    let signal = match command {
        "stop" | "term" => Signal::TERM,
        "quit" => Signal::INT,
        "ldm" => Signal::USR2,
        "reload" => Signal::HUP,
        "reopen" => Signal::USR1,
        _ => return Err(format!("unknown signal \"{command}\"")),
    };
    let pid = match target.parse::<i64>() {
        Ok(_) => process(target),
        Err(_) => std::fs::read_to_string(target)
            .map_err(|error| format!("{target}: {error}"))
            .map(|text| process(text.trim()))?,
    };
    let pid = pid.ok_or_else(|| format!("{target}: that is no process id"))?;
    match kill_process(pid, signal) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(format!(
            "no server took the signal at process {}: {error}",
            pid.as_raw_nonzero()
        )),
    }
}

/// The process of this id. To `kill` 0 and what is negative are many at once.
fn process(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok().filter(|pid| *pid > 0)?)
}

fn help() -> String {
    let mut text = String::from("midge, started as nats-server. The flags it takes:\n");
    for (flag, names) in FLAGS {
        if matches!(flag, Flag::Cluster | Flag::Ignored | Flag::IgnoredSwitch) {
            continue;
        }
        let dash = |name: &str| match name.len() {
            1 => format!("-{name}"),
            _ => format!("--{name}"),
        };
        let names: Vec<String> = names.split(' ').map(dash).collect();
        text.push_str("    ");
        text.push_str(&names.join(", "));
        text.push_str(if flag.takes_value() { " VALUE\n" } else { "\n" });
    }
    text.push_str("midge --help, under its own name, has the rest.");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Settings, String> {
        parse(args).and_then(|given| settings(&given))
    }

    #[test]
    fn flags_are_written_in_many_ways() {
        for args in [
            &["-p", "5", "-a", "127.0.0.1", "-m", "-1", "-D"][..],
            &[
                "--port",
                "5",
                "--addr",
                "127.0.0.1",
                "--http_port",
                "-1",
                "--debug",
            ],
            &["-port=5", "--net=127.0.0.1", "-http_port=-1", "--debug"],
        ] {
            let settings = read(args).expect("known");
            let Config {
                host, port, http, ..
            } = settings.config;
            assert_eq!((host.as_str(), port), ("127.0.0.1", 5));
            assert_eq!(
                http.map(|http| (http.host, http.port)),
                Some(("127.0.0.1".into(), 0))
            );
            assert_eq!(settings.log, LogDetail::Debug);
        }
        let settings = read(&["-DV"]).expect("known");
        assert_eq!(settings.config.host, HOST_DEFAULT);
        assert_eq!(settings.log, LogDetail::Trace);
    }

    #[test]
    fn what_is_no_flag_is_said() {
        for (args, wanted) in [
            (&["-x"][..], "flag provided but not defined: -x"),
            (&["-p"], "flag needs an argument: -p"),
            (&["-p", "x"], "invalid value \"x\" for flag -p"),
            (&["start"], "unrecognized command"),
        ] {
            let said = read(args).err().unwrap_or_default();
            assert!(said.contains(wanted), "{args:?}: {said}");
        }
    }

    #[test]
    fn switches_are_on_or_off() {
        for (args, wanted) in [
            (&["-D=true"][..], LogDetail::Debug),
            (&["-D=false"], LogDetail::Plain),
            (&["-D", "-DV", "--DV=0"], LogDetail::Debug),
            (&["-D=f", "-D"], LogDetail::Debug),
        ] {
            assert_eq!(read(args).expect("known").log, wanted, "{args:?}");
        }
        let place = std::env::temp_dir().join(format!("midge-off-{}", std::process::id()));
        let path = place.to_str().expect("text");
        for (text, args, wanted) in [
            ("debug: true", &["-D=false"][..], LogDetail::Plain),
            ("debug: true", &["-V=false"], LogDetail::Debug),
            ("trace: true", &["-D=false"], LogDetail::Trace),
            ("trace: true", &["-V=false"], LogDetail::Debug),
            ("trace: true", &["-DV=false"], LogDetail::Plain),
            ("trace: true", &["-D", "-DV=false"], LogDetail::Debug),
        ] {
            std::fs::write(&place, text).expect("written");
            let log = read(&[&["-c", path], args].concat()).expect("known").log;
            assert_eq!(log, wanted, "{text} {args:?}");
        }
        std::fs::remove_file(&place).expect("it is there");
        let said = read(&["-js=no"]).err().unwrap_or_default();
        assert_eq!(said, "invalid boolean value \"no\" for -js");
    }

    #[test]
    fn one_process_is_told() {
        for (text, wanted) in [
            ("1", Some(1)),
            ("0", None),
            ("-1", None),
            ("4294967295", None),
            ("1 2", None),
            ("", None),
        ] {
            assert_eq!(process(text).map(Pid::as_raw_pid), wanted, "{text}");
        }
        for target in ["stop=0", "stop=-1"] {
            let said = send_signal(target).err().unwrap_or_default();
            assert!(said.contains("no process id"), "{target}: {said}");
        }
    }

    #[test]
    fn nothing_to_show_is_no_secret() {
        for args in [
            &["--auth="][..],
            &["--user", ""],
            &["--user", "", "--pass", ""],
            &["--user", "", "--pass", "p"],
            &["--user", "u", "--pass", ""],
        ] {
            let said = read(args).err().unwrap_or_default();
            assert!(said.contains("is empty"), "{args:?}: {said}");
        }
        for args in [
            &["--auth=t"][..],
            &["--user", "t"],
            &["--user=u", "--pass=p"],
        ] {
            let config = read(args).expect("known").config;
            assert!(config.auth.is_required(), "{args:?}");
        }
    }

    #[test]
    fn the_name_decides() {
        for (program, wanted) in [
            ("nats-server", true),
            ("/usr/bin/nats-server", true),
            ("nats-server.exe", true),
            ("midge", false),
            ("/opt/nats-server/midge", false),
        ] {
            assert_eq!(is_meant(program), wanted, "{program}");
        }
    }

    #[cfg(feature = "streams")]
    #[test]
    fn streams_are_kept_where_they_are_asked_for() {
        assert_eq!(read(&[]).expect("known").config.store, None);
        assert_eq!(read(&["-sd", "/d"]).expect("known").config.store, None);
        let store = read(&["-js", "-sd", "/d"]).expect("known").config.store;
        assert_eq!(store, Some("/d/jetstream/midge.redb".into()));
        assert!(read(&["-js"]).expect("known").config.store.is_some());
    }
}
