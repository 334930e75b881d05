//! What users may publish and subscribe to, as a configuration says it.

use crate::util::{File, PATIENCE, Server};
use std::process::{Command, Stdio};

const USERS: &str = r#"
# What nats-server's own documentation shows, and more.
ADMIN = { publish = ">", subscribe = ">" }
authorization {
  default_permissions = { publish = "sandbox.*", subscribe = ["public.>", "_INBOX.>"] }
  users = [
    { user: admin, password: a, permissions: $ADMIN }
    { user: client, password: c, permissions: {
        publish: ["req.a", "req.b"], subscribe: "_INBOX.>" } }
    { user: service, password: s, permissions: {
        subscribe: ["req.a", "req.b"], allow_responses: true } }
    { user: denied, password: s, permissions: {
        subscribe: "req.>", publish: { deny: "never.>" }, allow_responses: true } }
    { user: chatty, password: s, permissions: {
        subscribe: "req.>", allow_responses: { max: 3, expires: "1m" } } }
    { user: other, password: o }
    { user: picky, password: p, permissions: {
        publish: { allow: "ok.>", deny: ["ok.no", "ok.x.>"] }
        subscribe: { allow: ["ok.>", "qq g1"], deny: "ok.no" } } }
  ]
}
no_auth_user: other
"#;

fn server(name: &str) -> (Server, File) {
    let file = File::new(name, USERS);
    let server = Server::start_with(&["--config", file.path()]);
    (server, file)
}

#[test]
fn each_user_may_do_what_the_file_says() {
    let (server, _file) = server("matrix");
    // User, password; what may be published and not; subscribed and not.
    for (user, pass, pubs, no_pubs, subs, no_subs) in [
        ("admin", "a", "a.b sandbox.x", "", "> a.*", ""),
        (
            "client",
            "c",
            "req.a req.b",
            "req.c req",
            "_INBOX.>",
            "> req.a public.>",
        ),
        ("service", "s", "", "x req.a", "req.a", "req.* x"),
        (
            "other",
            "o",
            "sandbox.x",
            "sandbox sandbox.x.y",
            "public.a public.> _INBOX.x",
            "x >",
        ),
        (
            "picky",
            "p",
            "ok.a ok.x",
            "ok.no ok.x.y no",
            "ok.a ok.>",
            "ok.no > x qq",
        ),
    ] {
        let mut client = server.enter(user, pass);
        for subject in pubs.split_ascii_whitespace() {
            client.send(format!("PUB {subject} 0\r\n\r\n"));
        }
        for (sid, subject) in subs.split_ascii_whitespace().enumerate() {
            client.send(format!("SUB {subject} s{sid}\r\n"));
        }
        for (sid, _) in subs.split_ascii_whitespace().enumerate() {
            client.send(format!("UNSUB s{sid}\r\n"));
        }
        client.sync();
        for subject in no_pubs.split_ascii_whitespace() {
            client.send(format!("PUB {subject} 0\r\n\r\n"));
            client.expect(format!(
                "-ERR 'Permissions Violation for Publish to \"{subject}\"'\r\n"
            ));
        }
        for subject in no_subs.split_ascii_whitespace() {
            client.send(format!("SUB {subject} 9\r\n"));
            client.expect(format!(
                "-ERR 'Permissions Violation for Subscription to \"{subject}\"'\r\n"
            ));
        }
        client.sync();
    }
}

#[test]
fn what_is_denied_goes_nowhere() {
    let (server, _file) = server("nowhere");
    let mut admin = server.enter("admin", "a");
    admin.send("SUB > 1\r\n");
    admin.sync();
    let mut client = server.enter("client", "c");
    client.send("SUB _INBOX.1 1\r\nPUB no _INBOX.1 2\r\nhi\r\nPUB req.a 0\r\n\r\n");
    client.expect("-ERR 'Permissions Violation for Publish to \"no\"'\r\n");
    admin.expect("MSG req.a 1 0\r\n\r\n");
    // People are held to it as well.
    client.send("SEND no hello\r\nASK no hello\r\n");
    for _ in 0..2 {
        client.expect("-ERR 'Permissions Violation for Publish to \"no\"'\r\n");
    }
    admin.sync();
}

#[test]
fn a_queue_group_may_be_named() {
    let (server, _file) = server("groups");
    let mut client = server.enter("picky", "p");
    client.send("SUB qq g1 1\r\n");
    client.sync();
    client.send("SUB qq g2 2\r\n");
    client.expect("-ERR 'Permissions Violation for Subscription to \"qq\" using queue \"g2\"'\r\n");
}

#[test]
fn a_wide_subscription_does_not_see_what_is_denied() {
    let (server, _file) = server("wide");
    let mut picky = server.enter("picky", "p");
    picky.send("SUB ok.> 1\r\nSUB ok.* g 2\r\n");
    picky.sync();
    let mut admin = server.enter("admin", "a");
    admin.send("PUB ok.no 0\r\n\r\nPUB ok.x.y 1\r\n!\r\nPUB ok.no 0\r\n\r\n");
    picky.expect("MSG ok.x.y 1 1\r\n!\r\n");
    picky.sync();
}

#[test]
fn answers_may_be_given_where_nothing_else_may_be_published() {
    let (server, _file) = server("answers");
    let mut client = server.enter("client", "c");
    client.send("SUB _INBOX.* 1\r\n");
    client.sync();
    for (user, answers) in [("service", 1), ("denied", 1), ("chatty", 3)] {
        let mut service = server.enter(user, "s");
        service.send("SUB req.a 1\r\n");
        service.sync();
        client.send("PUB req.a _INBOX.7 0\r\n\r\n");
        service.expect("MSG req.a 1 _INBOX.7 0\r\n\r\n");
        for _ in 0..answers {
            service.send("PUB _INBOX.7 2\r\nhi\r\n");
            client.expect("MSG _INBOX.7 1 2\r\nhi\r\n");
        }
        for subject in ["_INBOX.7", "_INBOX.8"] {
            service.send(format!("PUB {subject} 0\r\n\r\n"));
            service.expect(format!(
                "-ERR 'Permissions Violation for Publish to \"{subject}\"'\r\n"
            ));
        }
        client.sync();
    }
}

#[test]
fn who_says_nothing_is_the_user_for_that() {
    let (server, _file) = server("nobody");
    for connect in ["", "CONNECT {\"verbose\":false}\r\n"] {
        let mut client = server.connect();
        assert!(!client.info.contains("auth_required"), "{}", client.info);
        client.send(connect);
        client.send("SUB x 1\r\n");
        client.expect("-ERR 'Permissions Violation for Subscription to \"x\"'\r\n");
    }
    let mut client = server.connect();
    client.send("CONNECT {\"user\":\"other\",\"pass\":\"x\"}\r\n");
    client.expect_end("-ERR 'Authorization Violation'\r\n");
}

/// What midge says of a file, and whether it is in order.
fn check(text: &str) -> (String, bool) {
    let file = File::new("check", text);
    let mut child = Command::new(crate::util::midge())
        .args(["serve", "--check", "--config", file.path()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("midge starts");
    let deadline = std::time::Instant::now() + PATIENCE;
    while child.try_wait().expect("waited").is_none() {
        assert!(std::time::Instant::now() < deadline, "it does not end");
        std::thread::yield_now();
    }
    let output = child.wait_with_output().expect("output");
    let said = String::from_utf8_lossy(&output.stderr).replace(file.path(), "FILE");
    (said, output.status.success())
}

#[test]
fn a_file_is_checked_line_by_line() {
    let (said, is_good) = check("\u{feff}listen: 127.0.0.1:0\nfoo: 1\nbar: 2\n");
    assert!(is_good, "{said}");
    for warning in [
        "FILE:2: \"foo\" is not known",
        "FILE:3: \"bar\" is not known",
    ] {
        assert!(said.contains(warning), "{said}");
    }
    for (text, wanted) in [
        (
            "port: x",
            "FILE:1: port takes a number from -1 to 65535, not \"x\"",
        ),
        ("port: 65536", "FILE:1: port takes a number"),
        (
            "\nping_interval: fast",
            "FILE:2: ping_interval takes a duration",
        ),
        ("max_payload: many", "FILE:1: max_payload takes a number"),
        ("listen: here", "FILE:1: listen takes a port, or an address"),
        (
            "jetstream { cipher: aes }",
            "FILE:1: cipher: what is stored is not encrypted here",
        ),
        (
            "cluster { name: x, routes: [ \"nats://127.0.0.1:6222\" ] }",
            "FILE:1: cluster: midge is one server",
        ),
        (
            "leafnodes { remotes: [ { url: \"nats://127.0.0.1:7422\" } ] }",
            "FILE:1: leafnodes: midge is one server",
        ),
        (
            "routes: [ \"nats://127.0.0.1:6222\" ]",
            "FILE:1: routes: midge is one server",
        ),
        (
            "max_payload: 65MB",
            "max_pending must be at least max_payload",
        ),
        (
            "tls {}",
            if cfg!(feature = "tls") {
                "tls must be given a cert_file"
            } else {
                "FILE:1: tls: this program was built without TLS"
            },
        ),
        (
            "authorization { users [ { user: a, pass: \"\" } ] }",
            "the password of \"a\" is empty",
        ),
        (
            "authorization {\n usr: joe }",
            "FILE:2: \"usr\" is not known here",
        ),
        (
            "authorization { users [ { user: a, pass: b, permissons: x } ] }",
            "\"permissons\" is not known here",
        ),
        (
            "authorization { default_permissions { publish { alow: x } } }",
            "\"alow\" is not known here",
        ),
        (
            "include \"/dev/zero\"",
            "cannot include /dev/zero: it is no file",
        ),
        (
            "authorization {\n user: joe }",
            "FILE:1: user and password go together",
        ),
        (
            "authorization {\n users [ {\n pass: joe } ] }",
            "FILE:2: a user takes a user or an nkey",
        ),
        (
            "authorization { users [ { user: a, pass: \"$2a$11$x\" } ] }",
            "the password of \"a\" begins like a bcrypt hash and is none",
        ),
        (
            "authorization { users [ { user: a, pass: b }, { user: a, pass: c } ] }",
            "user \"a\" is there twice",
        ),
        (
            "authorization { token: t, users [ { user: a, pass: b } ] }",
            "FILE:1: users go without a token",
        ),
        (
            "authorization { token: t, user: a, pass: b }",
            "FILE:1: a token goes without user and password",
        ),
        ("authorization { token: \"\" }", "FILE:1: token is empty"),
        (
            "authorization { users [ { nkey: UABC } ] }",
            "FILE:1: nkey takes the public key of a user",
        ),
        (
            "authorization { users [ { user: a, pass: b, allowed_connection_types: [X] } ] }",
            "allowed_connection_types takes kinds of connections",
        ),
        (
            "authorization {\n auth_callout { } }",
            "FILE:2: auth_callout: midge asks nobody else",
        ),
        (
            "authorization { users [ { user: a, pass: b, permissions { publish: \"a..b\" } } ] }",
            "publish takes a subject",
        ),
        (
            "no_auth_user: joe",
            "no_auth_user \"joe\" is none of the users",
        ),
        (
            "authorization { users [ { user: a, password: '' } ] }",
            "the password of \"a\" is empty",
        ),
        (
            "authorization { user: '', password: p }",
            "FILE:1: user is empty",
        ),
        ("authorization {", "FILE:1: the block has no end"),
        ("write_deadline: 0", "write_deadline must be at least 1ms"),
    ] {
        let (said, is_good) = check(text);
        assert!(!is_good && said.contains(wanted), "{text}: {said}");
    }
}

#[test]
fn secrets_in_the_wrong_place_are_not_shown() {
    let seed = "SUAKYRHVIOREXV7EUZTBHUHL7NUMHPMAS7QMDU3GTIUWEI5LDNOXD43IZY";
    let hash = "$2y$11$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
    let (said, is_good) = check(&format!("authorization {{ users [ {{ nkey: {seed} }} ] }}"));
    assert!(!is_good && !said.contains("SUAK"), "{said}");
    let (said, is_good) = check(&format!("authorization {{ user: a, password: {hash} }}"));
    assert!(is_good && said.is_empty(), "{said}");
    for text in [
        "authorization { user: a, password: $ecret }",
        "authorization { token: [ $ecret ] }",
        "authorization: $ecret",
        "authorization: 'ecret'",
        "authorization { users: [ 'a:ecret' ] }",
        "accounts { A { users: ecret } }",
    ] {
        let (said, is_good) = check(text);
        assert!(!is_good && !said.contains("ecret"), "{text}: {said}");
    }
}

#[test]
fn one_user_of_the_command_line_does_not_replace_accounts() {
    for (text, wanted) in [
        (
            "accounts { A { users: [ {user: u, password: p} ] } }",
            "goes without accounts",
        ),
        (
            "accounts { $SYS { users: [ {user: u, password: p} ] } }",
            "goes without accounts",
        ),
        (
            "authorization { users: [ {user: u, password: p} ] }, no_auth_user: u",
            "goes without no_auth_user",
        ),
        ("authorization { users: [ {user: u, password: p} ] }", ""),
    ] {
        let file = File::new("flags", text);
        let output = Command::new(crate::util::midge())
            .args(["serve", "--check", "--auth", "t", "--config", file.path()])
            .output()
            .expect("midge runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let is_good = output.status.success();
        assert!(
            is_good == wanted.is_empty() && said.contains(wanted),
            "{text}: {said}"
        );
    }
}

#[cfg(feature = "streams")]
#[test]
fn the_manual_is_in_order() {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/etc/midge.conf");
    let text = std::fs::read_to_string(manual).expect("it is there");
    let (said, is_good) = check(&text);
    assert!(is_good && said.is_empty(), "{said}");
}

#[test]
fn options_go_before_the_file() {
    let file = File::new(
        "options",
        "listen: 127.0.0.1:1\nserver_name: from-file\nmax_payload: 100\n",
    );
    let server = Server::start_with(&["--config", file.path(), "--name", "from-option"]);
    let info = server.connect().info;
    assert!(info.contains("\"server_name\":\"from-option\""), "{info}");
    assert!(info.contains("\"max_payload\":100"), "{info}");
}

#[test]
fn pages_are_where_the_last_line_says() {
    // Without TLS there is nothing to serve the first over.
    let file = File::new("pages", "https_port: -1\nhttp_port: -1\n");
    let server = Server::start_with(&["--config", file.path()]);
    assert!(server.json("/varz").is_object());
}

#[test]
fn an_empty_list_of_what_is_allowed_allows_everything() {
    let file = File::new(
        "empty",
        "authorization { users: [
            { user: a, password: p, permissions { publish: [], subscribe { allow: [] } } }
            { user: b, password: p, permissions { publish: { allow: [], deny: x } } }
            { user: c, password: p, permissions { publish: [], allow_responses: true } }
        ] }",
    );
    let server = Server::start_with(&["--config", file.path()]);
    let denied = "-ERR 'Permissions Violation for Publish to \"x\"'\r\n";
    for (user, wanted) in [("a", "MSG x 1 0\r\n\r\n"), ("b", denied), ("c", denied)] {
        let mut client = server.connect();
        client.send(format!(
            "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"p\"}}\r\n\
            SUB x 1\r\nPUB x 0\r\n\r\n"
        ));
        assert_eq!(client.sync(), wanted, "{user}");
    }
}
