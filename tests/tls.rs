//! TLS as clients meet it, and those who mean no good.

#[cfg(feature = "streams")]
use crate::cli_util::{done, run};
use crate::tls_util::{Keys, clear_line};
use crate::util::{CONNECT, Dice, PATIENCE, Server, midge};
use rcgen::{DistinguishedName, DnType, SanType};
use rustls::version::{TLS12, TLS13};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const REFUSED: &str = "-ERR 'Secure Connection - TLS Required'\r\n";

/// A socket that has read its INFO.
fn bare(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).expect("midge listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(clear_line(&mut stream).expect("INFO").starts_with("INFO {"));
    stream
}

/// What is said until the end, however that comes.
fn end_of(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8_lossy(&said).into_owned(),
    }
}

#[test]
fn clients_go_over_to_tls_after_info() {
    let keys = Keys::new("upgrade");
    let server = keys.serve(&[]);
    for version in [&TLS12, &TLS13] {
        let mut dial = keys.dial();
        dial.version = Some(version);
        let mut client = dial.connect(server.address);
        assert!(
            client.info.contains("\"tls_required\":true"),
            "{}",
            client.info
        );
        client.send(CONNECT);
        client.send("SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n");
        client.expect("MSG a 1 2\r\nhi\r\nPONG\r\n");
        assert_eq!(client.stream.conn.protocol_version(), Some(version.version));
    }
    server.wait_log("TLS required for client connections");
}

#[test]
fn a_check_looks_at_certificates_and_keys() {
    let keys = Keys::new("check");
    for (pair, wanted) in [
        (
            "cert_file: $keys/server.pem, key_file: $keys/server.key",
            "",
        ),
        (
            "cert_file: $keys/server.pem, key_file: $keys/client.key",
            "client.key is not that of the certificate in",
        ),
        (
            "cert_file: $keys/none.pem, key_file: $keys/server.key",
            "none.pem: there is no such file",
        ),
    ] {
        let file = keys.file(&format!("tls {{ {pair} }}"));
        let output = Command::new(midge())
            .args(["serve", "--check", "--config", &file])
            .output()
            .expect("midge runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let wanted_code = if wanted.is_empty() { 0 } else { 2 };
        assert_eq!(output.status.code(), Some(wanted_code), "{said}");
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn who_talks_in_the_clear_is_told_why_not() {
    let keys = Keys::new("clear");
    let server = keys.serve_file(
        "tls { cert_file: $keys/server.pem, key_file: $keys/server.key, timeout: 0.2 }",
    );
    let mut stream = bare(&server);
    stream.write_all(CONNECT.as_bytes()).unwrap();
    assert_eq!(end_of(&mut stream), REFUSED);
    // So is who says nothing, when the time is up.
    assert_eq!(end_of(&mut bare(&server)), REFUSED);
    server.wait_log("talks in the clear");
}

#[test]
fn tls_may_be_left_to_the_client() {
    let keys = Keys::new("either");
    let server = keys.serve_file(
        "allow_non_tls: true\ntls { cert_file: $keys/server.pem, key_file: $keys/server.key }",
    );
    let mut client = server.client();
    assert!(
        client.info.contains("\"tls_available\":true"),
        "{}",
        client.info
    );
    assert!(!client.info.contains("tls_required"), "{}", client.info);
    client.send("SUB a 1\r\n");
    client.sync();
    let mut other = keys.dial().connect(server.address);
    other.send("CONNECT {\"verbose\":false}\r\nPUB a 2\r\nhi\r\n");
    client.expect("MSG a 1 2\r\nhi\r\n");
}

#[test]
fn the_handshake_may_come_first() {
    let keys = Keys::new("first");
    let block = "tls { cert_file: $keys/server.pem, key_file: $keys/server.key, handshake_first:";
    let mut first = keys.dial();
    first.is_first = true;
    let server = keys.serve_file(&format!("{block} true, timeout: 200ms }}"));
    let mut client = first.connect(server.address);
    assert!(client.info.starts_with("INFO {"), "{}", client.info);
    assert!(client.is_heard());
    // Nothing is said before it, and nothing after a while either.
    let mut stream = TcpStream::connect(server.address).unwrap();
    assert_eq!(end_of(&mut stream), "");

    let server = keys.serve_file(&format!("{block} 50ms }}"));
    let mut client = first.connect(server.address);
    assert!(client.is_heard());
    let mut client = keys.dial().connect(server.address);
    assert!(
        client.info.contains("\"tls_required\":true"),
        "{}",
        client.info
    );
    assert!(client.is_heard());
}

#[test]
fn an_old_version_is_not_spoken_where_it_may_not_be() {
    let keys = Keys::new("version");
    let server = keys.serve_file(
        "tls { cert_file: $keys/server.pem, key_file: $keys/server.key, min_version: \"1.3\" }",
    );
    let mut dial = keys.dial();
    dial.version = Some(&TLS12);
    let error = dial.try_connect(server.address).err().expect("refused");
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    dial.version = Some(&TLS13);
    assert!(dial.connect(server.address).is_heard());
}

#[test]
fn suites_and_curves_are_those_that_were_named() {
    let keys = Keys::new("suites");
    let server = keys.serve_file(
        "tls { cert_file: $keys/server.pem, key_file: $keys/server.key
               cipher_suites: [ TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_RSA_WITH_RC4_128_SHA ]
               curve_preferences: [ CurveP384 ] }",
    );
    server.wait_log("cipher_suites: \"TLS_RSA_WITH_RC4_128_SHA\" is not there");
    let mut dial = keys.dial();
    dial.version = Some(&TLS12);
    let client = dial.connect(server.address);
    let suite = client.stream.conn.negotiated_cipher_suite().expect("one");
    let name = format!("{:?}", suite.suite());
    assert_eq!(name, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
    let group = client
        .stream
        .conn
        .negotiated_key_exchange_group()
        .expect("one");
    assert_eq!(format!("{:?}", group.name()), "secp384r1");
}

#[test]
fn clients_show_certificates_where_they_have_to() {
    let keys = Keys::new("verify");
    let root = keys.path("root.pem");
    let server = keys.serve(&["--tlsverify", "--tlscacert", &root]);
    let strangers = Keys::new("verify-strangers");
    for kind in ["pem", "key"] {
        let (from, to) = (format!("client.{kind}"), format!("stranger.{kind}"));
        std::fs::copy(strangers.path(&from), keys.path(&to)).unwrap();
    }
    keys.issue_old("old");
    for (identity, wanted) in [
        (Some("client"), true),
        (None, false),
        (Some("stranger"), false),
        (Some("old"), false),
    ] {
        let mut dial = keys.dial();
        dial.identity = identity;
        for version in [&TLS12, &TLS13] {
            dial.version = Some(version);
            let client = dial.try_connect(server.address);
            let is_heard = client.is_ok_and(|mut client| {
                assert!(client.info.contains("\"tls_verify\":true"));
                client.is_heard()
            });
            assert_eq!(is_heard, wanted, "{identity:?}");
        }
    }
}

#[test]
fn a_certificate_may_say_which_user_it_is() {
    let keys = Keys::new("map");
    let text = |text: &str| text.try_into().expect("a name");
    keys.issue_named("mail", vec![SanType::Rfc822Name(text("joe@example.com"))]);
    keys.issue_named("host", vec![SanType::DnsName(text("sensor.example"))]);
    keys.issue_named("uri", vec![SanType::URI(text("spiffe://example/joe"))]);
    keys.issue("subject", |params| {
        params.subject_alt_names.clear();
        params.distinguished_name = DistinguishedName::new();
        let name = &mut params.distinguished_name;
        name.push(DnType::CountryName, "DE");
        name.push(DnType::OrganizationName, "Works, Ltd");
        name.push(DnType::CommonName, "joe");
    });
    keys.issue_named(
        "both",
        vec![
            SanType::DnsName(text("sensor.example")),
            SanType::Rfc822Name(text("joe@example.com")),
        ],
    );
    keys.issue_named("nobody", vec![SanType::DnsName(text("elsewhere.example"))]);
    let server = keys.serve_file(
        r#"tls { cert_file: $keys/server.pem, key_file: $keys/server.key
                 ca_file: $keys/root.pem, verify_and_map: true }
           authorization { users: [
               { user: "joe@example.com", permissions { publish: "mail" } }
               { user: "sensor.example", permissions { publish: "host" } }
               { user: "spiffe://example/joe", permissions { publish: "uri" } }
               { user: "CN=joe,O=Works\\, Ltd,C=DE", permissions { publish: "subject" } }
           ] }"#,
    );
    for (identity, may) in [
        ("mail", Some("mail")),
        ("host", Some("host")),
        ("uri", Some("uri")),
        ("subject", Some("subject")),
        // The address counts more, wherever it stands.
        ("both", Some("mail")),
        ("nobody", None),
    ] {
        let mut dial = keys.dial();
        dial.identity = Some(identity);
        let mut client = dial.connect(server.address);
        client.send(CONNECT);
        let Some(may) = may else {
            client.expect("-ERR 'Authorization Violation'\r\n");
            continue;
        };
        client.send(format!(
            "PUB {may} 2\r\nhi\r\nPUB other 2\r\nhi\r\nPING\r\n"
        ));
        client.expect("-ERR 'Permissions Violation for Publish to \"other\"'\r\nPONG\r\n");
    }
}

#[test]
fn only_pinned_keys_enter() {
    let keys = Keys::new("pinned");
    keys.issue("other", |_| {});
    let output = Command::new("sh")
        .args(["-c", "openssl x509 -in \"$1\" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -r", "sh"])
        .arg(keys.path("client.pem"))
        .output();
    let hash = match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout)[..64].to_owned()
        }
        // No openssl here.
        _ => return,
    };
    let server = keys.serve_file(&format!(
        "tls {{ cert_file: $keys/server.pem, key_file: $keys/server.key, ca_file: $keys/root.pem,
                verify: true, pinned_certs: [ \"{hash}\" ] }}"
    ));
    let mut dial = keys.dial();
    dial.identity = Some("client");
    assert!(dial.connect(server.address).is_heard());
    dial.identity = Some("other");
    let client = dial.try_connect(server.address);
    assert!(!client.is_ok_and(|mut client| client.is_heard()));
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_at_the_start() {
    let keys = Keys::new("wrong");
    keys.issue("other", |_| {});
    let certificate = keys.path("server.pem");
    let key = keys.path("server.key");
    for (certificate, key, wanted) in [
        (
            keys.path("none.pem"),
            key.clone(),
            "none.pem: there is no such file",
        ),
        (
            key.clone(),
            key,
            "server.key: there is no certificate in it",
        ),
        (
            certificate.clone(),
            certificate.clone(),
            "server.pem: there is no private key in it",
        ),
        (
            certificate,
            keys.path("other.key"),
            "is not that of the certificate",
        ),
    ] {
        let output = Command::new(midge())
            .args([
                "serve",
                "--port",
                "0",
                "--tls",
                "--tlscert",
                &certificate,
                "--tlskey",
                &key,
            ])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(wanted), "{said}");
    }
    keys.issue_old("server");
    keys.serve(&[]).wait_log("has expired");
}

#[test]
fn large_messages_pass_both_ways_whoever_is_slow() {
    const SIZE: usize = 1_000_000;
    const COUNT: usize = 24;
    let keys = Keys::new("large");
    let server = keys.serve(&[]);
    let mut reader = keys.dial().connect(server.address);
    reader.send(CONNECT);
    reader.send("SUB a 1\r\nPING\r\n");
    reader.expect("PONG\r\n");
    let mut writer = keys.dial().connect(server.address);
    writer.send(CONNECT);
    let body: Vec<u8> = (0..SIZE).map(|at| (at * 31 % 251) as u8).collect();
    // The reader does not read before all of it is on its way.
    for _ in 0..COUNT {
        writer.send(format!("PUB a {SIZE}\r\n"));
        writer.send(&body);
        writer.send("\r\n");
    }
    assert!(writer.is_heard());
    for _ in 0..COUNT {
        reader.expect(format!("MSG a 1 {SIZE}\r\n"));
        assert!(reader.bytes(SIZE) == body);
        reader.expect("\r\n");
    }
    // Small ones come one in a record, and many in one.
    let mut many = Vec::new();
    for number in 0..20_000 {
        write!(many, "PUB a 5\r\n{number:05}\r\n").unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| many.chunks(997).for_each(|piece| writer.send(piece)));
        for number in 0..20_000 {
            reader.expect(format!("MSG a 1 5\r\n{number:05}\r\n"));
        }
    });
}

#[test]
fn the_end_is_a_proper_one() {
    let keys = Keys::new("end");
    let mut server = keys.serve(&[]);
    let mut client = keys.dial().connect(server.address);
    client.send("NONSENSE\r\n");
    // Without its last record, which says so, this would be an error.
    let said = client.rest().expect("a proper end");
    assert_eq!(said, b"-ERR 'Unknown Protocol Operation'\r\n");
    let mut client = keys.dial().connect(server.address);
    assert!(client.is_heard());
    server.signal("TERM");
    assert_eq!(client.rest().expect("a proper end"), b"");
    assert!(server.wait().success());
}

#[test]
fn noise_and_halves_are_cut_and_counted() {
    let keys = Keys::new("noise");
    let server = keys.serve_file(
        "http: \"127.0.0.1:-1\"\ntls { cert_file: $keys/server.pem, key_file: $keys/server.key, timeout: 0.5 }",
    );
    // Something that looks like a handshake and is none.
    let mut stream = bare(&server);
    stream.write_all(b"\x16\x03\x01\x00\x05hello").unwrap();
    end_of(&mut stream);
    // A record that is longer than records are.
    let mut stream = bare(&server);
    stream.write_all(b"\x16\x03\x01\xff\xff").unwrap();
    let _ = stream.write_all(&[1; 70_000]);
    end_of(&mut stream);
    // One that never ends, in many records.
    let mut stream = bare(&server);
    let _ = stream.write_all(b"\x16\x03\x01\x40\x00\x01\x00\xff\xff");
    let record = [&[0x16, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    for _ in 0..16 {
        let _ = stream.write_all(&record[..]);
    }
    end_of(&mut stream);
    // The beginning of one, and no more.
    let mut stream = bare(&server);
    stream.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    let began = Instant::now();
    end_of(&mut stream);
    assert!(began.elapsed() >= Duration::from_millis(400));
    let (_, page) = server.get("/metrics");
    let count = |reason: &str| {
        let series = format!("midge_tls_handshake_errors_total{{reason=\"{reason}\"}} ");
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(series.as_str()));
        line.and_then(|count| count.parse::<u64>().ok())
    };
    assert_eq!(
        (count("protocol"), count("timeout")),
        (Some(3), Some(1)),
        "{page}"
    );
    assert!(
        page.contains("midge_tls_handshakes_in_progress 0"),
        "{page}"
    );
    assert!(keys.dial().connect(server.address).is_heard());
}

#[test]
fn a_thousand_who_never_speak_are_in_nobodys_way() {
    let keys = Keys::new("silent");
    let server = keys.serve_file(
        "http: \"127.0.0.1:-1\"\ntls { cert_file: $keys/server.pem, key_file: $keys/server.key, timeout: 60 }",
    );
    let before = server.anonymous_kib();
    let silent: Vec<TcpStream> = (0..1000).map(|_| bare(&server)).collect();
    assert!(server.anonymous_kib() < before + 8 * 1024);
    assert!(keys.dial().connect(server.address).is_heard());
    // Those who begin take room, which there is only so much of; who comes
    // behind them waits until they are gone.
    for mut stream in &silent {
        stream.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    }
    let in_progress = |wanted: &str| {
        let line = format!("midge_tls_handshakes_in_progress {wanted}\n");
        let deadline = Instant::now() + PATIENCE;
        while !server.get("/metrics").1.contains(&line) {
            assert!(Instant::now() < deadline, "{}", server.get("/metrics").1);
        }
    };
    in_progress("256");
    assert!(server.anonymous_kib() < before + 16 * 1024);
    drop(silent);
    assert!(keys.dial().connect(server.address).is_heard());
    in_progress("0");
}

#[test]
fn who_leaves_while_it_waits_for_its_handshake_is_gone_at_once() {
    let keys = Keys::new("leaving");
    let server = keys.serve_file(
        "http: \"127.0.0.1:-1\"\nallow_non_tls: true\n\
         tls { cert_file: $keys/server.pem, key_file: $keys/server.key, timeout: 60 }",
    );
    let begun = |count: usize| -> Vec<TcpStream> {
        let one = |_| {
            let mut stream = bare(&server);
            stream.write_all(b"\x16").unwrap();
            stream
        };
        (0..count).map(one).collect()
    };
    let slow = begun(256);
    let line = "midge_tls_handshakes_in_progress 256\n";
    let deadline = Instant::now() + PATIENCE;
    while !server.get("/metrics").1.contains(line) {
        assert!(Instant::now() < deadline, "{}", server.get("/metrics").1);
    }
    // They leave where nobody reads from them.
    drop(begun(500));
    server.wait_json("/varz", |varz| varz["connections"] == 256);
    // And take nobody's place afterwards.
    drop(slow);
    assert!(keys.dial().connect(server.address).is_heard());
}

#[test]
fn pages_are_served_over_tls() {
    let keys = Keys::new("https");
    let server = keys.serve_file(
        "https: \"127.0.0.1:-1\"
         tls { cert_file: $keys/server.pem, key_file: $keys/server.key, ca_file: $keys/root.pem, verify: true }",
    );
    let mut dial = keys.dial();
    dial.identity = Some("client");
    let mut client = dial.connect(server.address);
    assert!(client.is_heard());
    // Nobody is asked for a certificate there.
    let address = server.http.expect("the log names the address");
    let page = |path: &str| {
        let mut browser = keys.dial().connect_silently(address);
        browser.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        let page = browser.rest().expect("a page");
        String::from_utf8_lossy(&page).into_owned()
    };
    let varz = page("/varz");
    assert!(
        varz.contains("\"tls_required\": true") && varz.contains("\"tls_timeout\": 2"),
        "{varz}"
    );
    let connz = page("/connz");
    assert!(connz.contains("\"tls_version\": \"1.3\""), "{connz}");
    assert!(connz.contains("\"tls_cipher_suite\": \"TLS_"), "{connz}");
}

#[test]
fn certificates_change_under_load_and_nobody_has_to_leave() {
    let keys = Keys::new("rotation");
    keys.issue("successor", |_| {});
    let server = keys.serve(&[]);
    let mut reader = keys.dial().connect(server.address);
    reader.send(CONNECT);
    reader.send("SUB a 1\r\nPING\r\n");
    reader.expect("PONG\r\n");
    let old = reader.seen();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = keys.dial().connect(server.address);
            writer.send("CONNECT {\"verbose\":false}\r\n");
            while !is_over.load(Ordering::Relaxed) {
                writer.send("PUB a 2\r\nhi\r\n".repeat(100));
            }
            writer.send("PUB a 3\r\nend\r\nPING\r\n");
            // The server may ask as well.
            while !writer.line().contains("PONG") {}
        });
        // One that cannot be used changes nothing.
        std::fs::write(keys.path("server.pem"), "no certificate").unwrap();
        server.signal("HUP");
        server.wait_log("server.pem: there is no certificate in it");
        assert!(keys.dial().connect(server.address).seen() == old);
        keys.replace("server", "successor");
        server.signal("HUP");
        server.wait_log("Reloaded: ");
        assert!(keys.dial().connect(server.address).seen() != old);
        is_over.store(true, Ordering::Relaxed);
        let mut last = String::new();
        while !last.contains("MSG a 1 3") {
            last = reader.line();
        }
    });
}

#[cfg(feature = "streams")]
#[test]
fn commands_talk_to_such_a_server() {
    let keys = Keys::new("commands");
    let root = keys.path("root.pem");
    let server = keys.serve(&["--tlsverify", "--tlscacert", &root]);
    let url = format!("localhost:{}", server.address.port());
    let (certificate, key) = (keys.path("client.pem"), keys.path("client.key"));
    let shown = format!("--tlsca {root} --tlscert {certificate} --tlskey {key}");
    done(&url, &format!("pub a x {shown}"));
    done(&format!("tls://{url}"), &format!("pub a x {shown}"));
    // Records of all lengths, one close behind the other.
    done(
        &url,
        &format!("bench pubsub --messages 50000 --size 16 {shown}"),
    );
    for args in [
        "pub a x".to_owned(),
        format!("pub a x --tlsca {certificate}"),
        format!("pub a x --tlsca {root} --tlscert {certificate}"),
    ] {
        let (code, _, said) = run(&url, &args);
        assert_eq!(code, 2, "{args}: {said}");
    }
}

#[test]
fn whatever_a_hello_is_made_of_the_server_stays() {
    let keys = Keys::new("mutants");
    let server = keys.serve(&[]);
    let mut dice = Dice::new(0x0715_0bad);
    let hello = keys.dial().hello();
    for _ in 0..500 {
        let mut bytes = hello.clone();
        for _ in 0..1 + dice.below(8) {
            let at = dice.below(bytes.len());
            bytes[at] = dice.next() as u8;
        }
        bytes[0] = 0x16;
        bytes.truncate(1 + dice.below(bytes.len()));
        let mut stream = bare(&server);
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        end_of(&mut stream);
    }
    // And so it does when what comes afterwards is no record.
    for length in [1, 5, 100, 20_000, 200_000] {
        let mut client = keys.dial().connect(server.address);
        assert!(client.is_heard());
        let stream = &mut client.stream.sock;
        let noise: Vec<u8> = (0..length).map(|_| dice.next() as u8).collect();
        let _ = stream.write_all(&noise);
        let _ = stream.shutdown(Shutdown::Write);
        end_of(stream);
    }
    assert!(keys.dial().connect(server.address).is_heard());
}
