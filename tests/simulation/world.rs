//! The engine with a clock, a disk and connections of the simulation's own.

use super::disk::Disk;
use super::extras::Extras;
use super::fast::Fast;
use super::model::Model;
use super::redrives::Errand;
use super::rng::Rng;
use super::told::{Told, Word};
use crate::trace;
use midge_api::Timestamp;
use midge_engine::{
    Accounts, Auth, BlockKey, CloseReason, ConnId, Engine, EngineConfig, Limits, StreamsConfig,
    StreamsTuning, Time, Write, Zones,
};
use midge_proto::{ParseLimits, Parsed, ServerInfo, parse};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Events at one point in time before it counts as going round in circles.
const STANDSTILL_MAX: u32 = 30_000;

pub(super) const CONTROL: usize = 0;
/// The subscription by which that client hears of dead letters.
pub(super) const LETTERS_SID: &str = "2";
/// The one by which it hears of messages that are published again.
pub(super) const COPIES_SID: &str = "3";
pub(super) const CONNS: usize = 4;

pub(super) struct InFlight {
    pub(super) writes: Vec<Write>,
    pub(super) due: Duration,
    pub(super) model: Model,
}

pub(super) struct Conn {
    /// Empty while the client is away.
    pub(super) id: Option<ConnId>,
    /// Push consumers' subjects that it listens on.
    pub(super) listens: BTreeSet<String>,
}

pub(super) struct PendingPublish {
    pub(super) conn: usize,
    pub(super) stream: String,
    pub(super) incarnation: u64,
    pub(super) seq: u64,
    pub(super) is_duplicate: bool,
    /// It waits for a block, and is to be refused then.
    pub(super) is_wrong: bool,
}

pub(super) struct PendingAck {
    pub(super) conn: usize,
    pub(super) held: Held,
}

/// A message that a client has in hand.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) stream: String,
    pub(super) incarnation: u64,
    pub(super) consumer: String,
    pub(super) consumer_incarnation: u64,
    pub(super) seq: u64,
    pub(super) ack: String,
}

pub(super) struct Pull {
    pub(super) conn: usize,
    pub(super) stream: String,
    pub(super) consumer: String,
    pub(super) wanted: u64,
    pub(super) got: u64,
    pub(super) ends: Duration,
    pub(super) max_bytes: u64,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: Duration,
    pub(super) wall: i64,
    pub(super) wall_stepped: bool,
    pub(super) engine: Engine,
    pub(super) told: Told,
    pub(super) disk: Disk,
    /// The oldest first.
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) loads: Vec<(BlockKey, Duration)>,
    /// The store has failed and is opened again then.
    pub(super) reopens: Option<Duration>,
    pub(super) has_faults: bool,
    /// Bits flip on the disk.
    pub(super) has_damage: bool,
    pub(super) tuning: StreamsTuning,
    pub(super) model: Model,
    /// The model as it was when the last durable batch was taken.
    pub(super) durable: Model,
    pub(super) conns: Vec<Conn>,
    generation: u32,
    pub(super) publishes: BTreeMap<u64, PendingPublish>,
    pub(super) acks: BTreeMap<u64, PendingAck>,
    pub(super) pulls: BTreeMap<u64, Pull>,
    pub(super) held: Vec<Held>,
    /// Consumers and messages of which an ack was confirmed.
    pub(super) confirmed: BTreeSet<(u64, u64)>,
    pub(super) replies: BTreeMap<u64, Vec<Word>>,
    /// Why the last publish was refused.
    pub(super) refused: Option<String>,
    last_number: u64,
    pub(super) power_cuts: u32,
    pub(super) letters_heard: u64,
    pub(super) extras: Extras,
    pub(super) fast: Fast,
    /// What was asked about dead letters and is not done.
    pub(super) errand: Option<Errand>,
    pub(super) listens_to_copies: bool,
    /// How many keys are to go on, by what was asked.
    pub(super) unparks: BTreeMap<u64, RangeInclusive<u64>>,
    /// Words are being taken in.
    is_hearing: bool,
    standstill: (Duration, u32),
}

impl World {
    pub(super) fn new(seed: u64, commit_linger: Duration) -> World {
        let mut rng = Rng::new(seed);
        // A cache has to hold the blocks that are worked on.
        let (cache_len, block_len) = rng.pick(&[(3000, 200), (8000, 600), (1 << 20, 65_000)]);
        let tuning = StreamsTuning {
            cache_len,
            uncommitted_max: rng.pick(&[1_000, 100_000, 8 << 20]),
            block_len,
            reopen_len: rng.pick(&[0, 200, 600, 16_000]),
            full_batch_len: rng.pick(&[1, 300, 64 * 1024]),
            commit_linger,
            search: rng.pick(&[1, 3, 20, 10_000]),
            removals: rng.pick(&[1, 3, 10_000]),
            deliveries: rng.pick(&[1, 4, 512]),
            batch: rng.pick(&[1, 5, 512]),
        };
        let conns = (0..CONNS)
            .map(|_| Conn {
                id: None,
                listens: BTreeSet::new(),
            })
            .collect();
        let mut world = World {
            now: Duration::ZERO,
            wall: 1_700_000_000_000_000_000,
            wall_stepped: false,
            engine: engine(seed),
            told: Told::default(),
            disk: Disk::default(),
            in_flight: VecDeque::new(),
            loads: Vec::new(),
            reopens: None,
            has_faults: true,
            has_damage: true,
            tuning,
            model: Model::default(),
            durable: Model::default(),
            conns,
            generation: 0,
            publishes: BTreeMap::new(),
            acks: BTreeMap::new(),
            pulls: BTreeMap::new(),
            held: Vec::new(),
            confirmed: BTreeSet::new(),
            replies: BTreeMap::new(),
            refused: None,
            last_number: 0,
            power_cuts: 0,
            letters_heard: 0,
            extras: Extras::default(),
            fast: Fast::default(),
            errand: None,
            listens_to_copies: false,
            unparks: BTreeMap::new(),
            is_hearing: false,
            standstill: (Duration::ZERO, 0),
            rng,
        };
        trace!("{tuning:?}");
        world.start();
        world
    }

    pub(super) fn time(&self) -> Time {
        Time::since_origin(self.now)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Starts a server on what the disk holds.
    pub(super) fn start(&mut self) {
        self.engine = engine(self.rng.next());
        self.told = Told::default();
        let config = StreamsConfig {
            hash_seed: self.rng.next(),
            server_name: "N".into(),
            server_id: "ID".into(),
            domain: String::new(),
            strictness: midge_api::json::Strictness::Strict,
            limits: midge_api::ServerLimits::default(),
            tuning: self.tuning,
            zones: Some(Arc::new(Zones::new(Vec::new()))),
        };
        let stored = self.disk.stored(config.hash_seed);
        let wall = Timestamp(self.wall);
        self.engine
            .enable_streams(config, stored, self.time(), wall);
        self.want_blocks();
        for conn in 0..CONNS {
            self.conns[conn].id = None;
            self.open(conn);
        }
    }

    pub(super) fn open(&mut self, conn: usize) {
        self.generation += 1;
        let id = ConnId {
            index: conn as u32,
            generation: self.generation,
        };
        let peer = "127.0.0.1:9".parse().unwrap();
        self.conns[conn].id = Some(id);
        self.conns[conn].listens.clear();
        let now = self.time();
        self.engine.open(now, id, peer, &mut self.told);
        self.say(
            conn,
            &format!(
                "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true}}\r\nSUB _I.{conn}.> 1\r\n"
            ),
        );
        if conn == CONTROL {
            self.say(conn, &format!("SUB $DLQ.> {LETTERS_SID}\r\n"));
        }
    }

    /// A client hangs up: it will hear no answers.
    pub(super) fn hang_up(&mut self, conn: usize) {
        let Some(id) = self.conns[conn].id.take() else {
            return;
        };
        trace!("client {conn} hangs up");
        self.conns[conn].listens.clear();
        self.publishes.retain(|_, pending| pending.conn != conn);
        self.acks.retain(|_, pending| pending.conn != conn);
        self.pulls.retain(|_, pull| pull.conn != conn);
        self.engine
            .close(id, CloseReason::ClientClosed, &mut self.told);
        self.hear();
    }

    pub(super) fn say(&mut self, conn: usize, text: &str) {
        let Some(id) = self.conns[conn].id else {
            return;
        };
        let now = self.time();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let Ok(Parsed::Whole { command, used }) = parse(rest, &ParseLimits::default()) else {
                panic!("{text:?} is not understood");
            };
            self.engine.command(now, id, &command, None, &mut self.told);
            rest = &rest[used..];
            self.hear();
        }
        self.want_blocks();
    }

    pub(super) fn publish_line(subject: &str, reply: &str, header: &str, body: &str) -> String {
        let blank = if reply.is_empty() { "" } else { " " };
        if header.is_empty() {
            return format!("PUB {subject}{blank}{reply} {}\r\n{body}\r\n", body.len());
        }
        let (header_len, len) = (header.len(), header.len() + body.len());
        format!("HPUB {subject}{blank}{reply} {header_len} {len}\r\n{header}{body}\r\n")
    }

    /// Takes in what the engine has said.
    pub(super) fn hear(&mut self) {
        let was_hearing = std::mem::replace(&mut self.is_hearing, true);
        for word in self.told.take_words() {
            self.hear_word(word);
        }
        self.is_hearing = was_hearing;
        if !was_hearing {
            self.find_sent_back(None);
        }
    }

    fn want_blocks(&mut self) {
        for key in self.engine.take_wanted_blocks() {
            let delay = match self.rng.below(20) {
                0 => 2000,
                below => below as u64 % 8,
            };
            let due = self.now + Duration::from_millis(delay);
            self.loads.push((key, due));
        }
    }

    /// Gives the disk what there is.
    pub(super) fn hand_over(&mut self) {
        while let Some(batch) = self.engine.take_batch(self.time()) {
            assert!(self.in_flight.len() < 2, "no third batch is taken");
            if batch.writes.is_empty() && self.in_flight.is_empty() {
                self.durable = self.model.clone();
                self.engine.committed(self.time(), &mut self.told);
                self.hear();
                continue;
            }
            let delay = match self.rng.below(30) {
                0 => 3000,
                below => below as u64,
            };
            // They end in their order.
            let after = self.in_flight.back().map_or(self.now, |batch| batch.due);
            self.in_flight.push_back(InFlight {
                writes: batch.writes,
                due: after + Duration::from_millis(delay),
                model: self.model.clone(),
            });
        }
        self.want_blocks();
    }

    fn next_event(&self) -> Option<Duration> {
        let deadline = self
            .engine
            .next_deadline()
            .map(|deadline| deadline.since(Time::default()));
        let loads = self.loads.iter().map(|(_, due)| *due).min();
        let commit = self.in_flight.front().map(|batch| batch.due);
        [deadline, loads, commit, self.reopens]
            .into_iter()
            .flatten()
            .min()
    }

    /// Lets time pass, from event to event.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.hand_over();
        while let Some(next) = self.next_event() {
            if next > end {
                break;
            }
            self.set_now(next.max(self.now));
            self.run_event();
        }
        self.set_now(end);
        self.engine.tick(self.time(), &mut self.told);
        self.hear();
        self.want_blocks();
    }

    /// Does the next thing that is due, however far off; false if there is
    /// none within `within`.
    pub(super) fn pass_to_next(&mut self, within: Duration) -> bool {
        self.hand_over();
        let Some(next) = self.next_event() else {
            return false;
        };
        if next > self.now + within {
            return false;
        }
        self.set_now(next.max(self.now));
        self.run_event();
        true
    }

    fn set_now(&mut self, now: Duration) {
        self.wall += (now - self.now).as_nanos() as i64;
        self.now = now;
        self.engine.set_wall(Timestamp(self.wall));
        self.model.age(self.wall);
    }

    fn run_event(&mut self) {
        if self.standstill.0 != self.now {
            self.standstill = (self.now, 0);
        }
        self.standstill.1 += 1;
        assert!(
            self.standstill.1 < STANDSTILL_MAX,
            "time stands still: {} waits, the deadline is {:?}",
            self.engine.streams_backlog(),
            self.engine.next_deadline()
        );
        if let Some(place) = self.loads.iter().position(|(_, due)| *due <= self.now) {
            let (key, _) = self.loads.swap_remove(place);
            self.load(key);
        }
        if self
            .in_flight
            .front()
            .is_some_and(|batch| batch.due <= self.now)
        {
            self.commit();
        }
        if self.reopens.is_some_and(|due| due <= self.now) {
            self.reopen();
        }
        self.engine.tick(self.time(), &mut self.told);
        self.hear();
        self.hand_over();
    }

    fn load(&mut self, key: BlockKey) {
        let is_down = self.reopens.is_some();
        if is_down || (self.has_faults && self.rng.in_thousand(15)) {
            trace!("cannot load {key:?}");
            self.engine.load_failed(self.time(), key, &mut self.told);
        } else {
            let block = self.disk.load(key);
            self.engine.loaded(self.time(), key, block, &mut self.told);
        }
        self.hear();
        self.want_blocks();
    }

    fn commit(&mut self) {
        if self.has_faults && self.rng.in_thousand(4) {
            return self.fail_store();
        }
        let Some(batch) = self.in_flight.pop_front() else {
            return;
        };
        self.disk.apply(&batch.writes);
        self.durable = batch.model;
        self.engine.committed(self.time(), &mut self.told);
        self.hear();
    }
}

fn engine(seed: u64) -> Engine {
    let limits = Limits {
        ping_interval: Duration::from_secs(100 * 365 * 86_400),
        ..Limits::default()
    };
    Engine::new(EngineConfig {
        limits,
        auth: Auth::default(),
        accounts: Accounts::default(),
        info: ServerInfo::new("N".into(), "h".into(), 1),
        seed,
        hash_seed: seed,
        word_key: [seed; 2],
    })
}
