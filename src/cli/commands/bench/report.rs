//! What was measured, for people and for programs.

use super::histogram::Histogram;
use super::plan::{Mode, Plan};
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output;
use midge_client::streams::JsonWriter;
use std::time::Duration;

/// Which part of all is not slower, and what that is called.
const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

/// What came of it.
pub(super) struct Measured {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) elapsed: Duration,
    /// Empty where it cannot be known.
    pub(super) latency: Histogram,
    /// Whether it was interrupted.
    pub(super) is_cut: bool,
}

pub(super) fn show(arguments: &Arguments, plan: &Plan, measured: &Measured) -> Result<(), Failure> {
    if arguments.has("json") {
        output::print_json(json(arguments, plan, measured))?;
    } else {
        output::print(&text(plan, measured))?;
    }
    if measured.is_cut {
        return Err(Failure::refused("it was interrupted"));
    }
    let expected = match plan.mode {
        Mode::Both => measured.sent * plan.clients,
        _ => return Ok(()),
    };
    if measured.received < expected {
        let words = format!("{} of {expected} came", measured.received);
        return Err(Failure::refused(words));
    }
    Ok(())
}

/// What is counted, by its name.
fn counts(plan: &Plan, measured: &Measured) -> [(&'static str, u64); 2] {
    let sent = match plan.mode {
        Mode::Request => "answered",
        Mode::Store => "stored",
        _ => "published",
    };
    let received = match plan.mode {
        Mode::Pull => "pulled",
        _ => "received",
    };
    [(sent, measured.sent), (received, measured.received)]
}

/// So many a second.
fn rate(count: u64, elapsed: Duration) -> u64 {
    let nanos = elapsed.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

fn text(plan: &Plan, measured: &Measured) -> String {
    let millis = measured.elapsed.as_millis();
    let plural = if plan.clients == 1 { "" } else { "s" };
    let clients = plan.clients;
    let mut out = format!("{clients} client{plural}, {millis} ms");
    if plan.mode != Mode::Subscribe {
        out.push_str(&format!(", {} bytes a message", plan.size));
    }
    out.push('\n');
    for (name, count) in counts(plan, measured) {
        if count == 0 {
            continue;
        }
        let rate = rate(count, measured.elapsed);
        out.push_str(&format!("{name:<10} {count} messages, {rate}/s"));
        if plan.mode != Mode::Subscribe {
            let tenths = rate.saturating_mul(plan.size as u64) / 100_000;
            out.push_str(&format!(", {}.{} MB/s", tenths / 10, tenths % 10));
        }
        out.push('\n');
    }
    if measured.latency.total() > 0 {
        out.push_str("latency   ");
        for (name, part) in QUANTILES {
            out.push_str(&format!(" {name} "));
            push_micros(&mut out, nanos(measured, part));
        }
        out.push('\n');
    }
    out
}

fn nanos(measured: &Measured, part: f64) -> u64 {
    (measured.latency.micros(part) * 1000.0) as u64
}

/// With as many digits as mean something.
fn push_micros(out: &mut String, nanos: u64) {
    out.push_str(&match nanos {
        0..100_000 => format!("{}.{} us", nanos / 1000, nanos / 100 % 10),
        100_000..10_000_000 => format!("{} us", nanos / 1000),
        _ => format!("{} ms", nanos / 1_000_000),
    });
}

fn json(arguments: &Arguments, plan: &Plan, measured: &Measured) -> JsonWriter {
    let mut json = JsonWriter::new();
    json.open_object();
    json.string_field("mode", arguments.action.name);
    json.uint_field("clients", plan.clients);
    if plan.mode != Mode::Subscribe {
        json.uint_field("size", plan.size as u64);
    }
    json.uint_field("elapsed_us", measured.elapsed.as_micros() as u64);
    for (name, count) in counts(plan, measured) {
        if count > 0 {
            json.uint_field(name, count);
            let rate = rate(count, measured.elapsed);
            json.uint_field(&format!("{name}_per_s"), rate);
        }
    }
    if measured.latency.total() > 0 {
        json.key("latency_ns");
        json.open_object();
        for (name, part) in QUANTILES {
            json.uint_field(name, nanos(measured, part));
        }
        json.close_object();
    }
    json.close_object();
    json
}
