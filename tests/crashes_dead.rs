//! The real program, killed while messages die, are buried and sent back: each
//! is in the queue, among the dead, or done, and never two of these.
//!
//! `MIDGE_CRASH_ROUNDS` and `MIDGE_CRASH_SEED` as with the other kills.

use crate::crashes::{Frail, rounds_and_seed};
use crate::stream_util::{Dir, End};
use crate::util::{Client, Dice, PATIENCE, Server};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
const BATCH: usize = 20;

/// What the clients did and were told.
#[derive(Default)]
struct Told {
    /// PubAcks.
    stored: BTreeSet<String>,
    /// An ack was sent.
    acked: BTreeSet<String>,
    /// It was confirmed.
    confirmed: BTreeSet<String>,
    deaths: u64,
}

type Ledger = Arc<Mutex<Told>>;

/// Stores messages, each acknowledged before the next.
fn publish(address: SocketAddr, ledger: &Ledger, round: u64) -> Option<()> {
    let mut client = Frail::connect(address)?;
    client.send(b"SUB _I 1\r\n")?;
    for number in 0.. {
        let body = format!("{round}/{number}");
        let subject = format!("q.{}", number % 7);
        client.send(format!("PUB {subject} _I {}\r\n{body}\r\n", body.len()).as_bytes())?;
        let ack = client.message()?;
        assert!(ack.text().contains("\"seq\":"), "{}", ack.text());
        ledger.lock().unwrap().stored.insert(body);
    }
    None
}

/// Takes messages and does anything with them.
fn work(address: SocketAddr, ledger: &Ledger, mut dice: Dice, who: usize) -> Option<()> {
    let mut client = Frail::connect(address)?;
    client.send(format!("SUB _P{who} p\r\nSUB _A{who}.> a\r\n").as_bytes())?;
    loop {
        let ask = format!("{{\"batch\":{BATCH},\"expires\":100000000}}");
        let len = ask.len();
        let next = "$JS.API.CONSUMER.MSG.NEXT.Q.w";
        client.send(format!("PUB {next} _P{who} {len}\r\n{ask}\r\n").as_bytes())?;
        let (mut got, mut unconfirmed) = (0, 0);
        while got < BATCH || unconfirmed > 0 {
            let message = client.message()?;
            if message.sid == "a" {
                unconfirmed -= 1;
                let body = message.subject.split_once('.').unwrap().1.to_owned();
                if let Some(body) = body.strip_prefix("ack.") {
                    let mut told = ledger.lock().unwrap();
                    told.confirmed.insert(body.to_owned());
                }
                continue;
            }
            if message.reply.is_none() {
                got = BATCH;
                continue;
            }
            got += 1;
            let body = message.text();
            {
                let told = ledger.lock().unwrap();
                assert!(
                    !told.confirmed.contains(&body),
                    "{body} came after it was done"
                );
            }
            let (word, kind) = match dice.below(10) {
                0..3 => ("", "ack"),
                3..5 => ("+TERM no use", "term"),
                5..9 => ("-NAK {\"reason\":\"not now\"}", "nak"),
                _ => continue,
            };
            if kind == "ack" {
                ledger.lock().unwrap().acked.insert(body.clone());
            }
            ledger.lock().unwrap().deaths += u64::from(kind == "term");
            unconfirmed += 1;
            let (ack, len) = (message.ack(), word.len());
            client
                .send(format!("PUB {ack} _A{who}.{kind}.{body} {len}\r\n{word}\r\n").as_bytes())?;
        }
    }
}

/// Sends dead letters back, and drops none.
fn revive(address: SocketAddr, mut dice: Dice) -> Option<()> {
    let mut client = Frail::connect(address)?;
    client.send(b"SUB _R 1\r\n")?;
    loop {
        let ask = format!("{{\"limit\":{}}}", 1 + dice.below(30));
        let len = ask.len();
        client.send(format!("PUB $MIDGE.API.DLQ.REDRIVE _R {len}\r\n{ask}\r\n").as_bytes())?;
        client.message()?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn round(server: Server, ledger: &Ledger, dice: &mut Dice, round: u64) {
    let address = server.address;
    let mut threads = Vec::new();
    let told = ledger.clone();
    threads.push(std::thread::spawn(move || publish(address, &told, round)));
    for who in 0..WORKERS {
        let (told, dice) = (ledger.clone(), Dice::quiet(dice.next()));
        threads.push(std::thread::spawn(move || work(address, &told, dice, who)));
    }
    let reviver = Dice::quiet(dice.next());
    threads.push(std::thread::spawn(move || revive(address, reviver)));
    // The moment is what the test is about, so this is no wait for something.
    std::thread::sleep(Duration::from_millis(30 + dice.below(250) as u64));
    End::Killed.bring(server);
    for thread in threads {
        thread.join().expect("no client met what it must not");
    }
}

/// The bodies of all messages of a stream; none may be there twice.
fn bodies(client: &mut Client, stream: &str) -> BTreeSet<String> {
    let state = client.state(stream);
    let (first, last) = (state["first_seq"].as_u64(), state["last_seq"].as_u64());
    let mut bodies = BTreeSet::new();
    client.send("SUB _B b\r\n");
    let mut at = first.unwrap();
    let mut is_more = state["messages"] != 0;
    while at <= last.unwrap() && is_more {
        is_more = false;
        let ask = format!("{{\"seq\":{at},\"batch\":500}}");
        client.publish(&format!("$JS.API.DIRECT.GET.{stream}"), Some("_B"), "", ask);
        loop {
            let message = client.message();
            let status = &message.header[..12.min(message.header.len())];
            if status == "NATS/1.0 204" || status == "NATS/1.0 404" {
                break;
            }
            let seq = message
                .header
                .lines()
                .find_map(|line| line.strip_prefix("Nats-Sequence: "));
            is_more = true;
            at = seq.unwrap().parse::<u64>().unwrap() + 1;
            let body = message.text();
            assert!(bodies.insert(body.clone()), "{stream} holds {body} twice");
        }
    }
    client.send("UNSUB b\r\n");
    bodies
}

/// What lies where: in the queue, then among the dead, then in the queue.
fn look(client: &mut Client) -> [BTreeSet<String>; 3] {
    let before = bodies(client, "Q");
    // It is made when it is first needed.
    let names = client.api("STREAM.NAMES", "{\"subject\":\"$DLQ.>\"}");
    let dead = if names["total"] == 0 {
        BTreeSet::new()
    } else {
        bodies(client, "DLQ")
    };
    [before, dead, bodies(client, "Q")]
}

fn check(client: &mut Client, ledger: &Ledger, seed: u64) -> usize {
    let begun = Instant::now();
    let told = ledger.lock().unwrap();
    loop {
        // Messages go on dying meanwhile: from the queue to the dead.
        let [before, dead, queued] = look(client);
        let both: Vec<_> = queued.intersection(&dead).collect();
        assert!(
            both.is_empty(),
            "seed {seed}: in the queue and dead: {both:?}"
        );
        for body in &told.confirmed {
            let is_gone = !queued.contains(body) && !dead.contains(body);
            assert!(is_gone, "seed {seed}: {body} was done and is still there");
        }
        let is_missing = |body: &&String| {
            !before.contains(*body) && !dead.contains(*body) && !told.acked.contains(*body)
        };
        let missing: Vec<&String> = told.stored.iter().filter(is_missing).collect();
        if missing.is_empty() {
            return dead.len();
        }
        // What has left the queue shows among the dead once it is on the disk.
        assert!(
            begun.elapsed() < PATIENCE,
            "seed {seed}: neither in the queue, nor dead, nor done: {missing:?}"
        );
    }
}

#[test]
fn nothing_is_lost_between_the_queue_and_the_dead() {
    let (rounds, seed) = rounds_and_seed();
    let mut dice = Dice::new(seed);
    let dir = Dir::new();
    let ledger = Ledger::default();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream(
        "Q",
        "q.>",
        "\"retention\":\"workqueue\",\"allow_direct\":true",
    );
    let order = json!({"midge.order_key": "subject"});
    let more = format!("\"max_deliver\":2,\"ack_wait\":100000000,\"metadata\":{order}");
    client.make_durable("Q", "w", &more);
    let mut next = Some(server);
    let mut buried = 0;
    for number in 0..rounds {
        let server = next.take().unwrap_or_else(|| dir.serve());
        round(server, &ledger, &mut dice, number);
        let server = dir.serve();
        buried += check(&mut server.client(), &ledger, seed);
        if dice.below(2) == 0 {
            next = Some(server);
        } else {
            End::Killed.bring(server);
        }
    }
    let told = ledger.lock().unwrap();
    println!(
        "{rounds} kills: {} stored, {} done, {} terminated, {buried} found dead",
        told.stored.len(),
        told.confirmed.len(),
        told.deaths
    );
    assert!(
        told.deaths > 0 && !told.confirmed.is_empty(),
        "the clients came to nothing"
    );
}
