//! Who gets what.

use crate::util::{CONNECT, Dice, Server};

#[test]
fn wildcards_match_by_token() {
    let server = Server::start();
    let mut client = server.client();
    for (filter, subject, receives) in [
        ("a", "a", true),
        ("a", "a.b", false),
        ("*", "a", true),
        ("*", "a.b", false),
        (">", "a.b.c", true),
        ("a.>", "a", false),
        ("a.*.c", "a.b.c", true),
        ("a.*.c", "a.b.d", false),
        ("a*b", "a*b", true),
        ("a*b", "aXb", false),
        (">", "a..b", false),
        (">", ".a", false),
        (">", "a.", false),
        (">", "a.*", true),
    ] {
        client.send(format!(
            "SUB {filter} 1\r\nPUB {subject} 1\r\nx\r\nUNSUB 1\r\n"
        ));
        let heard = client.sync();
        let wanted = format!("MSG {subject} 1 1\r\nx\r\n");
        assert_eq!(
            heard.contains(&wanted),
            receives,
            "{filter} {subject}: {heard}"
        );
    }
}

#[test]
fn matches_stay_right_while_subscriptions_come_and_go() {
    let server = Server::start();
    let mut client = server.client();
    client.sync();
    let round = |client: &mut crate::util::Client| {
        client.send("PUB a.b 0\r\n\r\n");
        let mut sids: Vec<String> = client
            .sync()
            .lines()
            .filter_map(|line| {
                line.strip_prefix("MSG a.b ")
                    .map(|rest| rest[..1].to_owned())
            })
            .collect();
        sids.sort();
        sids.concat()
    };
    assert_eq!(round(&mut client), "");
    client.send("SUB a.b 1\r\n");
    assert_eq!(round(&mut client), "1");
    client.send("SUB a.* 2\r\nSUB a.b 3\r\n");
    assert_eq!(round(&mut client), "123");
    client.send("UNSUB 1\r\nUNSUB 3\r\n");
    assert_eq!(round(&mut client), "2");
    client.send("SUB > 4\r\nUNSUB 2\r\n");
    assert_eq!(round(&mut client), "4");
    client.send("UNSUB 4\r\n");
    assert_eq!(round(&mut client), "");
}

#[test]
fn a_queue_group_shares_messages_fairly() {
    let server = Server::start();
    let mut members: Vec<_> = (0..4).map(|_| server.client()).collect();
    for member in &mut members {
        member.send("SUB jobs.* workers 1\r\n");
        member.sync();
    }
    let mut publisher = server.client();
    for index in 0..4000 {
        publisher.send(format!("PUB jobs.{} 0\r\n\r\n", index % 7));
    }
    publisher.sync();
    let counts: Vec<usize> = members
        .iter_mut()
        .map(|member| member.sync().matches("MSG jobs.").count())
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 4000);
    assert!(
        counts.iter().all(|count| (850..1150).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn each_queue_group_gets_one_copy_and_each_plain_subscription_its_own() {
    let server = Server::start();
    let mut client = server.client();
    // One group under two filters is still one group.
    client.send("SUB a q 1\r\nSUB a q 2\r\nSUB * q 3\r\nSUB a r 4\r\nSUB a 5\r\nSUB > 6\r\n");
    client.sync();
    for _ in 0..50 {
        client.send("PUB a 0\r\n\r\n");
        let heard = client.sync();
        let count = |sids: &[&str]| -> usize {
            sids.iter()
                .map(|sid| heard.matches(&format!("MSG a {sid} 0\r\n")).count())
                .sum()
        };
        assert_eq!(count(&["1", "2", "3"]), 1, "{heard}");
        assert_eq!(
            (count(&["4"]), count(&["5"]), count(&["6"])),
            (1, 1, 1),
            "{heard}"
        );
    }
}

#[test]
fn no_echo_keeps_own_messages_away_and_passes_the_queue_on() {
    let server = Server::start();
    let mut muted = server.connect();
    muted.send("CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\nSUB a q 2\r\n");
    muted.sync();
    let mut other = server.client();
    other.send("SUB a q 1\r\n");
    other.sync();
    for _ in 0..20 {
        muted.send("PUB a 0\r\n\r\n");
    }
    assert_eq!(muted.sync(), "");
    assert_eq!(other.sync().matches("MSG a 1 0").count(), 20);
}

#[test]
fn a_reused_sid_is_ignored() {
    let server = Server::start();
    let mut client = server.client();
    client.send("SUB a 1\r\nSUB b 1\r\nPUB b 0\r\n\r\nPUB a 0\r\n\r\n");
    client.expect("MSG a 1 0\r\n\r\n");
    client.send("UNSUB 1\r\nSUB b 1\r\nPUB b 0\r\n\r\n");
    client.expect("MSG b 1 0\r\n\r\n");
}

#[test]
fn sids_are_any_bytes() {
    let server = Server::start();
    let mut client = server.client();
    let long = "x".repeat(200);
    for sid in ["0", "a.b-c_d", "ä", "*", &long] {
        client.send(format!("SUB a {sid}\r\nPUB a 0\r\n\r\nUNSUB {sid}\r\n"));
        client.expect(format!("MSG a {sid} 0\r\n\r\n"));
        client.sync();
    }
}

#[test]
fn unsub_max_counts_from_the_subscription() {
    let server = Server::start();
    for (steps, delivered) in [
        ("U2 P P P", 2),
        ("P P U2 P", 2),
        ("P U3 U2 P P", 2),
        ("P P U1 P", 2),
        ("U0 P", 0),
        ("P U0 P", 1),
        ("U5 P P", 2),
    ] {
        let mut client = server.client();
        client.send("SUB a 1\r\n");
        for step in steps.split(' ') {
            match step.strip_prefix('U') {
                Some(max) => client.send(format!("UNSUB 1 {max}\r\n")),
                None => client.send("PUB a 0\r\n\r\n"),
            }
        }
        assert_eq!(
            client.sync().matches("MSG a 1 0").count(),
            delivered,
            "{steps}"
        );
    }
}

#[test]
fn a_spent_subscription_is_gone_at_once() {
    let server = Server::start_with(&["--http-port", "0"]);
    let mut client = server.client();
    client.send("SUB a q 1\r\nUNSUB 1 1\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n");
    assert_eq!(client.sync().matches("MSG").count(), 1);
    assert_eq!(server.json("/varz")["subscriptions"], 0);
    client.send("SUB b 1\r\nPUB b 0\r\n\r\n");
    client.expect("MSG b 1 0\r\n\r\n");
}

#[test]
fn nobody_listening_is_told_to_the_requester_alone() {
    let server = Server::start();
    let mut client = server.client();
    client.sync();
    let status = "HMSG r 7 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n";
    client.send("PUB nobody r 0\r\n\r\n");
    assert_eq!(client.sync(), "", "it has no subscription for the reply");
    client.send("SUB r q 6\r\nPUB nobody r 0\r\n\r\n");
    assert_eq!(client.sync(), "", "a queue subscription does not count");
    client.send("SUB r 7\r\nPUB nobody r 2\r\nhi\r\n");
    assert_eq!(client.sync(), status);
    // The status is not one of the messages that a maximum counts.
    client.send("UNSUB 7 1\r\nPUB nobody r 0\r\n\r\nPUB r 0\r\n\r\nPUB r 0\r\n\r\n");
    let heard = client.sync();
    assert!(heard.starts_with(status), "{heard}");
    assert_eq!(heard.matches("MSG r 7 0").count(), 1, "{heard}");
    client.send("SUB r 7\r\nPUB nobody..x r 0\r\n\r\n");
    assert!(client.sync().contains("Nats-Subject: nobody..x\r\n"));
}

#[test]
fn own_subscriptions_muted_by_echo_do_not_count_as_responders() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false,\"headers\":true,\"no_responders\":true}\r\n\
         SUB a 1\r\nSUB r 2\r\nPUB a r 0\r\n\r\n",
    );
    client.expect("HMSG r 2 33 33\r\nNATS/1.0 503\r\nNats-Subject: a\r\n\r\n\r\n");
}

#[test]
fn without_no_responders_a_request_into_the_void_is_silent() {
    let server = Server::start();
    let mut client = server.connect();
    client
        .send("CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB r 1\r\nPUB nobody r 0\r\n\r\n");
    assert_eq!(client.sync(), "");
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    let server = Server::start();
    let mut reader = server.client();
    reader.send("SUB order.> 1\r\n");
    reader.sync();
    let mut publishers: Vec<_> = (0..3).map(|_| server.client()).collect();
    for round in 0..500 {
        for (who, publisher) in publishers.iter_mut().enumerate() {
            let body = format!("{round:04}");
            publisher.send(format!("PUB order.{who} 4\r\n{body}\r\n"));
        }
    }
    for publisher in &mut publishers {
        publisher.sync();
    }
    let heard = reader.sync();
    let mut next = [0; 3];
    let mut lines = heard.lines();
    while let (Some(line), Some(body)) = (lines.next(), lines.next()) {
        let who: usize = line["MSG order.".len()..][..1].parse().unwrap();
        assert_eq!(body.parse(), Ok(next[who]), "publisher {who}");
        next[who] += 1;
    }
    assert_eq!(next, [500; 3]);
}

#[test]
fn large_payloads_reach_many_whole() {
    let server = Server::start();
    let mut readers: Vec<_> = (0..3).map(|_| server.client()).collect();
    for reader in &mut readers {
        reader.send("SUB big 1\r\n");
        reader.sync();
    }
    let mut publisher = server.client();
    let sizes = [16_300, 16_384, 65_500, 65_536, 200_000, 1_048_576];
    let body = |size: usize| -> Vec<u8> { (0..size).map(|at| (at % 251) as u8).collect() };
    for size in sizes {
        publisher.send(format!("PUB big {size}\r\n"));
        publisher.send(body(size));
        publisher.send("\r\n");
    }
    for reader in &mut readers {
        for size in sizes {
            reader.expect(format!("MSG big 1 {size}\r\n"));
            reader.expect(body(size));
            reader.expect("\r\n");
        }
    }
}

#[test]
fn ten_thousand_subscriptions_on_one_connection() {
    let server = Server::start_with(&["--http-port", "0"]);
    let mut client = server.client();
    let lines: String = (0..10_000)
        .map(|n| format!("SUB many.{n}.x {n}\r\n"))
        .collect();
    client.send(lines);
    client.sync();
    assert_eq!(server.json("/varz")["subscriptions"], 10_000);
    client.send("PUB many.7777.x 0\r\n\r\n");
    client.expect("MSG many.7777.x 7777 0\r\n\r\n");
    drop(client);
    server.wait_json("/varz", |varz| varz["subscriptions"] == 0);
}

#[test]
fn everything_is_delivered_when_frames_come_in_pieces() {
    let server = Server::start();
    let mut client = server.connect();
    let script = format!(
        "{CONNECT}SUB a.* q 12\r\nPUB a.b reply 5\r\nhello\r\nHPUB a.c 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 12\r\nPING\r\n"
    );
    for byte in script.as_bytes() {
        client.send([*byte]);
    }
    client.expect(
        "MSG a.b 12 reply 5\r\nhello\r\nHMSG a.c 12 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n",
    );
}

#[test]
fn thousands_of_queue_groups_on_one_subject() {
    const GROUPS: usize = 20_000;
    let server = Server::start();
    let mut client = server.client();
    let lines: String = (0..GROUPS)
        .map(|n| format!("SUB q g{n} {n}\r\nSUB * g{n} w{n}\r\n"))
        .collect();
    client.send(lines);
    client.sync();
    for _ in 0..3 {
        client.send("PUB q 0\r\n\r\n");
        assert_eq!(client.sync().matches("MSG q ").count(), GROUPS);
    }
    drop(client);
    server.client().sync();
}

#[test]
fn nothing_is_lost_or_reordered_when_turns_are_cut_short() {
    const SUBSCRIPTIONS: usize = 60;
    let server = Server::start();
    let mut reader = server.client();
    for sid in 0..SUBSCRIPTIONS {
        reader.send(format!("SUB cut.> {sid}\r\n"));
    }
    reader.sync();
    let sizes = [0, 1, 500, 5_000, 40_000, 70_000, 16_384];
    let body = |number: usize| vec![b'a' + (number % 26) as u8; sizes[number % sizes.len()]];
    let messages = 300;
    let mut script = Vec::new();
    for number in 0..messages {
        let body = body(number);
        script.extend_from_slice(format!("PUB cut.{number} {}\r\n", body.len()).as_bytes());
        script.extend_from_slice(&body);
        script.extend_from_slice(b"\r\n");
    }
    let mut writer = server.client();
    let writing = std::thread::spawn(move || {
        let mut dice = Dice::new(77);
        let mut rest = &script[..];
        while !rest.is_empty() {
            let (front, back) = rest.split_at(rest.len().min(1 + dice.below(300_000)));
            writer.send(front);
            rest = back;
        }
        assert_eq!(writer.sync(), "");
    });
    for number in 0..messages {
        let body = body(number);
        let mut sids = [false; SUBSCRIPTIONS];
        for _ in 0..SUBSCRIPTIONS {
            let line = reader.line();
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[1], format!("cut.{number}"), "{line}");
            assert_eq!(words[3], body.len().to_string(), "{line}");
            let sid: usize = words[2].parse().unwrap();
            assert!(!std::mem::replace(&mut sids[sid], true), "{line} twice");
            reader.expect(&body);
            reader.expect("\r\n");
        }
    }
    writing.join().unwrap();
}
