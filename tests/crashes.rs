//! The real program, killed again and again in the middle of its work; what it
//! promised is compared with what is there.
//!
//! `MIDGE_CRASH_ROUNDS` sets how often, `MIDGE_CRASH_SEED` replays the choices
//! of a run (not its timing, which is the machine's).

use crate::stream_util::{Dir, Message};
use crate::util::{CONNECT, Client, Dice, Server};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PUBLISHERS: u64 = 3;
const WORKERS: usize = 2;
/// Publishes of one client that may be unanswered.
const WINDOW: usize = 100;
/// Messages that one pull asks for.
const BATCH: usize = 50;

/// How often the server is killed, and what the choices are made from.
pub(crate) fn rounds_and_seed() -> (u64, u64) {
    let rounds = number_from("MIDGE_CRASH_ROUNDS", 8);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number_from("MIDGE_CRASH_SEED", u64::from(now.subsec_nanos()) | 1);
    (rounds, seed)
}

fn number_from(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What the clients were told, over all rounds.
#[derive(Default)]
struct Told {
    /// PubAcks: the payload under each sequence.
    acked: BTreeMap<u64, Vec<u8>>,
    /// Everything that was sent, acknowledged or not.
    sent: BTreeSet<Vec<u8>>,
    /// What a consumer was given under each sequence.
    delivered: BTreeMap<u64, Vec<u8>>,
    /// Sequences whose acks were confirmed, by consumer.
    confirmed: HashMap<&'static str, BTreeSet<u64>>,
    /// What should never have happened.
    broken: Vec<String>,
}

type Ledger = Arc<Mutex<Told>>;

impl Told {
    fn acked(&mut self, seq: u64, payload: &[u8]) {
        if let Some(before) = self.acked.insert(seq, payload.to_vec()) {
            self.broken.push(format!(
                "sequence {seq} was acknowledged twice: {} bytes and {}",
                before.len(),
                payload.len()
            ));
        }
        self.compare(seq);
    }

    fn delivered(&mut self, consumer: &'static str, message: &Message) {
        let seq = message.sequence();
        if self
            .confirmed
            .get(consumer)
            .is_some_and(|done| done.contains(&seq))
        {
            self.broken.push(format!(
                "{consumer}: {seq} was delivered after its ack was confirmed"
            ));
        }
        if !self.sent.contains(&message.body) {
            self.broken
                .push(format!("{consumer}: {seq} was never sent like this"));
        }
        if let Some(before) = self.delivered.insert(seq, message.body.clone())
            && before != message.body
        {
            self.broken
                .push(format!("{consumer}: {seq} was delivered with two payloads"));
        }
        self.compare(seq);
    }

    fn compare(&mut self, seq: u64) {
        if let (Some(acked), Some(delivered)) = (self.acked.get(&seq), self.delivered.get(&seq))
            && acked != delivered
        {
            self.broken.push(format!(
                "{seq} was delivered with another payload than the one acknowledged"
            ));
        }
    }
}

/// A connection that may end at any moment.
pub(crate) struct Frail {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Frail {
    pub(crate) fn connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(crate::util::PATIENCE)).ok()?;
        let mut frail = Frail {
            stream,
            received: Vec::new(),
        };
        frail.send(CONNECT.as_bytes())?;
        Some(frail)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).ok()
    }

    fn fill(&mut self) -> Option<()> {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => None,
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Some(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server is silent")
            }
            Err(_) => None,
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.received.len() < count {
            self.fill()?;
        }
        let rest = self.received.split_off(count);
        Some(std::mem::replace(&mut self.received, rest))
    }

    /// The next message; nothing once the server is gone.
    pub(crate) fn message(&mut self) -> Option<Message> {
        loop {
            let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") else {
                self.fill()?;
                continue;
            };
            let line = String::from_utf8(self.take(end + 2)?).unwrap();
            let words: Vec<&str> = line.trim_end().split(' ').collect();
            let has_header = words[0] == "HMSG";
            if !has_header && words[0] != "MSG" {
                if words[0] == "PING" {
                    self.send(b"PONG\r\n")?;
                }
                continue;
            }
            let sizes = 1 + usize::from(has_header);
            let size = |place: usize| words[place].parse::<usize>().unwrap();
            let header_len = if has_header { size(words.len() - 2) } else { 0 };
            let payload = self.take(size(words.len() - 1))?;
            self.take(2)?;
            return Some(Message {
                subject: words[1].to_owned(),
                sid: words[2].to_owned(),
                reply: (words.len() == 4 + sizes).then(|| words[3].to_owned()),
                header: String::from_utf8_lossy(&payload[..header_len]).into_owned(),
                body: payload[header_len..].to_vec(),
            });
        }
    }
}

/// Payloads that occur once: who, when, and filling of any length.
fn payload(dice: &mut Dice, who: u64, round: u64, number: u64) -> Vec<u8> {
    let mut payload = format!("{who}/{round}/{number}/").into_bytes();
    let len = match dice.below(50) {
        0 => dice.below(200_000),
        1..=5 => dice.below(10_000),
        _ => dice.below(200),
    };
    payload.extend(dice.next().to_le_bytes().repeat(len / 8));
    payload
}

/// Publishes with a window of unanswered messages until the server is gone.
fn publish(
    address: SocketAddr,
    ledger: &Ledger,
    mut dice: Dice,
    who: u64,
    round: u64,
) -> Option<()> {
    let mut client = Frail::connect(address)?;
    client.send(format!("SUB _I{who}.* 1\r\n").as_bytes())?;
    let mut open: HashMap<String, Vec<u8>> = HashMap::new();
    for number in 0.. {
        while open.len() >= WINDOW {
            let ack = client.message()?;
            let payload = open.remove(&ack.subject).expect("an ack for each");
            let said: serde_json::Value =
                serde_json::from_slice(&ack.body).expect("an ack is JSON");
            let seq = said["seq"].as_u64().filter(|seq| *seq > 0);
            let seq = seq.unwrap_or_else(|| panic!("refused: {}", ack.text()));
            ledger.lock().unwrap().acked(seq, &payload);
        }
        let payload = payload(&mut dice, who, round, number);
        ledger.lock().unwrap().sent.insert(payload.clone());
        let mut frame = format!("PUB s.{who} _I{who}.{number} {}\r\n", payload.len()).into_bytes();
        frame.extend_from_slice(&payload);
        frame.extend_from_slice(b"\r\n");
        open.insert(format!("_I{who}.{number}"), payload);
        client.send(&frame)?;
    }
    None
}

/// Pulls, and acknowledges with confirmation, until the server is gone. Some
/// messages it leaves or refuses.
fn work(
    address: SocketAddr,
    ledger: &Ledger,
    mut dice: Dice,
    who: usize,
    consumer: &'static str,
) -> Option<()> {
    let mut client = Frail::connect(address)?;
    client.send(format!("SUB _P{who} p\r\nSUB _A{who}.* a\r\n").as_bytes())?;
    loop {
        let ask = format!("{{\"batch\":{BATCH},\"expires\":200000000}}");
        client.send(
            format!(
                "PUB $JS.API.CONSUMER.MSG.NEXT.S.{consumer} _P{who} {}\r\n{ask}\r\n",
                ask.len()
            )
            .as_bytes(),
        )?;
        let mut got = 0;
        let mut unconfirmed = 0;
        while got < BATCH || unconfirmed > 0 {
            let message = client.message()?;
            if message.sid == "a" {
                unconfirmed -= 1;
                let seq: u64 = message.subject.rsplit('.').next().unwrap().parse().unwrap();
                let mut told = ledger.lock().unwrap();
                told.confirmed.entry(consumer).or_default().insert(seq);
            } else if message.reply.is_none() {
                // The pull has ended.
                got = BATCH;
            } else {
                got += 1;
                ledger.lock().unwrap().delivered(consumer, &message);
                let (ack, seq) = (message.ack(), message.sequence());
                match dice.below(12) {
                    0 => client.send(format!("PUB {ack} 4\r\n-NAK\r\n").as_bytes())?,
                    1 => {}
                    _ => {
                        unconfirmed += 1;
                        client.send(format!("PUB {ack} _A{who}.{seq} 0\r\n\r\n").as_bytes())?;
                    }
                }
            }
        }
    }
}

/// Runs clients against a server for a while and kills it.
fn round(server: Server, ledger: &Ledger, dice: &mut Dice, round: u64) {
    let address = server.address;
    let mut threads: Vec<JoinHandle<Option<()>>> = Vec::new();
    for who in 0..PUBLISHERS {
        let (ledger, dice) = (ledger.clone(), Dice::quiet(dice.next()));
        threads.push(std::thread::spawn(move || {
            publish(address, &ledger, dice, who, round)
        }));
    }
    for (place, consumer) in ["d", "e"].into_iter().enumerate() {
        for who in 0..WORKERS {
            let (ledger, dice) = (ledger.clone(), Dice::quiet(dice.next()));
            threads.push(std::thread::spawn(move || {
                work(address, &ledger, dice, place * WORKERS + who, consumer)
            }));
        }
    }
    // The moment is what the test is about, so this is no wait for something.
    std::thread::sleep(Duration::from_millis(10 + dice.below(150) as u64));
    crate::stream_util::End::Killed.bring(server);
    for thread in threads {
        thread.join().expect("no client met what it must not");
    }
}

/// Reads all that is stored and compares.
fn check(client: &mut Client, ledger: &Ledger, seed: u64) {
    let state = client.state("S");
    let (first, last) = (
        state["first_seq"].as_u64().unwrap(),
        state["last_seq"].as_u64().unwrap(),
    );
    let mut stored: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    client.send("SUB _B b\r\n");
    let mut at = first;
    while at <= last {
        client.publish(
            "$JS.API.DIRECT.GET.S",
            Some("_B"),
            "",
            format!("{{\"seq\":{at},\"batch\":500}}"),
        );
        loop {
            let message = client.message();
            if message.header.starts_with("NATS/1.0 204")
                || message.header.starts_with("NATS/1.0 404")
            {
                break;
            }
            let seq = message
                .header
                .lines()
                .find_map(|line| line.strip_prefix("Nats-Sequence: "));
            let seq: u64 = seq.expect("a sequence").parse().unwrap();
            stored.insert(seq, message.body);
            at = seq + 1;
        }
    }
    client.send("UNSUB b\r\n");
    let mut told = ledger.lock().unwrap();
    let mut broken = std::mem::take(&mut told.broken);
    assert_eq!(
        stored.len() as u64,
        state["messages"].as_u64().unwrap(),
        "seed {seed}"
    );
    for (what, promised) in [
        ("acknowledged", &told.acked),
        ("delivered", &told.delivered),
    ] {
        for (seq, payload) in promised {
            match stored.get(seq) {
                Some(found) if found == payload => {}
                Some(_) => broken.push(format!(
                    "{seq} was {what} with another payload than is stored"
                )),
                None => broken.push(format!("{seq} was {what} and is gone")),
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (seq, payload) in &stored {
        if !told.sent.contains(payload) {
            broken.push(format!("{seq} is stored and was never sent like this"));
        }
        if !seen.insert(payload) {
            broken.push(format!("{seq} is stored a second time"));
        }
    }
    broken.truncate(20);
    assert!(broken.is_empty(), "seed {seed}: {broken:#?}");
}

#[test]
fn what_was_promised_is_kept_however_often_the_server_is_killed() {
    let (rounds, seed) = rounds_and_seed();
    let mut dice = Dice::new(seed);
    let dir = Dir::new();
    let ledger = Ledger::default();
    let server = dir.serve();
    let mut client = server.client();
    let compression = ["none", "s2"][dice.below(2)];
    let fields = format!("\"allow_direct\":true,\"compression\":\"{compression}\"");
    client.make_stream("S", "s.>", &fields);
    for consumer in ["d", "e"] {
        client.make_durable(
            "S",
            consumer,
            "\"ack_wait\":300000000,\"max_ack_pending\":500",
        );
    }
    let mut next = Some(server);
    for number in 0..rounds {
        let server = next.take().unwrap_or_else(|| dir.serve());
        round(server, &ledger, &mut dice, number);
        let server = dir.serve();
        check(&mut server.client(), &ledger, seed);
        // A round begins now and then right where the last one ended, with a
        // store that was opened once; else it is killed while it is idle.
        if dice.below(2) == 0 {
            next = Some(server);
        } else {
            crate::stream_util::End::Killed.bring(server);
        }
    }
    let told = ledger.lock().unwrap();
    let confirmed: usize = told.confirmed.values().map(BTreeSet::len).sum();
    println!(
        "{rounds} kills, compression {compression}: {} sent, {} acknowledged, {} delivered, {confirmed} acks confirmed",
        told.sent.len(),
        told.acked.len(),
        told.delivered.len()
    );
    assert!(
        !told.acked.is_empty() && confirmed > 0,
        "the clients came to nothing"
    );
}
