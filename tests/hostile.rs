//! What strangers send to a port that they have found.

use crate::util::Server;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

fn server() -> Server {
    Server::start_with(&["--http-port", "0"])
}

/// Says something and hears all that is answered.
fn exchange(address: SocketAddr, words: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(crate::util::PATIENCE))
        .unwrap();
    let _ = stream.write_all(words);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    // It may be reset before all was said.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn there_are_no_files_behind_the_pages() {
    let server = server();
    for path in [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/varz/../../etc/passwd",
        "/varz%00.html",
        "/etc/passwd",
        "/.",
        "http://elsewhere/varz/..",
    ] {
        let (status, body) = server.get(path);
        assert!(
            status.contains(" 404 ") || status.contains(" 400 "),
            "{path}: {status}"
        );
        assert!(!body.contains("root:"), "{path}");
    }
}

#[test]
fn nothing_of_a_request_becomes_a_header_or_a_script() {
    let server = server();
    for path in [
        "/varz?callback=a%0d%0aSet-Cookie:%20b=1%0d%0a%0d%0a",
        "/varz?callback=%3Cscript%3Ealert(1)%3C/script%3E",
        "/nowhere%0d%0aSet-Cookie:b=1",
        "/connz?sort=%0d%0aSet-Cookie:b=1",
        "/connz?sort=%3Cscript%3E",
        "/subsz?test=%0d%0aSet-Cookie:b=1",
        "/jsz?acc=%0d%0aSet-Cookie:b=1",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = exchange(server.http.unwrap(), request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("Set-Cookie"), "{path}: {head}");
        let is_html = head.to_ascii_lowercase().contains("text/html");
        assert!(!(is_html && body.contains("<script>")), "{path}: {body}");
    }
}

#[test]
fn a_subject_cannot_pass_for_markup_or_metrics() {
    let server = server();
    let mut client = server.client();
    client.send("CONNECT {\"verbose\":false,\"name\":\"<script>\\\"\\n# HELP x\"}\r\n");
    client.send("SUB <script>.\"}1\\n 1\r\n");
    client.sync();
    for (path, kind) in [
        ("/connz?subs=1", "application/json"),
        ("/subsz?subs=1", "application/json"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = exchange(server.http.unwrap(), request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(kind), "{head}");
        let page: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(page.to_string().contains("script"), "{body}");
    }
    assert!(!server.get("/metrics").1.contains("\n# HELP x"));
}

#[test]
fn whoever_speaks_another_language_disturbs_nobody() {
    let server = server();
    let mut bystander = server.client();
    bystander.send("SUB here 1\r\n");
    bystander.sync();
    let tls_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0x55; 505]].concat();
    let talk: [(&str, Vec<u8>); 7] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("TLS", tls_hello),
        (
            "MQTT",
            b"\x10\x0c\x00\x04MQTT\x04\x02\x00<\x00\x00".to_vec(),
        ),
        ("redis", b"*1\r\n$4\r\nPING\r\n".to_vec()),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        (
            "NATS",
            b"CONNECT {}\r\nPUB here 1\r\nx\r\nPING\r\n".to_vec(),
        ),
        ("noise", (0..=255u8).cycle().take(20_000).collect()),
    ];
    for (name, words) in &talk {
        let clients = exchange(server.address, words);
        assert!(clients.starts_with("INFO {"), "{name}: {clients}");
        let pages = exchange(server.http.unwrap(), words);
        let is_page = pages.starts_with("HTTP/1.1 ");
        assert!(is_page || pages.is_empty(), "{name}: {pages}");
        assert!(
            *name == "HTTP" || !pages.contains(" 200 "),
            "{name}: {pages}"
        );
    }
    // Only the one that spoke it was understood.
    bystander.expect("MSG here 1 1\r\nx\r\n");
    assert_eq!(bystander.sync(), "");
    server.wait_json("/varz", |page| page["connections"] == 1);
}
