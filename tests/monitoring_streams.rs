//! The monitoring port, where it is about streams.

use crate::metrics_page::Metrics;
use crate::util::{Client, File, PATIENCE, Server};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A directory for a store, which goes with the test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("midge-monitoring-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Place(path)
    }

    fn store(&self) -> String {
        self.0.join("streams.redb").to_str().unwrap().to_owned()
    }

    fn serve(&self) -> Server {
        Server::start_with(&["--http-port", "0", "--store", &self.store()])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A client that asks.
struct Asker {
    client: Client,
    count: u64,
}

impl Asker {
    fn new(server: &Server) -> Self {
        let mut client = server.client();
        client.send("SUB answer.* 1\r\n");
        Asker { client, count: 0 }
    }

    /// Publishes and returns the first line of the answer's head and its body.
    fn request(&mut self, subject: &str, body: &str) -> (String, String) {
        self.count += 1;
        let (count, len) = (self.count, body.len());
        let ask = format!("PUB {subject} answer.{count} {len}\r\n{body}\r\n");
        self.client.send(ask);
        let mut head = self.client.line();
        while head == "PING" {
            self.client.send("PONG\r\n");
            head = self.client.line();
        }
        (head, self.client.line())
    }

    /// A request whose answer is JSON without an error.
    fn ask(&mut self, subject: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (head, answer) = self.request(subject, &body);
        assert!(head.starts_with("MSG answer."), "{head}");
        let answer: Value = serde_json::from_str(&answer).expect(&answer);
        assert_eq!(answer["error"], Value::Null, "{subject} {body}");
        answer
    }

    fn make_stream(&mut self, name: &str, storage: &str, more: &Value) {
        let mut config = json!({"name": name, "subjects": [format!("{name}.>")],
            "storage": storage});
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        self.ask(&format!("$JS.API.STREAM.CREATE.{name}"), &config);
    }

    fn make_consumer(&mut self, stream: &str, name: &str, more: &Value) {
        let mut config = json!({"name": name, "durable_name": name, "ack_policy": "explicit"});
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        let request = json!({"stream_name": stream, "config": config});
        self.ask(
            &format!("$JS.API.CONSUMER.CREATE.{stream}.{name}"),
            &request,
        );
    }

    fn store(&mut self, subject: &str, count: u64) {
        for _ in 0..count {
            self.ask(subject, &json!("hello"));
        }
    }

    /// Takes one message and leaves it unacknowledged; returns where its ack
    /// would go.
    fn take_one(&mut self, stream: &str, consumer: &str) -> String {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let (head, _) = self.request(&subject, r#"{"batch":1,"expires":20000000000}"#);
        head.split(' ').nth(3).expect(&head).to_owned()
    }
}

/// Two streams with some messages and consumers.
fn furnish(server: &Server) -> Asker {
    let mut asker = Asker::new(server);
    asker.make_stream("ORDERS", "file", &json!({"max_bytes": 1_000_000}));
    asker.make_stream("HEAT", "memory", &Value::Null);
    asker.store("ORDERS.a", 3);
    asker.store("ORDERS.b", 2);
    asker.store("HEAT.x", 4);
    asker.ask("$JS.API.STREAM.MSG.DELETE.ORDERS", &json!({"seq": 2}));
    asker.make_consumer("ORDERS", "bill", &Value::Null);
    asker.make_consumer("ORDERS", "audit", &json!({"filter_subject": "ORDERS.b"}));
    let ack = asker.take_one("ORDERS", "bill");
    asker.request(&ack, "+ACK");
    asker.take_one("ORDERS", "bill");
    asker
}

#[test]
fn the_pages_tell_how_streams_are_set_up() {
    let place = Place::new();
    let shown = |text: &str| {
        let file = File::new("set-up", text);
        let store = place.store();
        let args = [
            "--http-port",
            "0",
            "--store",
            &store,
            "--config",
            file.path(),
        ];
        let server = Server::start_with(&args);
        let (jsz, varz) = (server.json("/jsz"), server.json("/varz"));
        assert_eq!(jsz["config"], varz["jetstream"]["config"]);
        jsz["config"].clone()
    };
    let store_dir = place.store();
    let usual = json!({
        "max_memory": -1, "max_storage": -1, "store_dir": store_dir, "sync_always": true,
        "strict": true,
    });
    assert_eq!(shown(""), usual);
    let own = json!({
        "max_memory": 1 << 20, "max_storage": 5 << 20, "store_dir": store_dir,
        "sync_always": true, "domain": "cellar",
    });
    let text = "jetstream { max_mem: 1MB, max_file: 5MB, domain: cellar, strict: false }";
    assert_eq!(shown(text), own);
}

#[test]
fn jsz_sums_up_and_goes_into_detail() {
    let place = Place::new();
    let server = place.serve();
    let _asker = furnish(&server);
    let jsz = server.json("/jsz");
    for (field, value) in [
        ("streams", 2),
        ("consumers", 2),
        ("messages", 8),
        ("accounts", 1),
        ("reserved_storage", 1_000_000),
        ("total", 1),
    ] {
        assert_eq!(jsz[field], value, "{field}");
    }
    assert_eq!(jsz["config"]["store_dir"], place.store());
    assert_eq!(jsz["api"]["errors"], 0);
    assert_eq!(jsz["api"]["total"], 5);
    assert_eq!(
        jsz["bytes"],
        jsz["memory"].as_u64().unwrap() + jsz["storage"].as_u64().unwrap()
    );
    assert!(jsz["disabled"].is_null() && jsz["account_details"].is_null());

    let jsz = server.json("/jsz?consumers=1");
    let account = &jsz["account_details"][0];
    assert_eq!(account["name"], "$G");
    let streams = account["stream_detail"].as_array().unwrap();
    assert_eq!(
        (&streams[0]["name"], &streams[1]["name"]),
        (&json!("HEAT"), &json!("ORDERS"))
    );
    assert!(streams[0]["consumer_detail"].is_null());
    let orders = &streams[1];
    for (field, value) in [
        ("messages", 4),
        ("first_seq", 1),
        ("last_seq", 5),
        ("num_subjects", 2),
        ("num_deleted", 1),
        ("consumer_count", 2),
    ] {
        assert_eq!(orders["state"][field], value, "{field}");
    }
    assert!(orders["state"]["first_ts"].as_str() > Some("2020"));
    assert_eq!(
        orders["cluster"]["leader"],
        server.json("/varz")["server_name"]
    );
    let consumers = orders["consumer_detail"].as_array().unwrap();
    assert_eq!(consumers[0]["name"], "audit");
    assert_eq!(consumers[0]["num_pending"], 2);
    let bill = &consumers[1];
    assert_eq!(
        (&bill["num_ack_pending"], &bill["num_pending"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(bill["delivered"]["consumer_seq"], 2);
    assert_eq!(bill["ack_floor"]["stream_seq"], 1);
    assert!(bill["config"].is_null() && orders["config"].is_null());
}

#[test]
fn jsz_shows_what_is_asked_for() {
    let place = Place::new();
    let server = place.serve();
    let _asker = furnish(&server);
    let first = |query: &str| {
        let jsz = server.json(&format!("/jsz?{query}"));
        jsz["account_details"][0].clone()
    };
    assert!(first("accounts=1")["stream_detail"].is_null());
    assert_eq!(first("acc=$G")["id"], "$G");
    assert!(first("acc=other&streams=1").is_null());
    let config = first("consumers=true&config=true");
    let orders = &config["stream_detail"][1];
    assert_eq!(orders["config"]["max_bytes"], 1_000_000);
    assert_eq!(
        orders["consumer_detail"][1]["config"]["durable_name"],
        "bill"
    );
    let names = |query: &str| -> Vec<Value> {
        let streams = first(query)["stream_detail"].clone();
        let streams = streams.as_array().unwrap().iter();
        streams.map(|stream| stream["name"].clone()).collect()
    };
    assert_eq!(names("streams=1&limit=1"), ["HEAT"]);
    assert_eq!(names("streams=1&offset=1&limit=7"), ["ORDERS"]);
    assert_eq!(names("streams=1&leader-only=1"), ["HEAT", "ORDERS"]);
    assert!(names("streams=1&offset=2").is_empty());
    assert_eq!(server.json("/jsz?raft=1")["streams_leader"], 2);
    for query in ["streams=x", "limit=x", "offset=x", "leader-only=no"] {
        assert!(
            server.get(&format!("/jsz?{query}")).0.contains("400"),
            "{query}"
        );
    }
    assert!(server.get("/jsz?callback=f").1.starts_with("f({"));
}

#[test]
fn varz_tells_of_streams() {
    let place = Place::new();
    let server = place.serve();
    let _asker = furnish(&server);
    let jetstream = server.json("/varz")["jetstream"].clone();
    let jsz = server.json("/jsz");
    assert_eq!(jetstream["config"], jsz["config"]);
    for field in ["memory", "storage", "reserved_storage", "accounts", "api"] {
        assert_eq!(jetstream["stats"][field], jsz[field], "{field}");
    }
    assert!(jetstream["stats"]["memory"].as_u64() > Some(0));
}

#[test]
fn what_is_known_of_a_stream_needs_no_disk() {
    let place = Place::new();
    let mut server = place.serve();
    let asker = furnish(&server);
    let state = |server: &Server| {
        let jsz = server.json("/jsz?streams=1");
        let streams = jsz["account_details"][0]["stream_detail"].clone();
        let streams = streams.as_array().unwrap().clone();
        let orders = streams.iter().find(|stream| stream["name"] == "ORDERS");
        orders.unwrap()["state"].clone()
    };
    let before = state(&server);
    drop(asker);
    server.signal("TERM");
    server.wait();
    let server = place.serve();
    assert_eq!(state(&server), before);
    let metrics = Metrics::of(&server);
    assert_eq!(metrics.value("midge_store_loads_total"), 0.0);
    assert!(metrics.consumer("oldest_undelivered_age_seconds", "ORDERS", "bill") > Some(0.0));
}

#[test]
fn healthz_looks_where_it_is_told_to() {
    let place = Place::new();
    let server = place.serve();
    let _asker = furnish(&server);
    for query in [
        "",
        "js-enabled-only=1",
        "js-server-only=true",
        "account=$G",
        "account=$G&stream=HEAT",
        "account=$G&stream=ORDERS&consumer=bill&details=1",
    ] {
        assert_eq!(
            server.json(&format!("/healthz?{query}")),
            json!({"status": "ok"}),
            "{query}"
        );
    }
    for (query, code, error) in [
        ("account=B", "404", r#"JetStream account "B" not found"#),
        (
            "account=$G&stream=NO",
            "404",
            r#"JetStream stream "NO" not found on account "$G""#,
        ),
        (
            "account=$G&stream=ORDERS&consumer=no",
            "404",
            r#"JetStream consumer "no" not found for stream "ORDERS" on account "$G""#,
        ),
        (
            "stream=ORDERS",
            "400",
            r#""account" must not be empty when checking stream health"#,
        ),
        (
            "account=$G&consumer=bill",
            "400",
            r#""stream" must not be empty when checking consumer health"#,
        ),
    ] {
        let (status, body) = server.get(&format!("/healthz?{query}"));
        assert!(status.contains(code), "{query}: {status}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"], error);
        let word = if code == "400" {
            "error"
        } else {
            "unavailable"
        };
        assert_eq!(body["status"], word);
    }
    let (_, body) = server.get("/healthz?account=$G&stream=NO&details=1");
    let body: Value = serde_json::from_str(&body).unwrap();
    let error = r#"JetStream stream "NO" not found on account "$G""#;
    let one = json!({"type": "STREAM", "account": "$G", "stream": "NO", "error": error});
    assert_eq!(body, json!({"status": "error", "errors": [one]}));
    assert!(server.get("/healthz?details=maybe").0.contains("400"));
}

#[test]
fn a_store_that_fails_shows() {
    let place = Place::new();
    // Writing past eight or sixteen megabytes, by what the shell counts in, fails.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f 16384; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_midge"),
        "--port",
        "0",
        "--http-port",
        "0",
        "--store",
        &place.store(),
    ]);
    let server = Server::spawn(command);
    let mut asker = Asker::new(&server);
    asker.make_stream("LARGE", "file", &Value::Null);
    let large = "x".repeat(256 * 1024);
    let deadline = Instant::now() + PATIENCE;
    let body = loop {
        assert!(Instant::now() < deadline, "it does not fail");
        asker.request("LARGE.x", &large);
        let (status, body) = server.get("/healthz");
        if status.contains("503") {
            break body;
        }
    };
    let error = "JetStream system temporarily unavailable (10008)";
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, json!({"status": "unavailable", "error": error}));
    let metrics = Metrics::of(&server);
    assert!(metrics.value("midge_store_failed_commits_total") >= 1.0);
    // It is opened again by itself.
    while !server.get("/healthz").0.contains("200") {
        assert!(Instant::now() < deadline, "it stays shut");
        std::thread::yield_now();
    }
    assert_eq!(Metrics::of(&server).value("midge_store_available"), 1.0);
}

#[test]
fn metrics_of_streams_and_the_store() {
    let place = Place::new();
    let server = place.serve();
    let mut asker = furnish(&server);
    asker.make_consumer("HEAT", "quick", &json!({"ack_wait": 1_000_000}));
    // There are four messages; the fifth delivery is of one that has come
    // again as its time was up.
    for _ in 0..5 {
        asker.take_one("HEAT", "quick");
    }
    asker.request("$JS.API.STREAM.INFO.NO", "");
    let metrics = Metrics::of(&server);
    for (series, value) in [
        ("midge_streams", 2.0),
        ("midge_consumers", 3.0),
        ("midge_store_available", 1.0),
        ("midge_streams_stored_messages_total", 9.0),
        ("midge_streams_api_errors_total", 1.0),
        ("midge_stream_messages{stream=\"ORDERS\"}", 4.0),
        ("midge_stream_first_seq{stream=\"ORDERS\"}", 1.0),
        ("midge_stream_last_seq{stream=\"ORDERS\"}", 5.0),
        ("midge_stream_subjects{stream=\"ORDERS\"}", 2.0),
        ("midge_stream_consumers{stream=\"ORDERS\"}", 2.0),
        ("midge_stream_lost{stream=\"ORDERS\"}", 0.0),
        ("midge_store_failed_commits_total", 0.0),
        ("midge_store_damaged_rows", 0.0),
    ] {
        assert_eq!(metrics.value(series), value, "{series}");
    }
    for (name, value) in [
        ("pending", 2.0),
        ("ack_pending", 1.0),
        ("redelivered", 0.0),
        ("waiting_pulls", 0.0),
        ("paused", 0.0),
        ("deliveries_total", 2.0),
        ("redeliveries_total", 0.0),
        ("acks_total", 1.0),
    ] {
        assert_eq!(
            metrics.consumer(name, "ORDERS", "bill"),
            Some(value),
            "{name}"
        );
    }
    for name in [
        "oldest_unacked_age_seconds",
        "oldest_undelivered_age_seconds",
    ] {
        let age = metrics.consumer(name, "ORDERS", "bill");
        assert!(age > Some(0.0) && age < Some(60.0), "{name} {age:?}");
    }
    // Where it waits behind a filter nobody has looked.
    let audit = metrics.consumer("oldest_undelivered_age_seconds", "ORDERS", "audit");
    assert_eq!(audit, None);
    assert_eq!(
        metrics.consumer("oldest_unacked_age_seconds", "ORDERS", "audit"),
        Some(0.0)
    );
    let redeliveries = metrics.consumer("redeliveries_total", "HEAT", "quick");
    assert!(redeliveries >= Some(1.0), "{redeliveries:?}");

    let commits = metrics.value("midge_store_commits_total");
    assert!(commits >= 1.0);
    for name in ["midge_store_commit_seconds", "midge_store_batch_bytes"] {
        assert_eq!(metrics.value(&format!("{name}_count")), commits);
        assert_eq!(
            metrics.value(&format!("{name}_bucket{{le=\"+Inf\"}}")),
            commits
        );
        assert!(metrics.value(&format!("{name}_sum")) > 0.0);
    }
    assert!(metrics.value("midge_store_written_bytes_total") > 0.0);
    assert!(metrics.value("midge_store_file_bytes") > 0.0);
}

#[test]
fn pauses_and_pulls_show_in_metrics() {
    let place = Place::new();
    let server = place.serve();
    let mut asker = furnish(&server);
    let until = json!({"pause_until": "2999-01-01T00:00:00Z"});
    asker.ask("$JS.API.CONSUMER.PAUSE.ORDERS.bill", &until);
    let pull = r#"{"batch":1,"expires":9000000000}"#;
    let subject = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.bill";
    let pull = format!("PUB {subject} answer.pull {}\r\n{pull}\r\n", pull.len());
    asker.client.send(pull);
    asker.client.sync();
    let metrics = Metrics::of(&server);
    assert_eq!(metrics.consumer("paused", "ORDERS", "bill"), Some(1.0));
    assert_eq!(
        metrics.consumer("waiting_pulls", "ORDERS", "bill"),
        Some(1.0)
    );
}

#[test]
fn names_are_escaped() {
    let place = Place::new();
    let server = place.serve();
    let mut asker = Asker::new(&server);
    asker.ask(
        "$JS.API.STREAM.CREATE.say\"hi\"{}",
        &json!({"name": "say\"hi\"{}", "subjects": ["hi"]}),
    );
    let metrics = Metrics::of(&server);
    assert_eq!(
        metrics.value("midge_stream_messages{stream=\"say\\\"hi\\\"{}\"}"),
        0.0
    );
    let jsz = server.json("/jsz?streams=1&config=1");
    let stream = &jsz["account_details"][0]["stream_detail"][0];
    assert_eq!(stream["name"], "say\"hi\"{}");
}

#[test]
fn pages_are_bounded() {
    const STREAMS: usize = 1100;
    let place = Place::new();
    let server = place.serve();
    let mut asker = Asker::new(&server);
    for number in 0..STREAMS {
        asker.make_stream(&format!("S{number:04}"), "memory", &Value::Null);
    }
    for number in 0..STREAMS {
        asker.make_consumer("S0007", &format!("c{number:04}"), &Value::Null);
    }
    let metrics = Metrics::of(&server);
    assert_eq!(metrics.value("midge_streams"), STREAMS as f64);
    assert_eq!(metrics.value("midge_consumers"), STREAMS as f64);
    assert_eq!(metrics.count("midge_stream_messages{"), 1000);
    assert_eq!(metrics.count("midge_consumer_pending{"), 1000);
    assert!(
        metrics
            .get("midge_stream_messages{stream=\"S0999\"}")
            .is_some()
    );
    assert!(
        metrics
            .get("midge_stream_messages{stream=\"S1000\"}")
            .is_none()
    );
    let shown = |query: &str| {
        let jsz = server.json(&format!("/jsz?streams=1&{query}"));
        assert_eq!(jsz["streams"], STREAMS);
        let streams = &jsz["account_details"][0]["stream_detail"];
        let first = streams[0]["name"].as_str().unwrap().to_owned();
        (streams.as_array().unwrap().len(), first)
    };
    assert_eq!(shown(""), (1024, "S0000".into()));
    assert_eq!(shown("offset=1024"), (76, "S1024".into()));
    assert_eq!(shown("limit=1000000"), (STREAMS, "S0000".into()));
}
