//! A person on a bare socket. Typed lines end in LF, as `nc` sends them.

use crate::util::Server;

#[test]
fn help_says_what_can_be_typed() {
    let server = Server::start();
    let mut person = server.connect();
    person.send("HELP\n");
    let help = person.sync();
    for verb in ["SUB", "UNSUB", "SEND", "ASK", "PUB", "PING", "CONNECT"] {
        assert!(help.contains(&format!("  {verb}")), "{verb}: {help}");
    }
}

#[test]
fn send_needs_no_counting() {
    let server = Server::start();
    let mut person = server.connect();
    person.send("SUB greet.* 1\n");
    person.expect("+OK\r\n");
    person.send("SEND greet.joe hello  there \n");
    person.expect("+OK\r\nMSG greet.joe 1 13\r\nhello  there \r\n");
    person.send("send greet.joe\n");
    person.expect("+OK\r\nMSG greet.joe 1 0\r\n\r\n");
}

#[test]
fn ask_shows_the_answer() {
    let server = Server::start();
    let mut service = server.client();
    service.send("SUB time.now 1\r\n");
    service.sync();
    let mut person = server.connect();
    person.send("ASK time.now in UTC please\n");
    person.expect("+OK\r\n");
    let request = service.line();
    let reply = request.split(' ').nth(3).expect(&request).to_owned();
    assert!(reply.starts_with("_INBOX."), "{request}");
    assert_eq!(service.line(), "in UTC please");
    service.send(format!(
        "PUB {reply} 4\r\nnoon\r\nPUB {reply} 4\r\nlate\r\n"
    ));
    service.sync();
    person.expect(format!("MSG {reply} ask-1 4\r\nnoon\r\n"));
    assert_eq!(person.sync(), "", "one question, one answer");
    person.send("ASK nobody anything\n");
    person.expect("-ERR 'nobody listens there");
}

#[test]
fn questions_that_are_never_answered_do_not_pile_up() {
    let server = Server::start_with(&["--http-port", "0"]);
    let mut service = server.client();
    service.send("SUB deaf 1\r\n");
    service.sync();
    let mut person = server.connect();
    for _ in 0..100 {
        person.send("ASK deaf hello\n");
    }
    person.sync();
    assert_eq!(server.json("/varz")["subscriptions"], 1 + 16);
}

#[test]
fn mistakes_are_answered_with_what_to_type() {
    let server = Server::start();
    let mut person = server.connect();
    for (typed, hint) in [
        ("hello\n", "type HELP"),
        ("\n", "type HELP"),
        ("PUB a\n", "SEND <subject> <text>"),
        ("PUB a five\n", "SEND <subject> <text>"),
        ("SUB a\n", "SUB greet.> 1"),
        ("UNSUB \n", "UNSUB takes <id>"),
        ("SEND \n", "SEND takes <subject> <text>"),
        ("SEND a.* x\n", "without wildcards"),
        ("ASK a..b x\n", "without wildcards"),
        ("CONNECT\n", "JSON"),
        ("HPUB a 1\n", "HPUB takes"),
    ] {
        person.send(typed);
        let heard = person.line();
        assert!(
            heard.starts_with("-ERR '") && heard.contains(hint),
            "{typed:?}: {heard}"
        );
    }
    // The line is still good for something.
    person.send("SUB a 1\nSEND a b\n");
    person.expect("+OK\r\n+OK\r\nMSG a 1 1\r\nb\r\n");
}

#[test]
fn a_payload_without_cr_lf_is_explained() {
    let server = Server::start();
    let mut person = server.connect();
    person.send("PUB a 5\nhello\n");
    let heard = person.line();
    assert!(heard.contains("SEND <subject> <text>"), "{heard}");
    person.expect_end("-ERR 'Unknown Protocol Operation'\r\n");
}

#[test]
fn programs_get_none_of_this() {
    let server = Server::start();
    let mut program = server.connect();
    program.send("hello\r\n");
    program.expect_end("-ERR 'Unknown Protocol Operation'\r\n");
    let mut program = server.connect();
    program.send("CONNECT {\"verbose\":false}\r\nSUB a\n");
    program.expect_end("");
}

#[test]
fn telnet_counts_as_a_person_once_it_has_asked_for_help() {
    let server = Server::start();
    let mut person = server.connect();
    person.send("HELP\r\n");
    while person.line() != "everything a NATS client sends works too." {}
    person.send("hello\r\n");
    person.expect("-ERR 'no such command; type HELP to see what there is'\r\n");
    person.send("SEND a b\r\n");
    person.expect("+OK\r\n");
}

#[test]
fn limits_hold_for_people_too() {
    let server = Server::start_with(&["--max-payload", "10", "--max-subscriptions", "1"]);
    let mut service = server.client();
    service.send("SUB a 1\r\n");
    service.sync();
    let mut person = server.connect();
    for verb in ["SEND", "ASK"] {
        person.send(format!("{verb} a 12345678901\n"));
        person.expect("-ERR 'the text is longer than max_payload'\r\n");
    }
    person.send("SUB b 1\nASK a now\n");
    person.expect("+OK\r\n-ERR 'maximum subscriptions exceeded'\r\n");
}

#[test]
fn patience_with_mistakes_ends() {
    let server = Server::start();
    let mut person = server.connect();
    person.send("x\n".repeat(100));
    let heard = String::from_utf8(person.rest()).unwrap();
    assert_eq!(heard.matches("type HELP").count(), 32);
    assert!(heard.ends_with("-ERR 'Unknown Protocol Operation'\r\n"));
}

#[cfg(feature = "streams")]
#[test]
fn a_person_keeps_a_message_and_takes_it_back() {
    let dir = crate::stream_util::Dir::new();
    let server = dir.serve();
    let mut person = server.connect();
    let mut ask = |line: &str| {
        person.send(format!("{line}\n"));
        // The confirmation and the answer come in either order.
        let (mut confirmed, mut answer) = (false, None);
        while !confirmed || answer.is_none() {
            let line = person.line();
            if line == "+OK" {
                confirmed = true;
            } else {
                answer = Some((line, person.line()));
            }
        }
        answer.unwrap()
    };
    let (_, created) =
        ask("ASK $JS.API.STREAM.CREATE.ORDERS {\"name\":\"ORDERS\",\"subjects\":[\"orders.>\"]}");
    assert!(created.contains("\"did_create\":true"), "{created}");
    let (_, stored) = ask("ASK orders.new a box of pears");
    assert_eq!(stored, "{\"stream\":\"ORDERS\",\"seq\":1}");
    let (_, made) = ask(
        "ASK $JS.API.CONSUMER.CREATE.ORDERS.packer {\"stream_name\":\"ORDERS\",\
         \"config\":{\"durable_name\":\"packer\",\"ack_policy\":\"explicit\"}}",
    );
    assert!(made.contains("\"name\":\"packer\""), "{made}");
    let (line, pears) = ask("ASK $JS.API.CONSUMER.MSG.NEXT.ORDERS.packer 1");
    assert_eq!(pears, "a box of pears");
    let ack = line.split(' ').nth(3).unwrap();
    let (line, nothing) = ask(&format!("ASK {ack} +ACK"));
    assert!(line.ends_with(" 0") && nothing.is_empty(), "{line}");
}
