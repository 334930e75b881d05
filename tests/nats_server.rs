//! midge under the name of nats-server, as launchers start that.

use crate::util::{PATIENCE, Server, midge};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A folder with a link of that name in it; it is gone with the test.
struct Stage(PathBuf);

impl Stage {
    fn new(name: &str) -> Stage {
        let name = format!("midge-stand-in-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder");
        let program = Path::new(&midge()).canonicalize().expect("midge is there");
        symlink(program, folder.join("nats-server")).expect("a link");
        Stage(folder)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.0.join("nats-server"));
        command.args(args).current_dir(&self.0);
        command
    }

    fn start(&self, args: &[&str]) -> Server {
        let args = [&["-p", "-1", "-a", "127.0.0.1"], args].concat();
        Server::spawn(self.command(&args))
    }

    fn output(&self, args: &[&str]) -> (String, Option<i32>) {
        let output = self.command(args).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        (
            String::from_utf8_lossy(&said).into_owned(),
            output.status.code(),
        )
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn it_leaves_the_signs_that_launchers_look_for() {
    let stage = Stage::new("signs");
    let mut server = stage.start(&[
        "-m",
        "-1",
        "--ports_file_dir",
        ".",
        "-P",
        "pid",
        "-n",
        "joe",
    ]);
    let pid = fs::read_to_string(stage.0.join("pid")).expect("it is there");
    assert_eq!(pid, server.pid().to_string());
    let file = stage.0.join(format!("nats-server_{pid}.ports"));
    let ports: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&file).expect("it is there")).expect("JSON");
    assert_eq!(ports["nats"][0], format!("nats://{}", server.address));
    let http = server.http.expect("a monitoring port");
    assert_eq!(ports["monitoring"][0], format!("http://{http}"));
    assert_eq!(server.json("/varz")["server_name"], "joe");
    let info = server.connect().info;
    assert!(
        !info.contains("jetstream"),
        "streams are to be asked for: {info}"
    );
    let target = format!("stop={}", stage.0.join("pid").display());
    assert_eq!(stage.output(&["--signal", &target]).1, Some(0));
    assert!(server.wait().success());
    assert!(!file.exists() && !stage.0.join("pid").exists());
}

/// Who connects with TLS needs the name that the certificate is for.
#[test]
fn an_address_is_logged_as_it_was_given() {
    let stage = Stage::new("address");
    let server = stage.start(&["-a", "localhost"]);
    let port = server.address.port();
    server.wait_log(&format!("client connections on localhost:{port}"));
    let server = stage.start(&[]);
    server.wait_log(&format!("client connections on {}", server.address));
}

#[cfg(feature = "streams")]
#[test]
fn streams_come_with_a_flag_or_a_configuration() {
    let stage = Stage::new("streams");
    let server = stage.start(&["-js", "-sd", "here/there"]);
    assert!(server.connect().info.contains("\"jetstream\":true"));
    server.wait_log("Store Directory: \"here/there/jetstream\"");
    assert!(stage.0.join("here/there/jetstream/midge.redb").exists());
    fs::write(
        stage.0.join("conf"),
        "jetstream { store_dir: \"conf-dir\" }",
    )
    .expect("written");
    let server = stage.start(&["--config=conf"]);
    assert!(server.connect().info.contains("\"jetstream\":true"));
    assert!(stage.0.join("conf-dir/jetstream/midge.redb").exists());
    drop(server);
    // The command line names the folder of streams that the file turns on.
    let server = stage.start(&["--config=conf", "-sd", "named"]);
    server.wait_log("Store Directory: \"named/jetstream\"");
    assert!(stage.0.join("named/jetstream/midge.redb").exists());
    fs::write(stage.0.join("conf"), "jetstream: disabled").expect("written");
    let server = stage.start(&["--config=conf", "-sd", "none"]);
    assert!(!server.connect().info.contains("\"jetstream\""));
}

#[test]
fn the_log_can_go_to_a_file_that_is_opened_again() {
    let stage = Stage::new("log");
    let log = stage.0.join("log");
    let args = ["-p", "-1", "-a", "127.0.0.1", "-l", "log", "-P", "pid"];
    let mut child = stage.command(&args).spawn().expect("it starts");
    let wait_for = |words: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !fs::read_to_string(&log).is_ok_and(|text| text.contains(words)) {
            assert!(Instant::now() < deadline, "{words:?} is not in the log");
            std::thread::yield_now();
        }
    };
    wait_for("Server is ready");
    fs::rename(&log, stage.0.join("old")).expect("moved");
    let pid = child.id();
    for signal in ["reopen", "stop"] {
        assert_eq!(
            stage.output(&["-sl", &format!("{signal}={pid}")]).1,
            Some(0)
        );
    }
    assert!(child.wait().expect("waited").success());
    wait_for("Server stopped");
}

#[test]
fn what_it_cannot_do_is_said() {
    let stage = Stage::new("refusals");
    let (said, code) = stage.output(&["-v"]);
    assert!(
        said.starts_with("nats-server: v") && code == Some(0),
        "{said}"
    );
    for (args, wanted) in [
        (
            &["--cluster", "nats://127.0.0.1:1", "-p", "1"][..],
            "midge is one server",
        ),
        (&["-routes=nats://127.0.0.1:1"], "midge is one server"),
        (&["--nonsense"], "flag provided but not defined: -nonsense"),
        (&["-c", "missing.conf"], "missing.conf"),
        (&["--signal", "stop=x"], "x: "),
    ] {
        let (said, code) = stage.output(args);
        assert!(said.contains(wanted) && code == Some(2), "{args:?}: {said}");
    }
    let server = stage.start(&[]);
    let (said, code) = stage.output(&["-a", "127.0.0.1", "-p", &server.address.port().to_string()]);
    assert!(said.contains("[FTL]") && code == Some(1), "{said}");
}
