//! Everything that has to do with messages that are stored: storing them,
//! taking them, what both do to others, and what a full store costs.
//!
//! Every measurement ends with a question to the server about what it has: a
//! server which loses, doubles or forgets something fails the case.

mod acks;
mod api;
mod dead;
mod disturb;
mod ordered;
mod others;
mod own_client;
mod publisher;
mod pull;
mod push;
mod restart;
mod scan;
mod shop;
mod store;
mod take;

use std::io;
use std::time::Duration;

use crate::cases::{Case, Counts, Family, Scale, Work, spaced};
use crate::figures::Sample;
use crate::footprint;
use crate::peer::{Kind, Mode, Peer};
use crate::server::Server;
use dead::Mass;
use ordered::Order;
use publisher::Load;

/// What a message weighs where the case does not say otherwise.
const SIZE: usize = 128;
/// And where there are very many.
const SMALL: usize = 16;
/// Fewer keys than messages are on their way to workers at a time.
const FEW_KEYS: u64 = 100;

/// What a case does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Job {
    /// Store with a window, to be compared with everybody.
    Store(Load),
    /// Store beside a consumer that takes nothing.
    StoreBeside {
        /// What is stored.
        load: Load,
        /// Whether it gives up at some time.
        armed: bool,
    },
    /// Store to a number of subjects.
    Subjects(Load),
    /// Pull what was stored and acknowledge it.
    Pull {
        /// Whether the acknowledgements are answered.
        answered: bool,
        /// How many messages.
        count: u64,
    },
    /// Store through the client.
    ClientStore(Load),
    /// Pull and acknowledge through the client so many messages.
    ClientPull(u64),
    /// Pull with a consumer that would give up at some time.
    PullArmed(u64),
    /// Settle many messages while another pulls one at a time.
    Settle(Mass),
    /// Share what was stored, in the order of each subject or without.
    Order(Order),
    /// Be pushed what was stored.
    Push {
        /// Whether to acknowledge it.
        acked: bool,
        /// How many messages.
        count: u64,
    },
    /// Share work among connections.
    Queue {
        /// How many messages a worker asks for at once.
        batch: u64,
    },
    /// Requests and replies while others store.
    Disturb,
    /// Start with so many messages.
    Restart {
        /// How many messages.
        count: u64,
        /// How often each way.
        times: usize,
    },
    /// Memory with nothing stored.
    Empty,
    /// Memory with so many messages stored.
    Filled(u64),
}

impl Job {
    /// Which columns it has.
    pub(crate) fn family(self) -> Family {
        match self {
            Job::Store(_) | Job::StoreBeside { .. } | Job::Subjects(_) | Job::ClientStore(_) => {
                Family::Storing
            }
            Job::Pull { .. }
            | Job::PullArmed(_)
            | Job::ClientPull(_)
            | Job::Push { .. }
            | Job::Queue { .. }
            | Job::Order(_) => Family::Taking,
            Job::Settle(_) => Family::Settling,
            Job::Disturb => Family::Disturbance,
            Job::Restart { .. } => Family::Restarts,
            Job::Empty | Job::Filled(_) => Family::Process,
        }
    }

    /// Whether the server has such a thing at all.
    pub(crate) fn fits(self, kind: Kind) -> bool {
        match kind {
            Kind::Midge => true,
            Kind::Nats => !matches!(
                self,
                Job::Settle(Mass { buried: true, .. }) | Job::Order(Order { kept: true, .. })
            ),
            Kind::MidgeAsync => matches!(self, Job::Store(load) if load.window == 1),
            Kind::NatsSync => matches!(self, Job::Store(_) | Job::Disturb),
            Kind::Redis => matches!(
                self,
                Job::Store(_)
                    | Job::Pull {
                        answered: false,
                        ..
                    }
                    | Job::Queue { .. }
                    | Job::Empty
                    | Job::Filled(_)
            ),
            // A job costs it a sync to store and one to delete, so there is
            // no filling it; and it hands them out one by one.
            Kind::Beanstalkd => matches!(
                self,
                Job::Store(_)
                    | Job::Pull {
                        answered: false,
                        ..
                    }
                    | Job::Queue { batch: 1 }
                    | Job::Empty
            ),
            Kind::Relay => false,
        }
    }

    /// Measures it once, on a server started for it.
    pub(crate) fn measure(self, peer: &Peer, duration: Duration) -> io::Result<Sample> {
        let server = Server::start(peer, Mode::Streams)?;
        let early = peer.kind() == Kind::MidgeAsync;
        match self {
            Job::Store(load) | Job::Subjects(load) => {
                store::run(&server, load, early, None, duration)
            }
            Job::StoreBeside { load, armed } => {
                let consumer = if armed { dead::ARMED } else { take::EXPLICIT };
                store::run(&server, load, early, Some(consumer), duration)
            }
            Job::Pull { answered, count } => {
                take::pull(&server, take::EXPLICIT, answered, count, duration)
            }
            Job::ClientStore(load) => own_client::store(&server, load, duration),
            Job::ClientPull(count) => own_client::pull(&server, count, duration),
            Job::PullArmed(count) => take::pull(&server, dead::ARMED, false, count, duration),
            Job::Settle(mass) => dead::run(&server, mass, duration),
            Job::Order(order) => ordered::run(&server, order, duration),
            Job::Push { acked, count } => take::push(&server, acked, count, duration),
            Job::Queue { batch } => take::queue(&server, batch, duration),
            Job::Disturb => disturb::run(&server, duration),
            Job::Restart { count, times } => restart::run(peer, server, count, times, duration),
            Job::Empty => {
                store::open(&server, early)?;
                footprint::idle(&server)
            }
            Job::Filled(count) => store::filled(&server, count),
        }
    }
}

/// All cases, in the order in which they run.
pub(crate) fn cases(scale: Scale, counts: Counts) -> Vec<Case> {
    let mut cases = storing();
    cases.extend(taking(counts.messages));
    cases.extend(dying(counts.messages));
    cases.extend(sharing(counts.messages));
    cases.push(Case::new(
        "disturb",
        "request and reply, 16 B, while 128 B are stored, 1000 in flight",
        Work::Streams(Job::Disturb),
    ));
    let times = match scale {
        Scale::Full => 3,
        Scale::Quick => 1,
    };
    let restart = Job::Restart {
        count: counts.stored,
        times,
    };
    let title = format!("start with {} messages of 16 B", grouped(counts.stored));
    cases.push(Case::new("restart", title, Work::Streams(restart)).rounds_fixed(1));
    cases.push(Case::new(
        "store-idle",
        "idle memory, an empty stream, MB",
        Work::Streams(Job::Empty),
    ));
    let title = format!("memory, {} messages stored, MB", grouped(counts.messages));
    let filled = Work::Streams(Job::Filled(counts.messages));
    cases.push(Case::new("store-filled", title, filled));
    cases
}

fn storing() -> Vec<Case> {
    let load = |window, size, subjects| Load {
        size,
        window,
        subjects,
    };
    let store = |name, window: u64, size: usize| {
        let bytes = if size == 1024 {
            "1 KiB"
        } else {
            &format!("{size} B")
        };
        let title = format!("stored and acknowledged, {bytes}, {window} in flight");
        Case::new(
            name,
            title,
            Work::Streams(Job::Store(load(window, size, 1))),
        )
    };
    let spread = |name, subjects: usize| {
        let title = format!(
            "stored, 128 B, 1000 in flight, subjects: {}",
            spaced(subjects)
        );
        let job = Job::Subjects(load(1000, SIZE, subjects));
        Case::new(name, title, Work::Streams(job))
    };
    let beside = |name, what: &str, armed| {
        let title = format!("stored, 128 B, 1000 in flight, {what}");
        let load = load(1000, SIZE, 1);
        Case::new(name, title, Work::Streams(Job::StoreBeside { load, armed }))
    };
    vec![
        store("store-1-16", 1, 16),
        store("store-1-128", 1, 128),
        store("store-1-1k", 1, 1024),
        store("store-100-16", 100, 16),
        store("store-100-128", 100, 128),
        store("store-100-1k", 100, 1024),
        store("store-1000-16", 1000, 16),
        store("store-1000-128", 1000, 128),
        store("store-1000-1k", 1000, 1024),
        Case::new(
            "client-store-1000",
            "stored by midge-client, 128 B, 1000 in flight",
            Work::Streams(Job::ClientStore(load(1000, SIZE, 1))),
        ),
        spread("subjects-1", 1),
        spread("subjects-100", 100),
        spread("subjects-100k", 100_000),
        beside("store-attached", "beside an idle consumer", false),
        beside("store-armed", "the same with a max_deliver", true),
    ]
}

fn taking(count: u64) -> Vec<Case> {
    let case = |name, title: &str, job| Case::new(name, title, Work::Streams(job));
    let pull = |answered| Job::Pull { answered, count };
    let push = |acked| Job::Push { acked, count };
    vec![
        case(
            "pull",
            "pulled by 1000 and acknowledged, 128 B",
            pull(false),
        ),
        case(
            "client-pull",
            "pulled by 1000 and acknowledged by midge-client, 128 B",
            Job::ClientPull(count),
        ),
        case(
            "pull-answered",
            "the same, acknowledgements answered",
            pull(true),
        ),
        case(
            "pull-armed",
            "pulled by 1000 and acknowledged, 128 B, with a max_deliver",
            Job::PullArmed(count),
        ),
        case("push", "pushed, flow control, 128 B", push(false)),
        case(
            "push-acked",
            "pushed and acknowledged, flow control, 128 B",
            push(true),
        ),
        case(
            "queue-1",
            "work queue, 8 workers, one at a time, 128 B",
            Job::Queue { batch: 1 },
        ),
        case(
            "queue-64",
            "work queue, 8 workers, 64 at a time, 128 B",
            Job::Queue { batch: 64 },
        ),
    ]
}

/// A tenth of the messages: a letter costs more than a message.
fn dying(count: u64) -> Vec<Case> {
    let count = (count / 10).max(1);
    let case = |name, how: &str, buried| {
        let title = format!(
            "{} messages {how}, 128 B, beside pulls of one",
            grouped(count)
        );
        Case::new(
            name,
            title,
            Work::Streams(Job::Settle(Mass { count, buried })),
        )
    };
    vec![
        case("bury-none", "acknowledged", false),
        case("bury", "terminated and buried", true),
    ]
}

/// Ten messages a key, and so many that hardly ever two of a key are due at a
/// time; and so few keys that nearly every message waits for another.
fn sharing(count: u64) -> Vec<Case> {
    let many = (count / 10).max(1);
    let case = |name, keys: u64, kept| {
        let how = if kept {
            "in the order of"
        } else {
            "in any order,"
        };
        let title = format!(
            "8 workers, 64 at a time, 128 B, {how} {} keys",
            grouped(keys)
        );
        let keys = usize::try_from(keys).unwrap_or(usize::MAX);
        let order = Order { count, keys, kept };
        Case::new(name, title, Work::Streams(Job::Order(order)))
    };
    vec![
        case("unordered", many, false),
        case("ordered", many, true),
        case("unordered-few", FEW_KEYS, false),
        case("ordered-few", FEW_KEYS, true),
    ]
}

fn grouped(count: u64) -> String {
    spaced(usize::try_from(count).unwrap_or(usize::MAX))
}
