//! The list of everything that is measured.

use std::io;
use std::time::Duration;

use crate::figures::Sample;
use crate::flow::Audience;
use crate::footprint;
use crate::own_client;
use crate::peer::{Kind, Mode, Peer};
use crate::proc;
use crate::roundtrip;
use crate::server::Server;
use crate::streams::{self, Job};
use crate::throughput::{self, Crowd, Shape};

/// Open files which neither the generator nor a server needs for the
/// connections of a case.
const SPARE_FILES: u64 = 64;

/// How large the counts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// As the titles in the documentation say.
    Full,
    /// Just enough to see everything work.
    Quick,
}

/// How many messages the cases with stored ones have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    /// To be taken, and to see the memory they need.
    pub(crate) messages: u64,
    /// To start with.
    pub(crate) stored: u64,
}

impl Counts {
    /// Those of the scale.
    pub(crate) fn of(scale: Scale) -> Self {
        let (messages, stored) = match scale {
            Scale::Full => (1_000_000, 10_000_000),
            Scale::Quick => (10_000, 20_000),
        };
        Counts { messages, stored }
    }
}

/// Cases with the same columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Messages a second.
    Messages,
    /// Requests and replies.
    RoundTrips,
    /// Memory of connections.
    Connections,
    /// Memory of subscriptions.
    Subscriptions,
    /// Messages stored a second.
    Storing,
    /// Stored messages taken a second.
    Taking,
    /// Messages settled a second, and what others notice.
    Settling,
    /// Requests and replies beside storing.
    Disturbance,
    /// Starts with something stored.
    Restarts,
    /// One figure each.
    Process,
}

/// What a case does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Publish, and receive what is published.
    Publish(Shape),
    /// Ask and answer.
    Request {
        /// How many questions are open at a time.
        in_flight: usize,
    },
    /// The same through the client.
    Client(own_client::Job),
    /// Open so many connections.
    Connect(usize),
    /// Make so many subscriptions.
    Subscribe(usize),
    /// Start.
    Start,
    /// Start and do nothing.
    Idle,
    /// Look at the program.
    FileSize,
    /// Store messages, or take them.
    Streams(Job),
}

/// One thing that is measured.
pub(crate) struct Case {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What the tables call it.
    pub(crate) title: String,
    work: Work,
    /// How often it is measured, whatever the options say.
    rounds: Option<usize>,
}

impl Case {
    /// A case that is measured as often as asked.
    pub(crate) fn new(name: &'static str, title: impl Into<String>, work: Work) -> Self {
        Case {
            name,
            title: title.into(),
            work,
            rounds: None,
        }
    }

    /// The case measured so often, whatever is asked.
    pub(crate) fn rounds_fixed(self, rounds: usize) -> Self {
        Case {
            rounds: Some(rounds),
            ..self
        }
    }

    /// How often it is measured when the options ask for `asked` rounds.
    pub(crate) fn rounds(&self, asked: usize) -> usize {
        self.rounds.unwrap_or(asked)
    }

    /// Which columns it has.
    pub(crate) fn family(&self) -> Family {
        match self.work {
            Work::Client(own_client::Job::Request) | Work::Request { .. } => Family::RoundTrips,
            Work::Client(own_client::Job::Connect(_)) => Family::Connections,
            Work::Client(_) | Work::Publish(_) => Family::Messages,
            Work::Connect(_) => Family::Connections,
            Work::Subscribe(_) => Family::Subscriptions,
            Work::Start | Work::Idle | Work::FileSize => Family::Process,
            Work::Streams(job) => job.family(),
        }
    }

    /// Whether the server has such a thing at all.
    pub(crate) fn fits(&self, peer: &Peer) -> bool {
        match (peer.kind(), self.work) {
            (kind, Work::Streams(job)) => peer.has_streams() && job.fits(kind),
            (Kind::Midge | Kind::Nats, _) => true,
            (Kind::MidgeAsync | Kind::NatsSync | Kind::Beanstalkd, _) => false,
            (Kind::Redis, Work::Publish(shape)) => shape.audience == Audience::Each,
            (Kind::Redis, Work::Request { .. }) => false,
            (Kind::Redis | Kind::Relay, Work::Client(_)) => false,
            (Kind::Redis, _) => true,
            (Kind::Relay, Work::Publish(shape)) => {
                (shape.publishers, shape.subscribers) == (1, 1) && shape.crowd == Crowd::Absent
            }
            (Kind::Relay, Work::Request { .. }) => true,
            (Kind::Relay, _) => false,
        }
    }

    /// Whether a server that it does not fit has a row without figures. The
    /// relay is a limit, not a peer, and others are there for storing only:
    /// where they have no meaning they are left out. Who cannot store at all
    /// is told once and for all before.
    pub(crate) fn shows_lack(&self, kind: Kind) -> bool {
        let stores = matches!(self.work, Work::Streams(_));
        !stores && matches!(kind, Kind::Midge | Kind::Nats | Kind::Redis)
    }

    /// Measures it once, on a server started for it.
    pub(crate) fn measure(&self, peer: &Peer, duration: Duration) -> io::Result<Sample> {
        let started = || Server::start(peer, Mode::Core);
        match self.work {
            Work::Publish(shape) => throughput::run(&started()?, &shape, duration),
            Work::Request { in_flight } => roundtrip::run(&started()?, in_flight, duration),
            Work::Client(job) => own_client::run(&started()?, job, duration),
            Work::Connect(count) => footprint::connections(&started()?, count),
            Work::Subscribe(count) => footprint::subscriptions(&started()?, count),
            Work::Start => Ok(footprint::start(&started()?)),
            Work::Idle => footprint::idle(&started()?),
            Work::FileSize => footprint::file_size(peer),
            Work::Streams(job) => job.measure(peer, duration),
        }
    }
}

/// One publisher to one subscriber; the other shapes differ from it.
const ONE_TO_ONE: Shape = Shape {
    publishers: 1,
    subscribers: 1,
    audience: Audience::Each,
    size: 128,
    crowd: Crowd::Absent,
};

/// All cases, in the order in which they run.
pub(crate) fn all(scale: Scale, counts: Counts) -> Vec<Case> {
    let mut cases = message_cases();
    cases.extend(round_trip_cases());
    cases.extend(client_cases());
    cases.extend(growth_cases(scale));
    cases.extend(streams::cases(scale, counts));
    cases.extend(process_cases(scale));
    cases
}

fn message_cases() -> Vec<Case> {
    let publish = |name, title, shape| Case::new(name, title, Work::Publish(shape));
    let unheard = Shape {
        subscribers: 0,
        ..ONE_TO_ONE
    };
    let sized = |size| Shape { size, ..ONE_TO_ONE };
    vec![
        publish(
            "pub-16",
            "publish, nobody listening, 16 B",
            Shape {
                size: 16,
                ..unheard
            },
        ),
        publish("pub-128", "publish, nobody listening, 128 B", unheard),
        publish("one-16", "1→1, 16 B", sized(16)),
        publish("one-128", "1→1, 128 B", ONE_TO_ONE),
        publish("one-1k", "1→1, 1 KiB", sized(1 << 10)),
        publish("one-64k", "1→1, 64 KiB", sized(64 << 10)),
        publish(
            "fan-out",
            "1→8, 128 B, deliveries",
            Shape {
                subscribers: 8,
                ..ONE_TO_ONE
            },
        ),
        publish(
            "fan-in",
            "8→1, 128 B",
            Shape {
                publishers: 8,
                ..ONE_TO_ONE
            },
        ),
        publish(
            "queue",
            "1→queue group of 4, 128 B",
            Shape {
                subscribers: 4,
                audience: Audience::One,
                ..ONE_TO_ONE
            },
        ),
    ]
}

fn round_trip_cases() -> Vec<Case> {
    let request = |name, title, in_flight| Case::new(name, title, Work::Request { in_flight });
    vec![
        request("request-1", "request and reply, 16 B, one at a time", 1),
        request("request-16", "request and reply, 16 B, 16 in flight", 16),
    ]
}

/// Beside `pub-128`, `one-16`, `one-128` and `request-1`, what the client
/// costs.
fn client_cases() -> Vec<Case> {
    use own_client::Job;
    let case = |name, title, job| Case::new(name, title, Work::Client(job));
    vec![
        case(
            "client-pub-128",
            "publish by midge-client, nobody listening, 128 B",
            Job::Publish(128),
        ),
        case(
            "client-one-16",
            "1→1 by midge-client, 16 B",
            Job::PublishAndTake(16),
        ),
        case(
            "client-one-128",
            "1→1 by midge-client, 128 B",
            Job::PublishAndTake(128),
        ),
        case(
            "client-request-1",
            "request and reply by midge-client, 16 B, one at a time",
            Job::Request,
        ),
        case(
            "client-conns",
            "100 connections by midge-client, its own memory",
            Job::Connect(100),
        )
        // A second round would find the memory of the first one.
        .rounds_fixed(1),
    ]
}

/// What grows: connections, subscriptions, and the cost of a message with
/// many of them there.
fn growth_cases(scale: Scale) -> Vec<Case> {
    let [few, many, some, most] = match scale {
        Scale::Full => [1_000, 10_000, 100_000, 1_000_000],
        Scale::Quick => [100, 500, 1_000, 10_000],
    };
    let crowded = |name, what, crowd| {
        let title = format!("{what} {} subscriptions, 128 B", spaced(most));
        let shape = Shape {
            crowd,
            ..ONE_TO_ONE
        };
        Case::new(name, title, Work::Publish(shape))
    };
    let subscribe = |name, count| {
        let title = format!("{} subscriptions", spaced(count));
        Case::new(name, title, Work::Subscribe(count))
    };
    vec![
        crowded("among-many", "1→1 among", Crowd::Idle(most)),
        crowded("to-many", "1→1 to random ones of", Crowd::Addressed(most)),
        connect("conns-1k", few),
        connect("conns-10k", many),
        subscribe("subs-100k", some),
        subscribe("subs-1m", most),
    ]
}

/// As many connections as the limit of open files allows, and the title says
/// if those are fewer than meant.
fn connect(name: &'static str, wanted: usize) -> Case {
    let limit = proc::open_file_limit().unwrap_or(u64::MAX);
    let possible = usize::try_from(limit.saturating_sub(SPARE_FILES)).unwrap_or(usize::MAX);
    let count = wanted.min(possible).max(1);
    let mut title = format!("{} idle connections", spaced(count));
    if count < wanted {
        let wanted = spaced(wanted);
        title = format!("{title} (not {wanted}: the limit is {limit} open files)");
    }
    Case::new(name, title, Work::Connect(count))
}

fn process_cases(scale: Scale) -> Vec<Case> {
    let starts = match scale {
        Scale::Full => 11,
        Scale::Quick => 3,
    };
    vec![
        Case::new("start", "start to first byte, ms", Work::Start).rounds_fixed(starts),
        Case::new("idle", "idle memory, MB", Work::Idle),
        Case::new("binary", "program file, MB", Work::FileSize).rounds_fixed(1),
    ]
}

/// A number with its digits in groups of three.
pub(crate) fn spaced(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_distinct() {
        let cases = all(Scale::Full, Counts::of(Scale::Full));
        let names: HashSet<&str> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
    }

    #[test]
    fn numbers_are_grouped() {
        let texts = [1, 999, 1_000, 1_000_000].map(spaced);
        assert_eq!(texts, ["1", "999", "1 000", "1 000 000"]);
    }
}
