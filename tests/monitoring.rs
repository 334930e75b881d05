//! The monitoring port.

use crate::metrics_page::Metrics;
use crate::util::{PATIENCE, Server};
use std::io::{Read, Write};
use std::net::TcpStream;

fn server() -> Server {
    Server::start_with(&["--http-port", "0"])
}

#[test]
fn varz_counts_what_passes() {
    let server = server();
    let mut client = server.client();
    client.send("SUB a 1\r\nPUB a 5\r\nhello\r\nPUB b 3\r\nabc\r\n");
    client.sync();
    let varz = server.json("/varz");
    for (field, value) in [
        ("connections", 1),
        ("total_connections", 1),
        ("subscriptions", 1),
        ("in_msgs", 2),
        ("in_bytes", 8),
        ("out_msgs", 1),
        ("out_bytes", 5),
        ("slow_consumers", 0),
        ("routes", 0),
        ("leafnodes", 0),
        ("max_payload", 1_048_576),
        ("max_connections", 65_536),
        ("ping_interval", 120_000_000_000),
        ("port", i64::from(server.address.port())),
        ("proto", 1),
    ] {
        assert_eq!(varz[field], value, "{field}");
    }
    assert!(varz["mem"].as_u64() > Some(500_000));
    for field in [
        "server_id",
        "server_name",
        "version",
        "start",
        "now",
        "uptime",
        "host",
    ] {
        assert!(
            varz[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field}"
        );
    }
    let requests = &server.json("/varz")["http_req_stats"];
    assert_eq!(requests["/varz"], 2);
    assert!(client.info.contains(varz["version"].as_str().unwrap()));
}

#[test]
fn connz_shows_each_connection() {
    let server = server();
    let mut named = server.connect();
    named.send(
        "CONNECT {\"verbose\":false,\"name\":\"sensor\",\"lang\":\"rust\",\"version\":\"9\"}\r\n",
    );
    named.send("SUB foo.bar q 17\r\nSUB z 2\r\nPUB z 3\r\nabc\r\n");
    named.sync();
    let mut quiet = server.client();
    quiet.sync();
    let connz = server.json("/connz?subs=1");
    assert_eq!(
        (&connz["num_connections"], &connz["total"]),
        (&2.into(), &2.into())
    );
    let shown = &connz["connections"][0];
    for (field, value) in [
        ("name", "sensor"),
        ("lang", "rust"),
        ("version", "9"),
        ("ip", "127.0.0.1"),
        ("kind", "Client"),
    ] {
        assert_eq!(shown[field], value);
    }
    assert_eq!(
        (&shown["in_msgs"], &shown["out_bytes"]),
        (&1.into(), &3.into())
    );
    assert_eq!(shown["subscriptions"], 2);
    let mut list: Vec<_> = shown["subscriptions_list"].as_array().unwrap().clone();
    list.sort_by_key(|subject| subject.as_str().map(str::to_owned));
    assert_eq!(list, ["foo.bar", "z"]);
    assert_eq!(shown["port"], named.stream.local_addr().unwrap().port());

    let detail = server.json("/connz?subs=detail&sort=subs&limit=1");
    let details = detail["connections"][0]["subscriptions_list_detail"]
        .as_array()
        .unwrap();
    let queue = details
        .iter()
        .find(|sub| sub["sid"] == "17")
        .expect("the queue subscription");
    assert_eq!(
        (&queue["qgroup"], &queue["subject"]),
        (&"q".into(), &"foo.bar".into())
    );

    let cid = connz["connections"][1]["cid"].as_u64().unwrap();
    let one = server.json(&format!("/connz?auth=1&cid={cid}"));
    assert_eq!(one["num_connections"], 1);
    // The account that all share goes unsaid.
    assert_eq!(one["connections"][0].get("account"), None);
    assert_eq!(one["connections"][0]["name_tag"], "$G");
    assert_eq!(server.json("/connz?offset=1&limit=5")["num_connections"], 1);
    drop(quiet);
    server.wait_json("/connz?state=closed", |closed| {
        closed["connections"][0]["reason"] == "Client Closed"
            && closed["connections"][0]["cid"] == cid
    });
    assert_eq!(server.json("/connz?state=any")["total"], 2);
}

#[test]
fn connz_sorts_and_refuses_what_it_does_not_know() {
    let server = server();
    let mut busy = server.client();
    busy.sync();
    let mut idle = server.client();
    idle.sync();
    busy.send("PUB a 0\r\n\r\nPUB a 0\r\n\r\n");
    busy.sync();
    let first = server.json("/connz?sort=msgs_from")["connections"][0]["in_msgs"].clone();
    assert_eq!(first, 2);
    for key in [
        "cid",
        "start",
        "subs",
        "pending",
        "msgs_to",
        "bytes_to",
        "bytes_from",
        "last",
        "idle",
        "uptime",
        "rtt",
    ] {
        server.json(&format!("/connz?sort={key}"));
    }
    for path in [
        "/connz?sort=size",
        "/connz?sort=stop",
        "/connz?state=half",
        "/connz?limit=x",
        "/connz?offset=99999999999999999999",
        "/connz?cid=x",
        "/connz?subs=some",
        "/connz?auth=me",
        "/subsz?limit=x",
        "/subsz?subs=detail",
        "/subsz?test=foo.*",
        "/accountz?acc=NO",
        "/accstatz?unused=x",
        "/varz?callback=a(b",
    ] {
        assert!(server.get(path).0.contains("400"), "{path}");
    }
    for path in ["/nothing", "/varz/", "//varz", "/../etc/passwd"] {
        assert!(server.get(path).0.contains("404"), "{path}");
    }
}

#[test]
fn subsz_counts_and_lists() {
    let server = server();
    let mut client = server.client();
    client.send(
        "SUB a.* 1\r\nSUB a.b q 2\r\nSUB c 3\r\nUNSUB 3\r\nPUB a.b 0\r\n\r\nPUB a.b 0\r\n\r\n",
    );
    client.sync();
    let subsz = server.json("/subsz?subs=1");
    for (field, value) in [
        ("num_subscriptions", 2),
        ("num_inserts", 3),
        ("num_removes", 1),
        ("num_matches", 2),
        ("max_fanout", 2),
        ("total", 2),
    ] {
        assert_eq!(subsz[field], value, "{field}");
    }
    assert_eq!(subsz["cache_hit_rate"], 0.5);
    assert_eq!(
        subsz["subscriptions_list"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(
        server.json("/subscriptionsz?subs=1&limit=1")["subscriptions_list"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(server.json("/subsz?subs=1&test=a.c")["total"], 1);
}

#[test]
fn accounts_and_what_passes_through_them() {
    let server = server();
    assert_eq!(server.json("/accountz")["accounts"][0], "$G");
    assert_eq!(
        server.json("/accstatz")["account_statz"],
        serde_json::json!([])
    );
    let mut client = server.client();
    client.send("SUB a 1\r\nPUB a 5\r\nhello\r\n");
    client.sync();
    let account = server.json("/accountz?acc=$G")["account_detail"].clone();
    assert_eq!(account["client_connections"], 1);
    assert_eq!(account["sublist_stats"]["num_subscriptions"], 1);
    let statistics = server.json("/accstatz")["account_statz"][0].clone();
    assert_eq!(
        (&statistics["acc"], &statistics["conns"]),
        (&"$G".into(), &1.into())
    );
    for way in ["sent", "received"] {
        assert_eq!(statistics[way]["msgs"], 1, "{way}");
        assert_eq!(statistics[way]["bytes"], 5, "{way}");
        assert_eq!(statistics[way]["routes"]["msgs"], 0, "{way}");
    }
}

#[test]
fn connz_finds_who_listens_to_a_subject() {
    let server = server();
    let mut one = server.client();
    one.send("SUB a.* 1\r\n");
    one.sync();
    let mut other = server.client();
    other.send("SUB b.c 1\r\n");
    other.sync();
    for (filter, count) in [("a.b", 1), ("*.c", 2), ("x", 0), ("a", 0), (">", 2)] {
        let connz = server.json(&format!("/connz?filter_subject={filter}"));
        assert_eq!(connz["total"], count, "{filter}");
    }
    assert_eq!(server.json("/connz?mqtt_client=me")["total"], 0);
}

#[test]
fn metrics_count_what_passes() {
    let server = server();
    let mut client = server.client();
    client.send("SUB a 1\r\nPUB a 5\r\nhello\r\n");
    client.sync();
    let metrics = Metrics::of(&server);
    for (series, value) in [
        ("midge_messages_in_total", 1.0),
        ("midge_bytes_out_total", 5.0),
        ("midge_connections", 1.0),
        ("midge_subscriptions", 1.0),
        ("midge_slow_consumers_total{reason=\"pending_bytes\"}", 0.0),
        ("midge_loop_slow_turns_total{part=\"read\"}", 0.0),
    ] {
        assert_eq!(metrics.value(series), value, "{series}");
    }
    // This page is made in a turn that is not over.
    let turns = metrics.value("midge_loop_turn_seconds_count");
    assert!(turns >= 3.0, "{turns}");
    let later = Metrics::of(&server).value("midge_loop_turn_seconds_count");
    assert!(later > turns);
}

#[test]
fn health_index_and_callbacks() {
    let server = server();
    assert_eq!(server.json("/healthz")["status"], "ok");
    assert!(server.get("/").1.contains("href=\"/varz\""));
    let (_, script) = server.get("/healthz?callback=done");
    assert_eq!(script, "done({\"status\":\"ok\"})");
}

#[test]
fn without_streams_the_pages_say_so() {
    let server = server();
    for path in ["/jsz", "/jsz?consumers=1&acc=$G"] {
        let jsz = server.json(path);
        assert_eq!(jsz["disabled"], true);
        for field in [
            "streams",
            "consumers",
            "messages",
            "bytes",
            "accounts",
            "total",
        ] {
            assert_eq!(jsz[field], 0, "{field}");
        }
        assert_eq!(jsz["api"]["total"], 0);
        assert!(jsz["account_details"].is_null());
    }
    assert_eq!(server.json("/varz")["jetstream"], serde_json::json!({}));
    assert_eq!(server.json("/healthz?js-server-only=1")["status"], "ok");
    for query in ["js-enabled-only=1", "account=$G&stream=S"] {
        let (status, body) = server.get(&format!("/healthz?{query}"));
        assert!(status.contains("503"), "{query}: {status}");
        assert!(body.contains("\"JetStream not enabled (10076)\""), "{body}");
    }
    assert!(!server.get("/metrics").1.contains("midge_store"));
}

#[test]
fn connections_stay_for_more_and_nonsense_ends_them() {
    let server = server();
    let address = server.http.unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..2 {
        stream
            .write_all(b"HEAD /varz HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
    stream
        .write_all(
            b"GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.matches("{\"status\":\"ok\"}").count(), 2, "{rest}");

    for (said, heard) in [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        ("POST /varz HTTP/1.1\r\n\r\n".to_owned(), "405"),
        (
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000)),
            "431",
        ),
        ("x".repeat(20_000), "431"),
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {heard}")), "{answer}");
    }
}

#[test]
fn of_too_many_monitoring_connections_the_longest_idle_goes() {
    let server = server();
    let address = server.http.unwrap();
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
        let mut heard = [0; 15];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"HTTP/1.1 200 OK");
    };
    let mut held: Vec<_> = (0..64).map(|_| connect()).collect();
    // All are in when the last is, and the first is busy after that.
    ask(&mut held[63]);
    ask(&mut held[0]);
    ask(&mut connect());
    assert_eq!(held[1].read(&mut [0; 1]).unwrap(), 0);
    ask(&mut held[62]);
}

#[test]
fn requests_that_come_together_are_answered_in_turn_and_without_hoarding() {
    const REQUESTS: usize = 3000;
    let server = server();
    let mut greedy = TcpStream::connect(server.http.unwrap()).unwrap();
    greedy.set_read_timeout(Some(PATIENCE)).unwrap();
    let before_kib = server.anonymous_kib();
    let requests = "GET /varz HTTP/1.1\r\n\r\n".repeat(REQUESTS - 1);
    let writer = greedy.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let mut writer = writer;
        writer.write_all(requests.as_bytes()).unwrap();
        writer.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    });
    // Everybody else is served meanwhile, and little waits for the greedy one.
    let mut client = server.client();
    for _ in 0..100 {
        client.sync();
    }
    let grown_kib = server.anonymous_kib().saturating_sub(before_kib);
    assert!(grown_kib < 2048, "{grown_kib} KiB");
    let mut heard = String::new();
    greedy.read_to_string(&mut heard).unwrap();
    writing.join().unwrap();
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), REQUESTS);
    assert!(heard.ends_with("{\"status\":\"ok\"}"));
}
