//! How clients prove who they are, and what those get who cannot.

use crate::util::{CONNECT, Client, File, PATIENCE, Server};
use bcrypt::Version;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const VIOLATION: &str = "-ERR 'Authorization Violation'\r\n";
const THROTTLED: &str = "-ERR 'Connection throttling is active. Please try again later.'\r\n";

/// A hash that takes about a millisecond, or twice as long for each step.
fn hash(password: &str, cost: u32, version: Version) -> String {
    let parts = bcrypt::hash_with_result(password, cost).expect("hashed");
    parts.format_for_version(version)
}

fn server(text: &str) -> (Server, File) {
    let file = File::new("entry", text);
    let server = Server::start_with(&["--config", file.path(), "--http-port", "0"]);
    (server, file)
}

/// What a client hears that shows this, up to a PONG or the end.
fn heard(server: &Server, json: &str) -> String {
    let mut client = server.connect();
    client.send(format!("CONNECT {{\"verbose\":false,{json}}}\r\nPING\r\n"));
    let line = client.line();
    if line != "PONG" {
        client.expect_end("");
    }
    format!("{line}\r\n")
}

/// Letters of base 32, as keys are written in.
fn base32(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
    let letter = |group: usize| {
        let value = (0..5).fold(0, |value, at| value << 1 | bit(group * 5 + at));
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(value)] as char
    };
    (0..bytes.len() * 8 / 5).map(letter).collect()
}

fn base64(bytes: &[u8], last: &[u8; 2]) -> String {
    let mut letters: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .collect();
    letters.extend(last);
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..=group.len() {
            let letter = letters[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(letter.into());
        }
    }
    text
}

/// A user's key, both halves.
struct Key(Ed25519KeyPair);

impl Key {
    fn new(seed: u8) -> Key {
        Key(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed"))
    }

    fn public(&self) -> String {
        let mut bytes = vec![20 << 3];
        bytes.extend(self.0.public_key().as_ref());
        let mut sum = 0u16;
        for byte in &bytes {
            sum ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                let carries = sum & 0x8000 != 0;
                sum = sum << 1 ^ if carries { 0x1021 } else { 0 };
            }
        }
        bytes.extend(sum.to_le_bytes());
        base32(&bytes)
    }

    fn sign(&self, nonce: &str) -> Vec<u8> {
        self.0.sign(nonce.as_bytes()).as_ref().to_vec()
    }
}

fn nonce(client: &Client) -> Option<String> {
    let info: serde_json::Value = serde_json::from_str(&client.info[5..]).expect("JSON");
    info["nonce"].as_str().map(str::to_owned)
}

#[test]
fn passwords_may_be_kept_as_hashes() {
    let (a, b, y) = (
        hash("one", 4, Version::TwoA),
        hash("two", 5, Version::TwoB),
        hash("three", 4, Version::TwoY),
    );
    let (server, _file) = server(&format!(
        "authorization {{ users [ {{user: a, password: \"{a}\"}}, {{user: b, password: '{b}'}},
           {{user: y, password: \"{y}\"}}, {{user: p, password: plain}} ] }}"
    ));
    for (user, pass, is_right) in [
        ("a", "one", true),
        ("b", "two", true),
        ("y", "three", true),
        ("p", "plain", true),
        ("a", "two", false),
        ("a", &a, false),
        ("a", "", false),
        ("p", "one", false),
        ("nobody", "one", false),
    ] {
        let said = heard(&server, &format!("\"user\":\"{user}\",\"pass\":\"{pass}\""));
        let wanted = if is_right { "PONG\r\n" } else { VIOLATION };
        assert_eq!(said, wanted, "{user} {pass}");
    }
    server.wait_json("/varz", |varz| varz["connections"] == 0);
    let (_, metrics) = server.get("/metrics");
    let refused = "midge_auth_errors_total{reason=\"violation\"} 5";
    assert!(metrics.contains(refused), "{metrics}");
}

#[test]
fn options_take_hashes_as_well() {
    let hash = hash("secret", 4, Version::TwoA);
    let server = Server::start_with(&["--auth", &hash]);
    assert_eq!(heard(&server, "\"auth_token\":\"secret\""), "PONG\r\n");
    assert_eq!(heard(&server, "\"auth_token\":\"secre\""), VIOLATION);
    let server = Server::start_with(&["--user", "u", "--pass", &hash]);
    assert_eq!(
        heard(&server, "\"user\":\"u\",\"pass\":\"secret\""),
        "PONG\r\n"
    );
    assert_eq!(heard(&server, "\"user\":\"u\",\"pass\":\"x\""), VIOLATION);
}

#[test]
fn what_follows_a_connect_waits_for_word_of_it() {
    let hash = hash("t", 7, Version::TwoA);
    let server = Server::start_with(&["--auth", &hash]);
    let mut client = server.connect();
    let payload = "x".repeat(300_000);
    client.send("CONNECT {\"auth_token\":\"t\"}\r\nSUB a 1\r\n");
    client.send(format!("PUB a 300000\r\n{payload}\r\nPUB a 1\r\n"));
    client.send("y\r\nPING\r\n");
    let message = format!("MSG a 1 300000\r\n{payload}\r\n");
    client.expect(format!(
        "+OK\r\n+OK\r\n+OK\r\n{message}+OK\r\nMSG a 1 1\r\ny\r\nPONG\r\n"
    ));
    // And without the right one none of it is done.
    client.send("SUB b 2\r\n");
    client.expect("+OK\r\n");
    let mut wrong = server.connect();
    wrong.try_send("CONNECT {\"auth_token\":\"x\"}\r\nPUB b 1\r\ny\r\nPING\r\n");
    wrong.expect_end(VIOLATION);
    assert!(!client.sync().contains("MSG"));
}

#[test]
fn others_are_served_while_a_hash_is_computed() {
    let slow = hash("t", 12, Version::TwoA);
    let (server, _file) = server(&format!(
        "authorization {{ users [ {{user: slow, password: \"{slow}\"}}, {{user: p, password: p}} ] }}"
    ));
    let mut served = server.connect();
    served.send("CONNECT {\"verbose\":false,\"user\":\"p\",\"pass\":\"p\"}\r\n");
    served.sync();
    let mut waiting: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send("CONNECT {\"user\":\"slow\",\"pass\":\"t\"}\r\nPING\r\n");
    }
    // Some hang up meanwhile, and their places go to others.
    waiting.truncate(2);
    served.sync();
    let mut other = server.connect();
    other.send("CONNECT {\"verbose\":false,\"user\":\"p\",\"pass\":\"p\"}\r\n");
    other.sync();
    let is_waiting = |client: &Client| {
        client.stream.set_nonblocking(true).unwrap();
        let heard = client.stream.peek(&mut [0]);
        client.stream.set_nonblocking(false).unwrap();
        heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    assert!(waiting.iter().any(is_waiting), "the hashes came first");
    for client in &mut waiting {
        client.expect("+OK\r\nPONG\r\n");
    }
    server.wait_json("/varz", |varz| varz["connections"] == 4);
}

#[test]
fn too_many_at_once_are_told_to_come_again() {
    let slow = hash("t", 12, Version::TwoA);
    let server = Server::start_with(&["--auth", &slow]);
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("CONNECT {\"auth_token\":\"t\",\"verbose\":false}\r\nPING\r\n");
    }
    let said: Vec<String> = clients.iter_mut().map(Client::line).collect();
    let count = |words: &str| said.iter().filter(|line| **line == words).count();
    assert!(count("PONG") >= 16, "{said:?}");
    assert_eq!(count("PONG") + count(THROTTLED.trim_end()), 20, "{said:?}");
    // That is not held against anybody.
    assert_eq!(heard(&server, "\"auth_token\":\"t\""), "PONG\r\n");
}

#[test]
fn nobody_waits_behind_those_who_have_left() {
    // It takes seconds to see that a password is not that of this hash.
    let slow = hash("t", 4, Version::TwoA).replacen("$04$", "$15$", 1);
    let server = Server::start_with(&["--auth", &slow, "--http-port", "0"]);
    for _ in 0..16 {
        let mut client = server.connect();
        client.send("CONNECT {\"auth_token\":\"x\"}\r\n");
    }
    server.wait_json("/varz", |varz| varz["connections"].as_u64() < Some(8));
}

#[test]
fn keys_sign_what_info_says() {
    let (key, other) = (Key::new(1), Key::new(2));
    let (server, _file) = server(&format!(
        "authorization {{ users [ {{nkey: {}, permissions {{publish: ok}}}}, {{user: u, password: p}} ] }}",
        key.public()
    ));
    let enter = |key: &Key, claimed: &Key, nonce: Option<&str>, last: &[u8; 2]| {
        let mut client = server.connect();
        let own = self::nonce(&client).expect("there are keys");
        let signature = base64(&key.sign(nonce.unwrap_or(&own)), last);
        client.send(format!(
            "CONNECT {{\"verbose\":false,\"nkey\":\"{}\",\"sig\":\"{signature}\"}}\r\n",
            claimed.public()
        ));
        (client, own)
    };
    let (mut client, first) = enter(&key, &key, None, b"-_");
    client.send("PUB ok 0\r\n\r\nPUB no 0\r\n\r\n");
    client.expect("-ERR 'Permissions Violation for Publish to \"no\"'\r\n");
    let connz = server.json("/connz?auth=1");
    assert_eq!(connz["connections"][0]["authorized_user"], key.public());
    client.send("CONNECT {\"verbose\":false}\r\n");
    client.sync();
    let (mut client, second) = enter(&key, &key, None, b"+/");
    client.sync();
    assert_ne!(first, second);
    // What was signed elsewhere, by somebody else, for somebody else.
    for (key, claimed, nonce) in [
        (&key, &key, Some(first.as_str())),
        (&other, &key, None),
        (&other, &other, None),
    ] {
        enter(key, claimed, nonce, b"-_").0.expect_end(VIOLATION);
    }
    let named = format!("\"nkey\":\"{}\"", key.public());
    assert_eq!(heard(&server, &named), VIOLATION);
    assert_eq!(
        heard(&server, &format!("{named},\"user\":\"u\",\"pass\":\"p\"")),
        VIOLATION
    );
    assert_eq!(
        heard(&server, "\"user\":\"u\",\"pass\":\"p\",\"jwt\":\"x\""),
        "PONG\r\n"
    );
}

#[test]
fn without_keys_there_is_nothing_to_sign() {
    let server = Server::start_with(&["--user", "u", "--pass", "p"]);
    assert_eq!(nonce(&server.connect()), None);
    // And who shows one all the same goes by the rest.
    let json = "\"nkey\":\"U\",\"sig\":\"x\",\"user\":\"u\",\"pass\":\"p\"";
    assert_eq!(heard(&server, json), "PONG\r\n");
}

#[test]
fn a_user_may_have_only_so_many_connections() {
    let (server, _file) = server(
        "authorization { users [ {user: u, password: p, max_connections: 2}, {user: v, password: p},
           {user: w, password: p, allowed_connection_types: [WEBSOCKET]},
           {user: x, password: p, allowed_connection_types: [STANDARD, MQTT]}, {user: y} ] }",
    );
    let enter = |user: &str| {
        let mut client = server.connect();
        client.send(format!(
            "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"p\"}}\r\n"
        ));
        client
    };
    let mut clients = [enter("u"), enter("v"), enter("u"), enter("x")];
    for client in &mut clients {
        client.sync();
    }
    enter("u").expect_end("-ERR 'maximum connections exceeded'\r\n");
    // One more CONNECT of the same is not one more.
    clients[0].send(CONNECT);
    clients[0].sync();
    drop(clients);
    server.wait_json("/varz", |varz| varz["connections"] == 0);
    enter("u").sync();
    // One may not come this way, one cannot come with a password, but by the name.
    enter("w").expect_end(VIOLATION);
    enter("y").expect_end(VIOLATION);
    assert_eq!(heard(&server, "\"user\":\"y\""), "PONG\r\n");
}

#[test]
fn ten_thousand_wrong_passwords_disturb_nobody() {
    let (server, _file) = server(&format!(
        "authorization {{ users [ {{user: a, password: \"{}\"}}, {{user: p, password: p}} ] }}",
        hash("t", 6, Version::TwoA)
    ));
    let mut served = server.connect();
    served.send("CONNECT {\"verbose\":false,\"user\":\"p\",\"pass\":\"p\"}\r\n");
    served.sync();
    let try_one = |number: u32| {
        let mut client = server.connect();
        client.send(format!(
            "CONNECT {{\"user\":\"user{number}\",\"pass\":\"hunter2\"}}\r\n"
        ));
        let said = client.line() + "\r\n";
        assert!([VIOLATION, THROTTLED].contains(&said.as_str()), "{said}");
        said == VIOLATION
    };
    let first = (0..500).filter(|number| try_one(*number)).count();
    assert!(first >= 16, "{first}");
    let before = server.anonymous_kib();
    let begun = Instant::now();
    let mut looked_at = 0;
    let mut slowest = Duration::ZERO;
    for number in 0..9500 {
        looked_at += usize::from(try_one(number));
        if number % 100 == 0 {
            let asked = Instant::now();
            served.sync();
            slowest = slowest.max(asked.elapsed());
        }
    }
    // One more each second, and what is left of the allowance.
    let seconds = begun.elapsed().as_secs() as usize;
    assert!(looked_at <= seconds + 18, "{looked_at} in {seconds} s");
    assert!(slowest < PATIENCE / 4, "{slowest:?}");
    let grown = server.anonymous_kib().saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB");
    // It is logged, but not each, and never what was shown.
    let log = server.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("not let in"))
        .count();
    assert!((1..200).contains(&lines), "{lines} lines");
    assert!(
        log.contains("\"user0\"") && !log.contains("hunter2"),
        "{log}"
    );
    let (_, metrics) = server.get("/metrics");
    assert!(
        metrics.contains("midge_auth_errors_total{reason=\"throttled\"} "),
        "{metrics}"
    );
    // The right password is not looked at either, until the time has passed.
    let deadline = Instant::now() + PATIENCE;
    while heard(&server, "\"user\":\"a\",\"pass\":\"t\"") != "PONG\r\n" {
        assert!(Instant::now() < deadline, "it stays shut");
    }
}

#[test]
fn who_dawdles_before_connect_is_cut_and_costs_little() {
    let server = Server::start_with(&["--auth", "t", "--auth-timeout", "500ms"]);
    let before = server.anonymous_kib();
    let mut slow: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    for byte in b"CONNECT {\"auth" {
        for client in &mut slow {
            client.try_send([*byte]);
        }
        std::thread::yield_now();
    }
    let mut client = server.connect();
    client.send("CONNECT {\"verbose\":false,\"auth_token\":\"t\"}\r\n");
    client.sync();
    let grown = server.anonymous_kib().saturating_sub(before);
    assert!(grown < 200 * 16, "{grown} KiB");
    for client in &mut slow {
        client.expect_end("-ERR 'Authentication Timeout'\r\n");
    }
    // Halves of one, in as many pieces, are one.
    let mut client = server.connect();
    for piece in [
        "CONN",
        "ECT {\"verbose\":fal",
        "se,\"auth_token\":",
        "\"t\"",
        "}",
        "\r",
        "\n",
    ] {
        client.send(piece);
    }
    client.sync();
    // A CONNECT that is no line, or none at all, is cut short.
    let mut client = server.connect();
    client.try_send(format!("CONNECT {{\"name\":\"{}", "x".repeat(5000)));
    client.expect_end("-ERR 'maximum control line exceeded'\r\n");
    let mut gone = TcpStream::connect(server.address).expect("it listens");
    gone.write_all(b"CONNECT {").expect("it reads");
    drop(gone);
}
