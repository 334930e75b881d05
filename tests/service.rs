//! What a service manager hears of the server.

use crate::util::{PATIENCE, Server, midge};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

/// What systemd listens on, in a folder that goes with it.
struct Manager {
    socket: UnixDatagram,
    path: std::path::PathBuf,
}

impl Manager {
    fn new(name: &str) -> Self {
        let name = format!("midge-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, path }
    }

    fn hear(&self) -> String {
        let mut buffer = [0; 1024];
        let count = self
            .socket
            .recv(&mut buffer)
            .expect("the server says something");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    /// A server that was started by this.
    fn start(&self, environment: &[(&str, &str)]) -> Server {
        let mut command = Command::new(midge());
        command.args(["--port", "0"]);
        #[cfg(feature = "streams")]
        command.arg("--no-store");
        command.env("NOTIFY_SOCKET", &self.path);
        command.envs(environment.iter().copied());
        Server::spawn(command)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn a_service_manager_is_told_when_clients_are_accepted_and_when_no_longer() {
    let manager = Manager::new("notify");
    let mut server = manager.start(&[]);
    let ready = format!("READY=1\nSTATUS=serving clients on {}", server.address);
    assert_eq!(manager.hear(), ready);
    server.client().sync();
    server.signal("USR2");
    assert_eq!(manager.hear(), "STATUS=lame duck mode: clients are let go");
    server.signal("TERM");
    let stopping = manager.hear();
    assert!(stopping.starts_with("STOPPING=1\n"), "{stopping}");
    assert!(server.wait().success());
}

#[test]
fn a_watchdog_hears_from_the_loop_again_and_again() {
    let manager = Manager::new("watchdog");
    let _server = manager.start(&[("WATCHDOG_USEC", "300000")]);
    assert!(manager.hear().starts_with("READY=1\n"));
    for _ in 0..4 {
        assert_eq!(manager.hear(), "WATCHDOG=1");
    }
}
