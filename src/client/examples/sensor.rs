//! A sensor that publishes a reading every second into a stream, and keeps
//! what it has not got rid of while the network or the server is away.
//!
//!     sensor [URL [NAME]]
//!
//! Readings are kept in memory until the server confirms that they are stored,
//! 3600 at most: an hour. After that the oldest ones are dropped, and how many
//! is part of the next reading. Each has an id, so that one whose confirmation
//! was lost is not stored twice. Somebody else makes the stream:
//!
//!     midge stream add READINGS --subjects 'readings.>'

use midge_client::streams::Streams;
use midge_client::{Client, Error, Headers, Options, Publish};
use std::collections::VecDeque;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const INTERVAL: Duration = Duration::from_secs(1);

/// An hour of readings: some hundred kilobytes.
const KEPT_MAX: usize = 3600;

/// How long to wait for a confirmation: shorter than it takes to have many
/// more readings.
const TIMEOUT: Duration = Duration::from_secs(2);

struct Reading {
    id: String,
    text: String,
}

/// What is not confirmed yet.
#[derive(Default)]
struct Kept {
    readings: VecDeque<Reading>,
    taken: u64,
    dropped: u64,
}

impl Kept {
    /// Takes a reading in; the oldest one goes if there are too many.
    fn push(&mut self, celsius: f32) {
        if self.readings.len() >= KEPT_MAX {
            self.readings.pop_front();
            self.dropped += 1;
        }
        self.taken += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        let dropped = self.dropped;
        self.readings.push_back(Reading {
            id: format!("{millis}-{}", self.taken),
            text: format!(
                "{{\"time_ms\":{millis},\"celsius\":{celsius:.1},\"dropped\":{dropped}}}"
            ),
        });
    }

    /// Sends what is kept, the oldest first, until all is confirmed or one is
    /// not.
    fn send(&mut self, streams: &Streams, subject: &str) -> Result<(), Error> {
        while let Some(reading) = self.readings.front() {
            let headers = Headers::new().message_id(&reading.id);
            let message = Publish::new(subject, &reading.text).headers(&headers);
            streams.publish(&message)?;
            self.readings.pop_front();
        }
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "127.0.0.1".to_owned());
    let name = arguments.next().unwrap_or_else(|| "hall".to_owned());
    let options = Options {
        name: name.clone(),
        timeout: TIMEOUT,
        connects_later: true,
        ..Options::default()
    };
    let client = Client::connect(&url, options)?;
    let streams = client.streams();
    let subject = format!("readings.{name}");
    let mut kept = Kept::default();
    let mut next = Instant::now();
    loop {
        kept.push(measure());
        if client.is_connected()
            && let Err(error) = kept.send(&streams, &subject)
        {
            eprintln!("{} readings wait: {error}", kept.readings.len());
        }
        next += INTERVAL;
        sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Stands for a thermometer.
fn measure() -> f32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0.0, |since| (since.as_secs() % 86_400) as f32);
    20.0 + 5.0 * (seconds / 86_400.0 * std::f32::consts::TAU).sin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_that_is_told() {
        let mut kept = Kept::default();
        for _ in 0..KEPT_MAX + 2 {
            kept.push(21.5);
        }
        assert_eq!(kept.readings.len(), KEPT_MAX);
        assert!(kept.readings[0].id.ends_with("-3"));
        let last = &kept.readings[KEPT_MAX - 1].text;
        assert!(last.ends_with("\"celsius\":21.5,\"dropped\":2}"), "{last}");
    }

    #[test]
    fn what_is_not_confirmed_is_kept() {
        let options = Options {
            connects_later: true,
            timeout: Duration::from_millis(10),
            ..Options::default()
        };
        // Nobody listens there.
        let client = Client::connect("127.0.0.1:1", options).expect("later");
        let mut kept = Kept::default();
        kept.push(21.5);
        let error = kept
            .send(&client.streams(), "readings.hall")
            .expect_err("alone");
        assert!(error.is_passing(), "{error}");
        assert_eq!(kept.readings.len(), 1);
    }
}
