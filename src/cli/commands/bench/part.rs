//! What one connection does while it is measured.

use super::super::connection::complaint;
use super::histogram::Histogram;
use super::plan::{Mode, Plan};
use crate::failure::Failure;
use midge_client::streams::{Consumer, Pending, PublisherOptions, PullOptions};
use midge_client::{Client, Error, Publish, Subscription};
use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for a message before looking whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When nothing has come for so long nothing is under way any more.
const QUIET: Duration = Duration::from_secs(1);

/// How long a publisher waits that is too far ahead.
const REST: Duration = Duration::from_micros(50);

/// The bytes of a message that say when it was sent.
const STAMP: usize = size_of::<u64>();

pub(super) enum Part {
    Publish(Client),
    Take(Subscription),
    Ask(Client),
    Store(Client),
    Pull(Client, Consumer),
}

/// Answers those who ask, until the client is closed.
pub(super) fn answer(client: &Client, subject: &str, timeout: Duration) -> Result<(), Failure> {
    let subscription = client.queue_subscribe(subject, "bench")?;
    client.flush(timeout)?;
    complaint(client)?;
    let client = client.clone();
    let run = move || {
        for request in subscription {
            if client.respond(&request, request.payload()).is_err() {
                return;
            }
        }
    };
    match thread::Builder::new().spawn(run) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::thread(&error)),
    }
}

impl Part {
    /// Works until it is over; how long each message took, as far as that can
    /// be known.
    pub(super) fn run(self, plan: &Plan) -> Result<Histogram, Failure> {
        match self {
            Part::Publish(client) => publish(plan, &client),
            Part::Take(subscription) => take(plan, subscription),
            Part::Ask(client) => ask(plan, &client),
            Part::Store(client) => store(plan, &client),
            Part::Pull(client, consumer) => pull(plan, &client, &consumer),
        }
    }
}

fn publish(plan: &Plan, client: &Client) -> Result<Histogram, Failure> {
    let mut payload = plan.payload();
    while plan.next_sent() {
        if plan.mode == Mode::Both {
            wait_for_takers(plan);
            if let Some(stamp) = payload.first_chunk_mut::<STAMP>() {
                *stamp = (plan.started().elapsed().as_nanos() as u64).to_le_bytes();
            }
        }
        client.publish(&plan.subject, &payload)?;
    }
    client.flush(plan.timeout)?;
    complaint(client)?;
    plan.end_publisher();
    Ok(Histogram::new())
}

/// Those who take must not fall behind without end. What was dropped on the
/// way is not waited for.
fn wait_for_takers(plan: &Plan) {
    let mut received = plan.received();
    let mut quiet_since = Instant::now();
    while plan.behind() > plan.window && plan.has_time() {
        thread::sleep(REST);
        if plan.received() != received {
            received = plan.received();
            quiet_since = Instant::now();
        } else if quiet_since.elapsed() > QUIET {
            plan.miss();
        }
    }
}

fn take(plan: &Plan, mut subscription: Subscription) -> Result<Histogram, Failure> {
    let mut times = Histogram::new();
    let mut quiet_since = Instant::now();
    let mut count = 0;
    while plan.messages.is_none_or(|messages| count < messages) {
        match subscription.next_timeout(LOOK_EVERY) {
            Ok(message) => {
                plan.begin();
                plan.count_received();
                count += 1;
                quiet_since = Instant::now();
                if let Some(stamp) = message.payload().first_chunk::<STAMP>()
                    && plan.mode == Mode::Both
                {
                    let sent = Duration::from_nanos(u64::from_le_bytes(*stamp));
                    times.record(plan.started().elapsed().saturating_sub(sent));
                }
                if plan.mode == Mode::Subscribe && !plan.has_time() {
                    break;
                }
            }
            Err(Error::Timeout) if plan.is_stopped() => break,
            // Those who publish have ended; of what is under way all comes.
            Err(Error::Timeout) if plan.is_sent() && quiet_since.elapsed() > QUIET => break,
            Err(Error::Timeout) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(times)
}

fn ask(plan: &Plan, client: &Client) -> Result<Histogram, Failure> {
    let mut times = Histogram::new();
    let payload = plan.payload();
    while plan.next_sent() {
        let start = Instant::now();
        client.request(&plan.subject, &payload, Some(plan.timeout))?;
        times.record(start.elapsed());
    }
    Ok(times)
}

fn store(plan: &Plan, client: &Client) -> Result<Histogram, Failure> {
    let publisher = client.streams().publisher(PublisherOptions {
        window_max: plan.window as usize,
        ..PublisherOptions::default()
    })?;
    let mut times = Histogram::new();
    let payload = plan.payload();
    let mut under_way: VecDeque<(Instant, Pending)> = VecDeque::new();
    let mut wait = |(start, pending): (Instant, Pending)| -> Result<(), Failure> {
        pending.wait()?;
        times.record(start.elapsed());
        Ok(())
    };
    while plan.next_sent() {
        let start = Instant::now();
        let message = Publish::new(&plan.subject, &payload);
        under_way.push_back((start, publisher.publish(&message)?));
        if under_way.len() as u64 >= plan.window
            && let Some(first) = under_way.pop_front()
        {
            wait(first)?;
        }
    }
    under_way.into_iter().try_for_each(wait)?;
    Ok(times)
}

fn pull(plan: &Plan, client: &Client, consumer: &Consumer) -> Result<Histogram, Failure> {
    let mut messages = consumer.messages(PullOptions {
        batch: plan.window,
        ..PullOptions::default()
    })?;
    let expected = plan.expected().unwrap_or_default();
    while plan.received() < expected && !plan.is_stopped() {
        match messages.next_timeout(LOOK_EVERY) {
            Ok(message) => {
                message.ack()?;
                plan.count_received();
            }
            Err(Error::Timeout) => {}
            Err(error) => return Err(error.into()),
        }
    }
    client.flush(plan.timeout)?;
    Ok(Histogram::new())
}
