//! SIGHUP: what changes under the clients that are there.

use crate::util::{Client, File, Server};
use std::fs;

/// A server by this file, with the monitor on.
fn server(text: &str) -> (Server, File) {
    let file = File::new("reload", text);
    let server = Server::start_with(&["--config", file.path(), "--http-port", "0"]);
    (server, file)
}

/// Has the file say this from now on, and the server go by it.
#[track_caller]
fn reload(server: &Server, file: &File, text: &str) -> String {
    let before = server.log().len();
    file.replace(text);
    server.signal("HUP");
    let deadline = std::time::Instant::now() + crate::util::PATIENCE;
    loop {
        let log = server.log()[before..].to_owned();
        if let Some(end) = ["Reloaded: ", "Reload failed"]
            .iter()
            .find_map(|words| log.find(words))
            && log[end..].contains('\n')
        {
            return log.replace(file.path(), "FILE");
        }
        assert!(std::time::Instant::now() < deadline, "no word of it: {log}");
        std::thread::yield_now();
    }
}

fn enter(server: &Server, user: &str, pass: &str) -> Client {
    let mut client = server.connect();
    client.send(format!(
        "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{pass}\"}}\r\n"
    ));
    hears_nothing(&mut client);
    client
}

/// Nothing but the question whether it is there, which comes in time.
#[track_caller]
fn hears_nothing(client: &mut Client) {
    let heard = client.sync();
    assert!(["", "PING\r\n"].contains(&heard.as_str()), "{heard}");
}

const VIOLATION: &str = "-ERR 'Authorization Violation'\r\n";

#[test]
fn who_may_stay_stays_and_the_others_go() {
    let (server, file) = server(
        "authorization { users [ {user: same, pass: p}, {user: gone, pass: p},
           {user: changed, pass: p}, {user: hashed, pass: p} ] }",
    );
    let mut same = enter(&server, "same", "p");
    same.send("SUB a 1\r\n");
    same.sync();
    let mut gone = enter(&server, "gone", "p");
    let mut changed = enter(&server, "changed", "p");
    let mut early = server.connect();
    let said = reload(
        &server,
        &file,
        "authorization { users [ {user: same, pass: p}, {user: changed, pass: q}, {user: new, pass: p} ] }",
    );
    assert!(
        said.contains("Reloaded: 2 clients let go, 0 subscriptions"),
        "{said}"
    );
    gone.expect_end(VIOLATION);
    changed.expect_end(VIOLATION);
    same.send("PUB a 2\r\nhi\r\n");
    same.expect("MSG a 1 2\r\nhi\r\n");
    enter(&server, "new", "p");
    enter(&server, "changed", "q");
    // Who had not shown anything yet is held to the new ones.
    early.send("CONNECT {\"user\":\"gone\",\"pass\":\"p\"}\r\n");
    early.expect_end(VIOLATION);
    // Everybody may enter, and then nobody else again.
    reload(&server, &file, "");
    hears_nothing(&mut same);
    let mut anybody = server.client();
    anybody.sync();
    assert!(!anybody.info.contains("auth_required"), "{}", anybody.info);
    reload(&server, &file, "authorization { token: t }");
    anybody.expect_end(VIOLATION);
    same.expect_end(VIOLATION);
    assert!(server.connect().info.contains("auth_required"));
}

#[test]
fn what_is_no_longer_allowed_ends() {
    let users = |rules: &str| {
        format!(
            "authorization {{ users [ {{user: u, pass: p {rules}}}, {{user: admin, pass: p}} ] }}"
        )
    };
    let (server, file) = server(&users(
        ", permissions { subscribe: [a, \"b.>\"], publish: a, allow_responses: true }",
    ));
    let mut client = enter(&server, "u", "p");
    client.send("SUB a 1\r\nSUB b.> 2\r\nSUB b.c g 3\r\n");
    client.sync();
    let mut admin = enter(&server, "admin", "p");
    admin.send("SUB answer 1\r\nPUB b.x answer 0\r\n\r\n");
    admin.sync();
    client.expect("MSG b.x 2 answer 0\r\n\r\n");
    let said = reload(
        &server,
        &file,
        &users(
            ", permissions { subscribe: { allow: \"b.>\", deny: [\"b.c\", \"b.no\"] }, publish: b, allow_responses: true }",
        ),
    );
    assert!(
        said.contains("Reloaded: 0 clients let go, 2 subscriptions"),
        "{said}"
    );
    let mut lines = [client.line(), client.line()];
    lines.sort();
    assert_eq!(
        lines,
        [
            "-ERR 'Permissions Violation for Subscription to \"a\" (sid \"1\")'",
            "-ERR 'Permissions Violation for Subscription to \"b.c\" using queue \"g\" (sid \"3\")'",
        ]
    );
    // What is left is cut by the new denials, and the answer is still due.
    admin.send("PUB b.no 0\r\n\r\nPUB a 0\r\n\r\nPUB b.yes 0\r\n\r\n");
    client.expect("MSG b.yes 2 0\r\n\r\n");
    client.send("PUB a 0\r\n\r\nPUB answer 2\r\nhi\r\n");
    client.expect("-ERR 'Permissions Violation for Publish to \"a\"'\r\n");
    admin.expect("MSG answer 1 2\r\nhi\r\n");
    // Without rules everything is allowed again.
    reload(&server, &file, &users(""));
    client.send("SUB > 4\r\nPUB x 0\r\n\r\n");
    client.expect("MSG x 4 0\r\n\r\n");
    admin.send("PUB b.no 0\r\n\r\n");
    let mut lines = [client.line(), client.line(), client.line(), client.line()];
    lines.sort();
    assert_eq!(lines, ["", "", "MSG b.no 2 0", "MSG b.no 4 0"]);
}

#[test]
fn a_guest_is_whoever_guests_are() {
    let users = |guest: &str, rules: &str| {
        format!(
            "no_auth_user: {guest}\nauthorization {{ users [ {{user: g, pass: p {rules}}},
               {{user: h, pass: p}} ] }}"
        )
    };
    let (server, file) = server(&users("g", ""));
    let mut guest = server.client();
    guest.sync();
    let mut user = enter(&server, "g", "p");
    reload(
        &server,
        &file,
        &users("g", ", permissions { publish: a }").replace("pass: p", "pass: q"),
    );
    user.expect_end(VIOLATION);
    guest.send("PUB b 0\r\n\r\n");
    guest.expect("-ERR 'Permissions Violation for Publish to \"b\"'\r\n");
    reload(&server, &file, &users("h", ""));
    guest.send("PUB b 0\r\n\r\n");
    hears_nothing(&mut guest);
    reload(
        &server,
        &file,
        "authorization { users [ {user: h, pass: p} ] }",
    );
    guest.expect_end(VIOLATION);
}

#[test]
fn who_goes_leaves_no_room_for_more_of_the_same_user() {
    let user = "authorization { users [ {user: u, pass: p, max_connections: 2} ] }";
    let (server, file) = server(&format!("no_auth_user: u\n{user}"));
    let mut stays = enter(&server, "u", "p");
    let mut guest = server.client();
    guest.sync();
    reload(&server, &file, &user.replace(": 2", ": 1"));
    guest.expect_end(VIOLATION);
    let mut more = server.connect();
    more.send("CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n");
    more.expect_end("-ERR 'maximum connections exceeded'\r\n");
    hears_nothing(&mut stays);
}

#[test]
fn limits_change_and_clients_are_told() {
    let (server, file) = server("max_payload: 1000\n");
    let mut old = server.client();
    let mut new = server.connect();
    new.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\n");
    new.sync();
    let said = reload(
        &server,
        &file,
        "max_payload: 100\nmax_connections: 2\nping_interval: 50ms\nwrite_deadline: 3s\nport: 9\n",
    );
    // What the command line said stays what it is: it says the port.
    assert!(!said.contains("cannot change"), "{said}");
    let info = loop {
        let line = new.line();
        if line.starts_with("INFO ") && !line.contains("connect_info") {
            break line;
        }
    };
    assert!(info.contains("\"max_payload\":100,"), "{info}");
    server
        .connect()
        .expect_end("-ERR 'maximum connections exceeded'\r\n");
    old.expect("PING\r\n");
    old.send("PUB a 101\r\n");
    let rest = String::from_utf8_lossy(&old.rest()).into_owned();
    assert!(
        rest.ends_with("-ERR 'Maximum Payload Violation'\r\n"),
        "{rest}"
    );
    assert_eq!(server.json("/varz")["write_deadline"], 3_000_000_000u64);
    let said = reload(&server, &file, "server_name: other\n");
    assert!(said.contains("server_name cannot change"), "{said}");
    assert!(!server.connect().info.contains("other"));
}

#[test]
fn the_newest_go_where_there_may_be_fewer() {
    let (server, file) = server("max_connections: 4\n");
    let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
    let said = reload(&server, &file, "max_connections: 2\n");
    assert!(said.contains("Reloaded: 2 clients let go"), "{said}");
    for mut client in clients.split_off(2) {
        client.expect_end("-ERR 'maximum connections exceeded'\r\n");
    }
    for client in &mut clients {
        client.sync();
    }
}

#[test]
fn a_wrong_file_changes_nothing() {
    let (server, file) = server("authorization { token: t }\n");
    let log = format!("{}.log", file.path());
    let mut client = server.connect();
    client.send("CONNECT {\"verbose\":false,\"auth_token\":\"t\"}\r\n");
    client.sync();
    for (text, wanted) in [
        ("authorization {", "FILE:1: the block has no end"),
        (
            "debug: true\nmax_payload: x\n",
            "FILE:2: max_payload takes a number",
        ),
        (
            "no_auth_user: x\nauthorization { token: t }",
            "none of the users",
        ),
        (
            "log_file: /nowhere/at/all\n",
            "cannot log to /nowhere/at/all",
        ),
        (
            "debug: true\nlog_file: LOG\nfoo: 1\naccounts { NEW { users: [ {user: u, password: p} ] } }\nsystem_account: NEW\n",
            "accounts cannot go",
        ),
    ] {
        let said = reload(&server, &file, &text.replace("LOG", &log));
        let failed = said
            .find("Reload failed, nothing has changed: ")
            .expect(&said);
        assert!(said[failed..].contains(wanted), "{text}: {said}");
        assert!(!said.contains("[DBG]") && !said.contains("foo"), "{said}");
        assert!(!fs::exists(&log).expect("a folder"), "{text}");
    }
    fs::remove_file(file.path()).expect("it is there");
    server.signal("HUP");
    server.wait_log("No such file");
    hears_nothing(&mut client);
    let mut other = server.connect();
    other.send("CONNECT {\"auth_token\":\"x\"}\r\n");
    other.expect_end(VIOLATION);
}

#[test]
fn the_log_may_go_elsewhere() {
    let (server, file) = server("");
    let folder = std::env::temp_dir().join(format!("midge-reload-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let log = folder.join("log");
    file.replace(&format!(
        "debug: true\nlog_file: '{}'\nfoo: 1\n",
        log.display()
    ));
    server.signal("HUP");
    let deadline = std::time::Instant::now() + crate::util::PATIENCE;
    let read = |wanted: &str| {
        while !fs::read_to_string(&log).is_ok_and(|text| text.contains(wanted)) {
            assert!(
                std::time::Instant::now() < deadline,
                "{wanted} is not there"
            );
            std::thread::yield_now();
        }
    };
    read("Reloaded: ");
    read("\"foo\" is not known");
    drop(server.client());
    read("[DBG] client");
    let said = reload(&server, &file, "");
    assert!(said.contains("Reloaded: "), "{said}");
    let _ = fs::remove_dir_all(&folder);
}

#[cfg(feature = "tls")]
#[test]
fn certificates_say_nothing_until_tls_is_there() {
    let keys = crate::tls_util::Keys::new("stays");
    let users = "authorization { users: [ {user: u, pass: p} ] }";
    let (server, file) = server(users);
    let mut client = enter(&server, "u", "p");
    let tls = format!(
        "{users}\ntls {{ cert_file: '{}', key_file: '{}', ca_file: '{}', verify_and_map: true }}",
        keys.path("server.pem"),
        keys.path("server.key"),
        keys.path("root.pem"),
    );
    let said = reload(&server, &file, &tls);
    assert!(said.contains("tls cannot change"), "{said}");
    assert!(said.contains("Reloaded: 0 clients let go"), "{said}");
    hears_nothing(&mut client);
    enter(&server, "u", "p");
}

#[test]
fn without_a_file_there_is_nothing_to_read() {
    let server = Server::start();
    server.signal("HUP");
    server.wait_log("nothing to reload");
}

#[test]
fn no_message_is_lost_on_the_way() {
    let users = |extra: &str, payload: usize| {
        format!(
            "max_payload: {payload}\nauthorization {{ users [ {{user: pub, pass: p {extra}}},
               {{user: sub, pass: p {extra}}}, {{user: other, pass: p}} ] }}"
        )
    };
    let (server, file) = server(&users("", 100_000));
    let mut sub = enter(&server, "sub", "p");
    sub.send("SUB load.> 1\r\n");
    sub.sync();
    let address = server.address;
    let publisher = std::thread::spawn(move || {
        let mut client = Client::connect(address);
        client.send("CONNECT {\"verbose\":false,\"user\":\"pub\",\"pass\":\"p\"}\r\n");
        for number in 0..60_000 {
            client.send(format!("PUB load.{} 8\r\n{number:08}\r\n", number % 10));
            if number % 500 == 0 {
                hears_nothing(&mut client);
            }
        }
        hears_nothing(&mut client);
    });
    let reader = std::thread::spawn(move || {
        for number in 0..60_000 {
            let mut line = sub.line();
            if line == "PING" {
                line = sub.line();
            }
            assert_eq!(line, format!("MSG load.{} 1 8", number % 10));
            assert_eq!(sub.line(), format!("{number:08}"));
        }
        hears_nothing(&mut sub);
    });
    let rules =
        ", permissions { publish: \"load.*\", subscribe: { allow: \"load.>\", deny: secret } }";
    let mut rounds = 0;
    while !publisher.is_finished() {
        rounds += 1;
        let text = users(if rounds % 2 == 0 { "" } else { rules }, 90_000 + rounds);
        let said = reload(&server, &file, &text);
        assert!(
            said.contains("Reloaded: 0 clients let go, 0 subscriptions"),
            "{said}"
        );
    }
    publisher.join().expect("all was published");
    reader.join().expect("all has come");
    assert!(rounds > 2, "{rounds} rounds");
    println!("{rounds} rounds");
}
