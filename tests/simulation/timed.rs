//! Lifetimes, markers and schedules in the world of chance: one stream, whose
//! messages come and go by themselves while the power is cut and the disk
//! fails. What was promised is there as long as it is to be and no longer; what
//! is due is published once.

use super::told::Word;
use super::world::{CONTROL, World};
use crate::trace;
use midge_api::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;
const MARKER_SECS: i64 = 2;
/// Messages that are read at once.
const PAGE: usize = 10_000;

/// What a message asks for that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// To stay.
    Plain,
    /// To go then.
    Until(i64),
    /// To be published then.
    At(i64),
    /// To be published again and again, the first time by then at the latest.
    Every(i64),
}

#[derive(Debug)]
struct Sent {
    subject: String,
    kind: Kind,
    number: u64,
    /// It is stored for sure.
    is_stored: bool,
    /// Another one was sent to its subject, which makes it no schedule.
    is_replaced: bool,
}

/// A message that was found in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    subject: String,
    header: String,
    body: String,
    time: i64,
}

impl Found {
    fn of(word: &Word) -> (u64, Found) {
        let field = |name: &str| {
            let found = word
                .header
                .split("\r\n")
                .find_map(|line| line.strip_prefix(name));
            found
                .unwrap_or_else(|| panic!("{name} {word:?}"))
                .trim()
                .to_owned()
        };
        let found = Found {
            subject: field("Nats-Subject:"),
            header: word.header.split("Nats-Stream:").next().unwrap().to_owned(),
            body: word.body.clone(),
            time: Timestamp::parse(&field("Nats-Time-Stamp:")).unwrap().0,
        };
        (field("Nats-Sequence:").parse().unwrap(), found)
    }

    fn is_marker(&self) -> bool {
        self.header.contains("Nats-Marker-Reason: MaxAge")
    }

    /// What is due next, of one that a schedule has published.
    fn next(&self) -> Option<&str> {
        let (_, next) = self.header.split_once("Nats-Schedule-Next: ")?;
        next.split("\r\n").next()
    }
}

/// The stream as it should be.
struct Timed {
    world: World,
    has_markers: bool,
    /// By their bodies, of which no two are the same.
    sent: BTreeMap<u64, Sent>,
    /// What schedules have published, as far as it was seen.
    published: BTreeMap<u64, Found>,
}

pub(super) fn run(seed: u64) {
    let mut world = World::new(seed, Duration::ZERO);
    world.has_damage = false;
    let has_markers = world.rng.percent(50);
    let marker_ttl = if has_markers { MARKER_SECS * SECOND } else { 0 };
    let config = json!({
        "name": "T", "subjects": ["p.*", "s.*", "t.*"], "allow_direct": true,
        "allow_msg_ttl": true, "allow_msg_schedules": true,
        "subject_delete_marker_ttl": marker_ttl,
        "max_msgs_per_subject": world.rng.pick(&[-1, 100_000]),
    });
    world
        .query("$JS.API.STREAM.CREATE.T", &config)
        .expect("it is made");
    let mut timed = Timed {
        world,
        has_markers,
        sent: BTreeMap::new(),
        published: BTreeMap::new(),
    };
    let steps = 30 + timed.world.rng.below(170);
    for _ in 0..steps {
        timed.step();
    }
    timed.check();
    let gone = timed.world.query("$JS.API.STREAM.DELETE.T", &Value::Null);
    gone.expect("it is there");
    timed.world.settle();
    assert_eq!(
        timed.world.disk.len(),
        0,
        "what nobody can reach is on the disk"
    );
}

impl Timed {
    fn step(&mut self) {
        match self.world.rng.below(100) {
            0..45 => self.publish(),
            45..60 => self.schedule(),
            60..63 => self.world.cut_power(),
            63..65 => self.world.restart(),
            65..70 => self.check(),
            70..90 => {
                let ms = self.world.rng.pick(&[0, 1, 20, 100]);
                self.world.pass(Duration::from_millis(ms));
            }
            _ => {
                let ms = self.world.rng.pick(&[500, 1000, 3000]);
                self.world.pass(Duration::from_millis(ms));
            }
        }
        if self.world.rng.percent(50) {
            self.world.hand_over();
        }
        if self.world.conns[CONTROL].id.is_none() {
            self.world.open(CONTROL);
        }
    }

    fn publish(&mut self) {
        let subject = format!("p.{}", self.world.rng.pick(&["a", "b", "c", "d", "e"]));
        let now = self.world.wall;
        let (header, kind) = match self.world.rng.below(10) {
            0 => (String::new(), Kind::Plain),
            1 => ("Nats-TTL: never\r\n".to_owned(), Kind::Plain),
            2 => (
                "Nats-TTL: 10h\r\n".to_owned(),
                Kind::Until(now + 36_000 * SECOND),
            ),
            secs => {
                let secs = secs as i64 % 4 + 1;
                let least = if self.has_markers { MARKER_SECS } else { 0 };
                let due = now + secs.max(least) * SECOND;
                (format!("Nats-TTL: {secs}\r\n"), Kind::Until(due))
            }
        };
        self.send(subject, &header, kind);
    }

    fn schedule(&mut self) {
        let subject = format!("s.{}", self.world.rng.below(8));
        let now = self.world.wall;
        let (pattern, kind) = if self.world.rng.percent(60) {
            let after = self.world.rng.pick(&[-5000, 1, 300, 1000, 2500, 60_000]);
            let at = now + after * 1_000_000;
            (format!("@at {}", Timestamp(at)), Kind::At(at))
        } else {
            let secs = self.world.rng.below(3) as i64 + 1;
            let by = now + (secs + 1) * SECOND;
            let pattern = match secs {
                1 => "* * * * * *".to_owned(),
                _ => format!("@every {secs}s"),
            };
            (pattern, Kind::Every(by))
        };
        for sent in self
            .sent
            .values_mut()
            .filter(|sent| sent.subject == subject)
        {
            sent.is_replaced = true;
        }
        let target = format!("t.{}", self.world.rng.below(3));
        let header = format!("Nats-Schedule: {pattern}\r\nNats-Schedule-Target: {target}\r\n");
        self.send(subject, &header, kind);
    }

    fn send(&mut self, subject: String, header: &str, kind: Kind) {
        let number = self.world.number();
        trace!("{number} to {subject}: {header:?}, {kind:?}");
        let header = match header {
            "" => String::new(),
            some => format!("NATS/1.0\r\n{some}\r\n"),
        };
        let reply = format!("_I.{CONTROL}.r{number}");
        let line = World::publish_line(&subject, &reply, &header, &number.to_string());
        self.sent.insert(
            number,
            Sent {
                subject,
                kind,
                number,
                is_stored: false,
                is_replaced: false,
            },
        );
        self.world.say(CONTROL, &line);
    }

    /// Takes note of what was confirmed.
    fn hear(&mut self) {
        for (number, words) in std::mem::take(&mut self.world.replies) {
            let json: Value = serde_json::from_str(&words[0].body).unwrap_or_default();
            if let Some(sent) = self.sent.get_mut(&number)
                && json["seq"].as_u64().is_some_and(|seq| seq > 0)
            {
                sent.is_stored = true;
            }
        }
    }

    /// Compares what is there with what should be.
    fn check(&mut self) {
        let had_faults = std::mem::replace(&mut self.world.has_faults, false);
        self.world.settle();
        self.hear();
        let began = self.world.wall;
        let mut found = self.read();
        // Reading takes time, in which some come that belong to the next look.
        found.retain(|_, found| found.time <= began);
        trace!("check at {began}: {} found", found.len());
        self.learn(&found);
        self.check_sent(&found, began);
        self.check_published(&found);
        self.check_markers(&found, began);
        self.world.has_faults = had_faults;
    }

    /// All that is there.
    fn read(&mut self) -> BTreeMap<u64, Found> {
        let mut found = BTreeMap::new();
        loop {
            let next = found.last_key_value().map_or(1, |(last, _)| last + 1);
            let body = json!({"seq": next, "batch": PAGE}).to_string();
            let words = self.world.ask("$JS.API.DIRECT.GET.T", &body).unwrap();
            let before = found.len();
            let messages = words.iter().filter(|word| word.status().is_none());
            found.extend(messages.map(Found::of));
            if found.len() < before + PAGE {
                return found;
            }
        }
    }

    /// What was not confirmed and has left no trace is not there.
    fn learn(&mut self, found: &BTreeMap<u64, Found>) {
        for found in found.values() {
            let number = found.body.parse::<u64>().ok();
            if let Some(sent) = number.and_then(|number| self.sent.get_mut(&number)) {
                sent.is_stored = true;
            }
        }
        self.sent.retain(|_, sent| sent.is_stored);
    }

    fn check_sent(&self, found: &BTreeMap<u64, Found>, began: i64) {
        for sent in self.sent.values() {
            let body = sent.number.to_string();
            let of_it = found.values().filter(|found| found.body == body);
            let (own, made): (Vec<&Found>, Vec<&Found>) =
                of_it.partition(|found| found.subject == sent.subject);
            let (is_there, times) = (!own.is_empty(), made.len());
            assert!(own.len() <= 1, "{sent:?} is there twice");
            let ended = self.world.wall;
            match sent.kind {
                Kind::Plain => assert!(is_there, "{sent:?} is lost"),
                Kind::Until(due) => {
                    assert!(!is_there || due > began, "{sent:?} lives too long");
                    assert!(is_there || due <= ended, "{sent:?} is gone too early");
                }
                Kind::At(due) => {
                    assert!(times <= 1, "{sent:?} is published {times} times");
                    assert!(
                        times == 0 || due <= ended,
                        "{sent:?} is published too early"
                    );
                    assert!(times == 0 || !is_there, "{sent:?} is still a schedule");
                    let is_due = due <= began && !sent.is_replaced;
                    assert!(times == 1 || !is_due, "{sent:?} is not published");
                    assert!(
                        times == 1 || is_there || sent.is_replaced || due > began,
                        "{sent:?} is lost"
                    );
                }
                Kind::Every(by) => {
                    assert!(is_there || sent.is_replaced, "{sent:?} is lost");
                    assert!(
                        times > 0 || by > began || sent.is_replaced,
                        "{sent:?} rests"
                    );
                    check_order(sent, &made, (!sent.is_replaced).then_some(began));
                }
            }
        }
    }

    /// What a schedule has published stays.
    fn check_published(&mut self, found: &BTreeMap<u64, Found>) {
        for (seq, before) in &self.published {
            assert_eq!(found.get(seq), Some(before), "{seq} is not what it was");
        }
        let published = found.iter().filter(|(_, found)| found.next().is_some());
        self.published = published
            .map(|(seq, found)| (*seq, found.clone()))
            .collect();
    }

    fn check_markers(&self, found: &BTreeMap<u64, Found>, began: i64) {
        for subject in ["p.a", "p.b", "p.c", "p.d", "p.e"] {
            let mut markers = found
                .iter()
                .filter(|(_, found)| found.subject == subject && found.is_marker());
            let marker = markers.next();
            assert_eq!(markers.next(), None, "two markers of {subject}");
            assert!(
                self.has_markers || marker.is_none(),
                "a marker of {subject}"
            );
            if let Some((seq, marker)) = marker {
                let is_before =
                    |(other, found): (&u64, &Found)| other < seq && found.subject == subject;
                assert!(!found.iter().any(is_before), "{marker:?} is not the last");
                assert!(
                    marker.time + MARKER_SECS * SECOND > began,
                    "{marker:?} lives too long"
                );
            }
            let ends = self.sent.values().filter(|sent| sent.subject == subject);
            let ends = ends.map(|sent| match sent.kind {
                Kind::Until(due) => due,
                _ => i64::MAX,
            });
            let Some(last) = ends.max().filter(|_| self.has_markers) else {
                continue;
            };
            let is_due = last <= began && self.world.wall < last + MARKER_SECS * SECOND;
            assert!(!is_due || marker.is_some(), "no marker of {subject}");
        }
    }
}

/// Each time of a schedule is used once, and in time.
fn check_order(sent: &Sent, made: &[&Found], until: Option<i64>) {
    let mut due = 0;
    for found in made {
        let next = found.next().and_then(Timestamp::parse).expect("a time").0;
        assert!(
            found.time >= due,
            "{sent:?} is published too early: {found:?}"
        );
        assert!(next > due, "{sent:?} is published twice: {found:?}");
        due = next;
    }
    if let (Some(until), true) = (until, due > 0) {
        assert!(due > until, "{sent:?} stops at {due}");
    }
}
