//! Dead letters: what it costs to bury messages, and whether somebody notices
//! who takes from another stream meanwhile.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::{Connection, PATIENCE};
use crate::figures::{Metric, Sample};
use crate::histogram::Histogram;
use crate::meter::{self, Meter};
use crate::server::Server;
use crate::streams::SIZE;
use crate::streams::api::{Api, Setup, figures};
use crate::streams::publisher::{preload, preload_to};
use crate::streams::pull::{DONE, HOPELESS, Taker, Taking, Tally, request};
use crate::streams::scan::{Frame, Inbound, unexpected};
use crate::streams::shop::LOOK_EVERY;
use crate::streams::store;
use crate::streams::take::{self, BATCH, EXPLICIT};

/// A consumer that gives up after so many deliveries, and where there are
/// dead letters keeps those.
pub(crate) const ARMED: &str =
    "\"ack_policy\":\"explicit\",\"max_ack_pending\":10000,\"max_deliver\":5";

/// The stream of dead letters.
const DEAD: &str = "DLQ";
/// What tells of them.
const LIST: &str = "$MIDGE.API.DLQ.LIST";
/// The stream of those who have nothing to do with it.
const OTHER: &str = "OTHER";
/// How many messages are there for each that is buried.
const STOCK: u64 = 4;
/// How many letters are listed at once.
const PAGE: u64 = 1000;

const INBOX: &str = "_INBOX.bench.other";

/// What is taken beside the pulls of another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mass {
    /// How many messages.
    pub(crate) count: u64,
    /// Whether each is terminated as soon as it is delivered, and so buried,
    /// or acknowledged.
    pub(crate) buried: bool,
}

/// Takes and settles everything that was stored before.
pub(crate) fn run(server: &Server, mass: Mass, duration: Duration) -> io::Result<Sample> {
    let mut api = store::open(server, false)?;
    let limit = take::loading(duration);
    let count = preload(server, SIZE, mass.count, limit)?;
    api.create_consumer(ARMED)?;
    let mut other = Other::open(server, count * STOCK, limit)?;
    let begun = Instant::now();
    let quiet = other.pull(other.stock / 2, || begun.elapsed() < duration)?;

    let done = AtomicBool::new(false);
    let mass = Mass { count, ..mass };
    let (pulled, settled) = thread::scope(|scope| {
        let pulling = scope.spawn(|| other.pull(other.stock, || !done.load(SeqCst)));
        let settled = settle(server, &mut api, mass);
        done.store(true, SeqCst);
        let pulled = pulling.join().unwrap_or_else(|panic| resume_unwind(panic));
        (pulled, settled)
    });
    let (times, mut sample) = (pulled?, settled?);
    other.end()?;
    api.expect_stored(server, count)?;
    match mass.buried {
        true => expect_letters(server, count)?,
        false => api.expect_streams(2)?,
    }

    sample.insert(Metric::QuietP50, quiet.micros(0.5));
    let p99 = quiet.micros(0.99);
    sample.insert(Metric::QuietP99, p99);
    sample.insert(Metric::P50, times.micros(0.5));
    sample.insert(Metric::P99, times.micros(0.99));
    sample.insert(Metric::P999, times.micros(0.999));
    if p99 > 0.0 {
        sample.insert(Metric::P99Growth, times.micros(0.99) / p99);
    }
    meter::add_memory(&mut sample, server.pid())?;
    Ok(sample)
}

/// Takes everything, settles it, and waits until the server has done that, and
/// until the last letter is safe.
fn settle(server: &Server, api: &mut Api, mass: Mass) -> io::Result<Sample> {
    let Mass { count, buried } = mass;
    let taking = Taking {
        batch: BATCH,
        verb: if buried { HOPELESS } else { DONE },
        answered: false,
        count: Some(count),
    };
    let connection = Connection::open(server.port(), server.dialect())?;
    let mut taker = Taker::new(&connection, taking, SIZE, 0)?;
    let meter = Meter::start(server.pid())?;
    taker.run(&AtomicU64::new(0))?;
    api.await_consumed(count)?;
    if buried {
        await_letter(server, count)?;
    }
    Ok(meter.stop()?.sample(count))
}

/// Waits until the letter of that sequence is told of, which is not before it
/// is on the disk.
fn await_letter(server: &Server, sequence: u64) -> io::Result<()> {
    let mut letters = Api::open_on(server, DEAD)?;
    let begun = Instant::now();
    let body = format!("{{\"seq\":{sequence}}}");
    while figures(&letters.request_to(LIST, &body)?, "source_seq").is_empty() {
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("letter {sequence} never came")));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Fails unless each of the messages is there as a letter, once.
fn expect_letters(server: &Server, count: u64) -> io::Result<()> {
    let mut letters = Api::open_on(server, DEAD)?;
    letters.expect_stored(server, count)?;
    let mut sources = Vec::new();
    let mut from = 0;
    loop {
        let body = format!("{{\"from_seq\":{from},\"limit\":{PAGE},\"reason\":\"terminated\"}}");
        let page = letters.request_to(LIST, &body)?;
        sources.extend(figures(&page, "source_seq"));
        from = figures(&page, "next_seq").first().copied().unwrap_or(0);
        if from == 0 {
            break;
        }
    }
    sources.sort_unstable();
    if sources.iter().copied().eq(1..=count) {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "wrong: of {count} messages that were terminated {} are letters, or not each is",
        sources.len()
    )))
}

/// Somebody who pulls one message at a time from a stream of his own.
struct Other {
    connection: Connection,
    api: Api,
    /// How many messages are stored.
    stock: u64,
    inbound: Inbound,
    tally: Tally,
    request: Vec<u8>,
}

impl Other {
    /// With so many messages to pull, or as many as are stored within the
    /// limit.
    fn open(server: &Server, count: u64, limit: Duration) -> io::Result<Self> {
        let setup = Setup {
            work_queue: false,
            early: false,
        };
        let mut api = store::prepare(server, OTHER, setup)?;
        let stock = preload_to(server, OTHER, SIZE, 1, count, limit)?;
        api.create_consumer(EXPLICIT)?;
        let connection = Connection::open(server.port(), server.dialect())?;
        connection.subscribe(INBOX, "", 1)?;
        Ok(Other {
            connection,
            api,
            stock,
            inbound: Inbound::new(),
            tally: Tally::new(OTHER, SIZE, " 4\r\n+ACK\r\n", true),
            request: request(OTHER, INBOX, 1),
        })
    }

    /// Pulls as long as that holds, and until as many as `most` have come, and
    /// returns how long each took.
    fn pull(&mut self, most: u64, going_on: impl Fn() -> bool) -> io::Result<Histogram> {
        let mut times = Histogram::new();
        while self.tally.taken < most && going_on() {
            let begun = Instant::now();
            self.pull_one()?;
            times.record(begun.elapsed());
        }
        Ok(times)
    }

    /// The acknowledgement goes out together with the next request.
    fn pull_one(&mut self) -> io::Result<()> {
        let due = self.tally.taken + 1;
        self.tally.out.extend_from_slice(&self.request);
        self.tally.flush(&self.connection)?;
        while self.tally.taken < due {
            self.inbound.fill(&self.connection)?;
            while let Some(frame) = self.inbound.next()? {
                match frame {
                    Frame::Message {
                        reply,
                        header: b"",
                        body,
                        ..
                    } => {
                        self.tally.take(reply, body)?;
                    }
                    Frame::Message { header, .. } => return Err(unexpected(header)),
                    Frame::Ping => self.tally.out.extend_from_slice(b"PONG\r\n"),
                    Frame::Pong => {}
                }
            }
        }
        Ok(())
    }

    /// Fails unless the server has counted the same.
    fn end(&mut self) -> io::Result<()> {
        self.tally.flush(&self.connection)?;
        let taken = self.tally.taken;
        self.api.await_settled(taken, self.stock - taken)
    }
}
