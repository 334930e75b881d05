//! A whole connection to a whole server: whatever one client sends, in two
//! pieces, its connection ends in order and another client is still served.

#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_server::{Config, Server};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

/// Longer than any answer takes; a client that waits this long has found
/// something.
const PATIENCE: Duration = Duration::from_secs(10);

static SERVER: OnceLock<SocketAddr> = OnceLock::new();

thread_local! {
    static WITNESS: RefCell<Option<TcpStream>> = const { RefCell::new(None) };
}

fn address() -> SocketAddr {
    *SERVER.get_or_init(|| {
        let store = format!("midge-fuzz-{}.redb", std::process::id());
        let mut config = Config {
            port: 0,
            store: Some(std::env::temp_dir().join(store)),
            ..Config::default()
        };
        config.limits.frame.max_payload = 4096;
        config.limits.frame.max_control_line = 256;
        let server = Server::bind(config).expect("a free port");
        let address = server.client_address();
        std::thread::spawn(move || server.run());
        address
    })
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect(address()).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("nodelay");
    stream
}

/// A client of long standing gets its answer.
fn ask_witness() {
    WITNESS.with_borrow_mut(|witness| {
        let stream = witness.get_or_insert_with(connect);
        stream.write_all(b"PING\r\n").expect("the server reads");
        let mut heard = Vec::new();
        while !heard.ends_with(b"PONG\r\n") {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).expect("an answer in time");
            assert!(count > 0, "the witness was cut");
            heard.extend_from_slice(&buffer[..count]);
        }
    });
}

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else {
        return;
    };
    let (front, back) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let mut client = connect();
    let _ = client.write_all(front);
    let _ = client.write_all(back);
    let _ = client.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    match client.read_to_end(&mut heard) {
        Ok(_) => assert!(heard.starts_with(b"INFO {")),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    ask_witness();
});
