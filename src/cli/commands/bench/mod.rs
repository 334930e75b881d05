//! `midge bench`: how many messages a server takes and gives, and how fast it
//! answers. Any NATS server will do.

mod histogram;
mod part;
mod plan;
mod report;

use super::connection::{complaint, connect, timeout};
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::output::warn;
use crate::progress::{Count, Progress};
use histogram::Histogram;
use midge_client::streams::{ConsumerConfig, Storage, StreamConfig};
use midge_client::{Client, Publish};
use part::Part;
use plan::{Mode, Plan};
use report::Measured;
use signal_hook::consts::SIGINT;
use std::thread;
use std::time::{Duration, Instant};

/// How much of it.
const AMOUNT: &str = "  --messages N           so many messages in all
  --duration DURATION    or for so long (default: 5s)
  --clients N            connections that do the same, each (default: 1)";
const SIZE: &str = "  --size SIZE            bytes of a message (default: 128)";
const SUBJECT: &str = "  --subject SUBJECT      on this one (default: one that nobody else has)";
const STORED: &str = "  --memory               the stream is kept in memory and not on disk";

pub(crate) const COMMAND: Command = Command {
    name: "bench",
    about: "measure a server: rates and latencies",
    actions: &[
        Action {
            name: "pub",
            places: "",
            about: "publish as fast as the server takes it",
            options: &[AMOUNT, SIZE, SUBJECT],
            example: "midge bench pub --messages 1000000 --size 16",
            run: |arguments| run(arguments, Mode::Publish),
        },
        Action {
            name: "sub",
            places: "",
            about: "take what others publish, from the first message on",
            options: &[
                AMOUNT,
                "  --subject SUBJECT      on this one (default: bench)",
            ],
            example: "midge bench sub --subject bench --messages 1000000",
            run: |arguments| run(arguments, Mode::Subscribe),
        },
        Action {
            name: "pubsub",
            places: "",
            about: "publish and take it back; each client publishes its share and takes all",
            options: &[
                AMOUNT,
                SIZE,
                SUBJECT,
                "  --window N             messages that may be under way (default: 1000)",
            ],
            example: "midge bench pubsub --clients 2 --size 1KB
midge bench pubsub --window 1 --messages 10000 --json",
            run: |arguments| run(arguments, Mode::Both),
        },
        Action {
            name: "request",
            places: "",
            about: "ask one question after the other, and answer them",
            options: &[
                AMOUNT,
                SIZE,
                "  --subject SUBJECT      ask those who answer there, as midge reply --echo
                         does (default: ask itself)",
            ],
            example: "midge bench request --clients 4 --duration 10s",
            run: |arguments| run(arguments, Mode::Request),
        },
        Action {
            name: "stream-pub",
            places: "",
            about: "publish into a stream and wait until it is stored",
            options: &[
                AMOUNT,
                SIZE,
                STORED,
                "  --window N             messages of a client that may be under way, 1 to wait
                         for each (default: 1000)",
            ],
            example: "midge bench stream-pub --messages 100000 --size 1KB
midge bench stream-pub --window 1 --clients 4",
            run: |arguments| run(arguments, Mode::Store),
        },
        Action {
            name: "pull",
            places: "",
            about: "take messages from a stream's consumer and acknowledge them",
            options: &[
                "  --messages N           so many messages in all (default: 100000)
  --clients N            connections that share them (default: 1)",
                SIZE,
                STORED,
                "  --window N             messages asked for at a time (default: 1000)",
            ],
            example: "midge bench pull --messages 100000 --clients 2",
            run: |arguments| run(arguments, Mode::Pull),
        },
    ],
};

/// How often it is looked how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The consumer that is taken from.
const CONSUMER: &str = "bench";

/// What one connection has measured, and when it was done.
type Share = Result<(Histogram, Instant), Failure>;

fn run(arguments: &Arguments, mode: Mode) -> Result<(), Failure> {
    let client = connect(arguments)?;
    let mut plan = Plan::new(arguments, mode, &client)?;
    // Ctrl-C ends the measuring, and what was made for it is removed.
    let _ = signal_hook::flag::register(SIGINT, plan.stop.clone());
    let made = match mode {
        Mode::Store | Mode::Pull => make_stream(&client, arguments, &plan),
        _ => Ok(()),
    };
    let measured = made.and_then(|()| {
        if mode == Mode::Pull {
            fill(&client, &plan)?;
        }
        let (parts, _answering) = parts(arguments, &mut plan)?;
        measure(&plan, parts)
    });
    if matches!(mode, Mode::Store | Mode::Pull)
        && let Err(error) = client.streams().delete_stream(&plan.stream)
    {
        warn(&format!("the stream {} stays: {error}", plan.stream));
    }
    complaint(&client)?;
    report::show(arguments, &plan, &measured?)
}

fn make_stream(client: &Client, arguments: &Arguments, plan: &Plan) -> Result<(), Failure> {
    let storage = match arguments.has("memory") {
        true => Storage::Memory,
        false => Storage::File,
    };
    client.streams().create_stream(&StreamConfig {
        name: plan.stream.clone(),
        subjects: vec![plan.subject.clone()],
        storage,
        ..StreamConfig::default()
    })?;
    Ok(())
}

/// Puts what is to be taken into the stream.
fn fill(client: &Client, plan: &Plan) -> Result<(), Failure> {
    let total = plan.messages.unwrap_or_default();
    let mut progress = Progress::new("filling", total, Count::Things);
    let streams = client.streams();
    let publisher = streams.publisher(Default::default())?;
    let payload = plan.payload();
    for done in 0..total {
        if plan.is_stopped() {
            return Err(Failure::refused("it was interrupted"));
        }
        publisher.publish(&Publish::new(&plan.subject, &payload))?;
        progress.set(done, total);
    }
    publisher.flush(plan.timeout)?;
    let mut config = ConsumerConfig::durable(CONSUMER);
    config.max_ack_pending = -1;
    streams.create_consumer(&plan.stream, &config)?;
    Ok(())
}

/// What each connection does, and connections that answer.
fn parts(arguments: &Arguments, plan: &mut Plan) -> Result<(Vec<Part>, Vec<Client>), Failure> {
    let (mut parts, mut answering) = (Vec::new(), Vec::new());
    for _ in 0..plan.clients {
        let client = connect(arguments)?;
        if matches!(plan.mode, Mode::Subscribe | Mode::Both) {
            let taker = connect(arguments)?;
            let subscription = taker.subscribe(&plan.subject)?;
            taker.flush(timeout(arguments))?;
            complaint(&taker)?;
            parts.push(Part::Take(subscription));
        }
        if plan.mode == Mode::Request && !arguments.has("subject") {
            let answerer = connect(arguments)?;
            part::answer(&answerer, &plan.subject, plan.timeout)?;
            answering.push(answerer);
        }
        match plan.mode {
            Mode::Publish | Mode::Both => parts.push(Part::Publish(client)),
            Mode::Request => parts.push(Part::Ask(client)),
            Mode::Store => parts.push(Part::Store(client)),
            Mode::Pull => {
                let consumer = client.streams().consumer(&plan.stream, CONSUMER)?;
                parts.push(Part::Pull(client, consumer));
            }
            Mode::Subscribe => {}
        }
    }
    if plan.mode == Mode::Subscribe {
        warn(&format!("waiting for messages on {}", plan.subject));
    } else {
        plan.begin();
    }
    Ok((parts, answering))
}

/// Has all parts do their work at the same time.
fn measure(plan: &Plan, parts: Vec<Part>) -> Result<Measured, Failure> {
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for part in parts {
            let work = move || {
                let share: Share = part.run(plan).map(|times| (times, plan.ended()));
                if share.is_err() {
                    plan.stop();
                }
                share
            };
            match thread::Builder::new().spawn_scoped(scope, work) {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    plan.stop();
                    return Err(Failure::thread(&error));
                }
            }
        }
        let mut progress = Progress::new("bench", 0, Count::Things);
        while workers.iter().any(|worker| !worker.is_finished()) {
            let (done, of) = plan.progress();
            progress.set(done, of);
            thread::sleep(LOOK_EVERY);
        }
        drop(progress);
        let mut latency = Histogram::new();
        let mut end = plan.started();
        for worker in workers {
            let Ok(share) = worker.join() else {
                return Err(Failure::refused("a thread has failed"));
            };
            let (times, ended) = share?;
            latency.merge(&times);
            end = end.max(ended);
        }
        Ok(Measured {
            sent: plan.sent(),
            received: plan.received(),
            elapsed: end.duration_since(plan.started()),
            latency,
            is_cut: plan.is_stopped(),
        })
    })
}
