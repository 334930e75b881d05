//! `midge top`: streams and consumers as they are, again and again.
//!
//! Owns what is shown of a sample and in which order. [`sampler`](super::sampler)
//! asks the server, [`screen`](super::screen) is the terminal.

use super::remote::string;
use super::sampler::{Sample, Sampler};
use super::screen::{Event, Inbox, Screen};
use super::settings::{self, Settings};
use super::table::write_table;
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::output;
use midge_client::streams::JsonWriter;
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

/// How often it is asked and drawn, unless something else is said.
const INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two samples: who asks more often measures
/// itself.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// What is shown of streams and of consumers, see
/// [`write_table`](super::table::write_table).
const STREAM: &str = "stream in/s=in_per_s out/s=out_per_s messages bytes oldest=oldest_ms \
                      consumers ack_pending redelivered dead";
const CONSUMER: &str = "stream consumer out/s=out_per_s pending ack_pending redelivered waiting \
                        idle=idle_ms dead";

/// What they can be sorted by, in the order in which a key press goes through
/// it: first names, then the largest first.
const SORTS: [&str; 10] = [
    "name",
    "in",
    "out",
    "messages",
    "bytes",
    "oldest",
    "pending",
    "ack-pending",
    "redelivered",
    "dead",
];

pub(crate) const COMMAND: Command = Command {
    name: "top",
    about: "streams and consumers at work, redrawn each second",
    actions: &[Action {
        name: "",
        places: "",
        about: "Shows streams and consumers at work, redrawn each second: what comes in and
goes out, what is there and how old, what waits for acks, was delivered again
or is dead. On a terminal s sorts by the next column and q ends it; elsewhere,
and with --once or --json, it measures once.",
        options: &["  --interval DURATION    how often it looks (default: 1s)
  --sort name|in|out|messages|bytes|oldest|pending|ack-pending|redelivered|dead
                         the largest first (default: name)
  --once                 print what was measured over one interval"],
        example: "midge top --sort pending
midge top --json --interval 10s",
        run,
    }],
};

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let interval = arguments.duration("interval").unwrap_or(INTERVAL);
    let interval = interval.max(INTERVAL_MIN);
    let mut sampler = Sampler::connect(arguments)?;
    let word = arguments.text("sort").unwrap_or_default();
    let sort = SORTS.iter().position(|sort| *sort == word).unwrap_or(0);
    if arguments.has_any("once json") || !io::stdout().is_terminal() {
        sampler.sample()?;
        std::thread::sleep(interval);
        let sample = sampler.sample()?;
        return print(arguments, sample, sort);
    }
    let events = Arc::new(Inbox::default());
    let samples = events.clone();
    // It ends with the program.
    let thread = std::thread::Builder::new().spawn(move || {
        loop {
            samples.push(match sampler.sample() {
                Ok(sample) => Event::Sample(sample),
                Err(failure) => Event::Trouble(failure.to_string()),
            });
            std::thread::sleep(interval);
        }
    });
    thread.map_err(|error| Failure::thread(&error))?;
    show(&Screen::open(&events)?, &events, sort)
}

/// Draws what comes until somebody ends it.
fn show(screen: &Screen, events: &Inbox, mut sort: usize) -> Result<(), Failure> {
    let mut last = Sample::default();
    let mut trouble = String::from("looking");
    loop {
        match events.take() {
            Event::End | Event::Key(b'q' | b'Q') => return Ok(()),
            Event::Key(b's') => sort = (sort + 1) % SORTS.len(),
            Event::Key(_) | Event::Resized => {}
            Event::Trouble(words) => trouble = format!("{words}; looking again"),
            Event::Sample(sample) => {
                last = sample;
                trouble.clear();
            }
        }
        let (lines, _) = screen.size();
        last.sort(SORTS[sort]);
        let mut out = headline(&last, SORTS[sort]);
        out.push_str(trouble.lines().next().unwrap_or_default());
        out.push('\n');
        // The two above.
        push_tables(&mut out, &last, lines.saturating_sub(2));
        screen.draw(&out)?;
    }
}

fn headline(sample: &Sample, sort: &str) -> String {
    let mut out = format!(
        "{}: streams {}, consumers {}",
        sample.server, sample.streams_total, sample.consumers_total
    );
    if let Some(dead) = sample.dead {
        out.push_str(&format!(", dead letters {dead}"));
    }
    out.push_str(&format!("; by {sort}; s sorts, q ends\n"));
    out
}

/// Appends both tables in so many lines.
fn push_tables(out: &mut String, sample: &Sample, lines: usize) {
    // Two headlines, and a blank line between the tables.
    let taken = if sample.consumers.is_empty() { 1 } else { 3 };
    let room = lines.saturating_sub(taken);
    let for_streams = (room / 2).max(room.saturating_sub(sample.consumers.len()));
    let shown = push_rows(out, &sample.streams, STREAM, for_streams);
    if !sample.consumers.is_empty() && room > shown {
        out.push('\n');
        push_rows(out, &sample.consumers, CONSUMER, room - shown);
    }
}

/// Appends a table of so many lines at most below its headline; how many.
fn push_rows(out: &mut String, rows: &[Value], columns: &str, lines: usize) -> usize {
    let shown = match rows.len() {
        count if count > lines => lines.saturating_sub(1),
        count => count,
    };
    write_table(out, &rows[..shown], columns);
    if shown == rows.len() {
        return shown;
    }
    out.push_str(&format!("and {} more\n", rows.len() - shown));
    shown + 1
}

/// Prints a sample, all of it.
fn print(arguments: &Arguments, mut sample: Sample, sort: usize) -> Result<(), Failure> {
    sample.sort(SORTS[sort]);
    if arguments.has("json") {
        let mut json = JsonWriter::new();
        json.open_object();
        json.string_field("server", &sample.server);
        json.uint_field("streams_total", sample.streams_total);
        json.uint_field("consumers_total", sample.consumers_total);
        for (key, rows) in [
            ("streams", &sample.streams),
            ("consumers", &sample.consumers),
        ] {
            json.key(key);
            json.open_array();
            rows.iter().for_each(|row| settings::write(&mut json, row));
            json.close_array();
        }
        json.close_object();
        return output::print_json(json);
    }
    let mut out = String::new();
    push_tables(&mut out, &sample, usize::MAX);
    output::print(&out)
}

impl Sample {
    /// Sorts by a number, the largest first, and what has the same by name.
    fn sort(&mut self, sort: &str) {
        let key = match sort {
            "in" => "in_per_s",
            "out" => "out_per_s",
            "oldest" => "oldest_ms",
            "ack-pending" => "ack_pending",
            sort => sort,
        };
        for rows in [&mut self.streams, &mut self.consumers] {
            let mut sorted = Settings::new();
            for row in std::mem::take(rows) {
                let number = row.get(key).and_then(Value::as_u64);
                let number = number.map_or(u64::MAX, |number| u64::MAX - 1 - number);
                let (stream, consumer) = (string(&row, "stream"), string(&row, "consumer"));
                // Of a fixed width, so that text is in the order of numbers.
                sorted.insert(format!("{number:020} {stream} {consumer}"), row);
            }
            rows.extend(sorted.into_iter().map(|(_, row)| row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(streams: usize, consumers: usize) -> Sample {
        Sample {
            streams: (0..streams)
                .map(|n| json!({"stream": format!("S{n}"), "in_per_s": n, "messages": 7}))
                .collect(),
            consumers: (0..consumers)
                .map(|n| json!({"stream": "S", "consumer": format!("c{n}"), "out_per_s": n % 2}))
                .collect(),
            ..Sample::default()
        }
    }

    #[test]
    fn the_largest_is_first_and_names_break_ties() {
        let mut sample = sample(3, 3);
        let names = |rows: &[Value]| -> Vec<String> {
            rows.iter()
                .map(|row| string(row, "stream").to_owned() + string(row, "consumer"))
                .collect()
        };
        sample.sort("in");
        assert_eq!(names(&sample.streams), ["S2", "S1", "S0"]);
        sample.sort("out");
        assert_eq!(names(&sample.streams), ["S0", "S1", "S2"]);
        assert_eq!(names(&sample.consumers), ["Sc1", "Sc0", "Sc2"]);
        sample.sort("name");
        assert_eq!(names(&sample.consumers), ["Sc0", "Sc1", "Sc2"]);
    }

    #[test]
    fn what_is_drawn_fits() {
        for (streams, consumers) in [(0, 0), (1, 1), (3, 100), (100, 3), (100, 100), (9, 0)] {
            for lines in 0..40 {
                let mut out = String::new();
                push_tables(&mut out, &sample(streams, consumers), lines);
                let count = out.lines().count();
                assert!(
                    count <= lines.max(2),
                    "{streams} {consumers} {lines}: {count}"
                );
                // No room is left while something is left out, but on a terminal
                // that is too small for anything.
                let is_cut = out.contains(" more\n");
                assert!(!is_cut || lines < 8 || count == lines, "{lines}: {out}");
            }
        }
    }
}
