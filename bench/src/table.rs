//! The printed result: a table for each family of cases, a row for each case
//! and server, and beside the figures that matter their ratio to midge's.

use std::fmt::Write;
use std::thread;
use std::time::Duration;

use crate::cases::Family;
use crate::figures::{Metric, Sample};
use crate::peer::Kind;
use crate::proc;
use crate::rounds::Outcome;

/// A column of figures.
struct Column {
    title: &'static str,
    metric: Metric,
    show: fn(f64) -> String,
    /// Whether a column with the ratio to midge's figure follows it.
    compared: bool,
}

const fn column(title: &'static str, metric: Metric, show: fn(f64) -> String) -> Column {
    Column {
        title,
        metric,
        show,
        compared: false,
    }
}

const fn compared(title: &'static str, metric: Metric, show: fn(f64) -> String) -> Column {
    Column {
        compared: true,
        ..column(title, metric, show)
    }
}

const MESSAGES: &[Column] = &[
    compared("messages/s", Metric::Rate, scaled),
    compared("cpu s/M", Metric::CpuPerMillion, decimals),
    column("cores", Metric::ServerCores, decimals),
    column("load cores", Metric::LoadCores, decimals),
    column("RSS MB", Metric::Resident, megabytes),
    column("peak MB", Metric::Peak, megabytes),
    column("spread", Metric::Spread, percent),
];

const ROUND_TRIPS: &[Column] = &[
    compared("p50 µs", Metric::P50, decimals),
    compared("p99 µs", Metric::P99, decimals),
    column("p99.9 µs", Metric::P999, decimals),
    compared("round trips/s", Metric::Rate, scaled),
    compared("cpu s/M", Metric::CpuPerMillion, decimals),
    column("cores", Metric::ServerCores, decimals),
    column("load cores", Metric::LoadCores, decimals),
    column("spread", Metric::Spread, percent),
];

const CONNECTIONS: &[Column] = &[
    compared("bytes each", Metric::BytesEach, whole),
    column("RSS MB", Metric::Resident, megabytes),
    column("peak MB", Metric::Peak, megabytes),
    compared("connections/s", Metric::Rate, scaled),
];

const SUBSCRIPTIONS: &[Column] = &[
    compared("bytes each", Metric::BytesEach, whole),
    column("RSS MB", Metric::Resident, megabytes),
    column("peak MB", Metric::Peak, megabytes),
    compared("subscriptions/s", Metric::Rate, scaled),
    compared("cpu s/M", Metric::CpuPerMillion, decimals),
];

const STORING: &[Column] = &[
    compared("messages/s", Metric::Rate, scaled),
    compared("cpu s/M", Metric::CpuPerMillion, decimals),
    compared("disk B each", Metric::WrittenEach, whole),
    compared("file B/B", Metric::SpaceRatio, decimals),
    column("cores", Metric::ServerCores, decimals),
    column("load cores", Metric::LoadCores, decimals),
    column("RSS MB", Metric::Resident, megabytes),
    column("spread", Metric::Spread, percent),
];

const DISTURBANCE: &[Column] = &[
    column("p50 µs alone", Metric::QuietP50, decimals),
    column("p99 µs alone", Metric::QuietP99, decimals),
    compared("p50 µs", Metric::P50, decimals),
    compared("p99 µs", Metric::P99, decimals),
    column("p99.9 µs", Metric::P999, decimals),
    compared("p99 grows", Metric::P99Growth, ratio),
    compared("stored/s", Metric::FloodRate, scaled),
    column("load cores", Metric::LoadCores, decimals),
];

const SETTLING: &[Column] = &[
    compared("settled/s", Metric::Rate, scaled),
    column("p50 µs alone", Metric::QuietP50, decimals),
    column("p99 µs alone", Metric::QuietP99, decimals),
    compared("p50 µs", Metric::P50, decimals),
    compared("p99 µs", Metric::P99, decimals),
    column("p99.9 µs", Metric::P999, decimals),
    compared("p99 grows", Metric::P99Growth, ratio),
    column("cores", Metric::ServerCores, decimals),
    column("load cores", Metric::LoadCores, decimals),
    column("RSS MB", Metric::Resident, megabytes),
    column("spread", Metric::Spread, percent),
];

const RESTARTS: &[Column] = &[
    compared("clean, ms", Metric::CleanFirst, decimals),
    compared("to answer", Metric::CleanReady, decimals),
    compared("killed, ms", Metric::KilledFirst, decimals),
    compared("to answer", Metric::KilledReady, decimals),
    column("lost", Metric::Lost, whole),
    column("stop, ms", Metric::Stopping, decimals),
    column("RSS MB", Metric::Resident, megabytes),
    column("files MB", Metric::Occupied, megabytes),
];

const PROCESS: &[Column] = &[compared("value", Metric::Value, decimals)];

const FAMILIES: [(Family, &str, &[Column]); 10] = [
    (Family::Messages, "Messages", MESSAGES),
    (Family::RoundTrips, "Round trips", ROUND_TRIPS),
    (Family::Connections, "Connections", CONNECTIONS),
    (Family::Subscriptions, "Subscriptions", SUBSCRIPTIONS),
    (Family::Storing, "Storing", STORING),
    (Family::Taking, "Taking what is stored", MESSAGES),
    (
        Family::Disturbance,
        "Round trips beside storing",
        DISTURBANCE,
    ),
    (
        Family::Settling,
        "Pulling one at a time beside many",
        SETTLING,
    ),
    (Family::Restarts, "Starting with what is stored", RESTARTS),
    (Family::Process, "Process", PROCESS),
];

/// What a run was like.
pub(crate) struct Circumstances {
    /// The servers and their versions.
    pub(crate) versions: Vec<String>,
    /// The load average before.
    pub(crate) busy: f64,
    /// The kind of filesystem stores are on.
    pub(crate) filesystem: String,
    /// How long a write of a few bytes takes there until it is on the disk.
    pub(crate) sync: Duration,
    /// How long a load was.
    pub(crate) duration: Duration,
    /// How many rounds were asked for.
    pub(crate) rounds: usize,
}

/// What was run, on what, and how much else went on there before.
pub(crate) fn preamble(run: &Circumstances) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let processor = proc::processor().unwrap_or_else(|| "unknown processor".to_owned());
    let rounds = match run.rounds {
        1 => "one round".to_owned(),
        count => format!("median of {count} rounds"),
    };
    format!(
        "{}; {cores} cores of {processor}, load average before {:.2}; \
         stores on {}, where a synced write takes {} µs; \
         {:.2} s a load, {rounds}. × is the ratio to midge.\n",
        run.versions.join(", "),
        run.busy,
        run.filesystem,
        decimals(run.sync.as_secs_f64() * 1e6),
        run.duration.as_secs_f64(),
    )
}

/// All tables, and after them every failure.
pub(crate) fn render(outcomes: &[Outcome<'_>], markdown: bool) -> String {
    let mut out = String::new();
    for (family, title, columns) in FAMILIES {
        let rows: Vec<Vec<String>> = outcomes
            .iter()
            .filter(|outcome| outcome.case.family() == family)
            .map(|outcome| row(outcome, columns, midge(outcome, outcomes)))
            .collect();
        if rows.is_empty() {
            continue;
        }
        let heading = if markdown { "### " } else { "" };
        let _ = writeln!(out, "{heading}{title}");
        out.push_str(&laid_out(&header(columns), &rows, markdown));
        out.push('\n');
    }
    for failure in outcomes.iter().flat_map(|outcome| &outcome.failures) {
        let _ = writeln!(out, "failed: {failure}");
    }
    out
}

/// Midge's figures for the same case.
fn midge<'a>(of: &Outcome<'_>, outcomes: &'a [Outcome<'_>]) -> Option<&'a Sample> {
    let same = |other: &&Outcome<'_>| other.kind == Kind::Midge && other.case.name == of.case.name;
    outcomes.iter().find(same)?.figures.as_ref()
}

fn header(columns: &[Column]) -> Vec<String> {
    let mut cells = vec!["case".to_owned(), "server".to_owned()];
    for column in columns {
        cells.push(column.title.to_owned());
        if column.compared {
            cells.push("×".to_owned());
        }
    }
    cells
}

fn row(outcome: &Outcome<'_>, columns: &[Column], midge: Option<&Sample>) -> Vec<String> {
    let mut cells = vec![outcome.case.title.clone(), outcome.kind.name().to_owned()];
    let missing = if outcome.failures.is_empty() {
        "-"
    } else {
        "failed"
    };
    for column in columns {
        let find = |sample: &Sample| sample.get(&column.metric).copied();
        let value = outcome.figures.as_ref().and_then(find);
        cells.push(value.map_or(missing.to_owned(), column.show));
        if column.compared {
            let base = midge.and_then(find).filter(|base| *base > 0.0);
            let ratio = value.zip(base).map(|(value, base)| ratio(value / base));
            cells.push(ratio.unwrap_or("-".to_owned()));
        }
    }
    cells
}

/// Two columns of text to the left, all others to the right; the case is
/// named on its first row only.
fn laid_out(header: &[String], rows: &[Vec<String>], markdown: bool) -> String {
    let mut lines: Vec<Vec<String>> = vec![header.to_vec()];
    let mut case = "";
    for row in rows {
        let mut line = row.clone();
        if row[0] == case {
            line[0].clear();
        }
        case = &row[0];
        lines.push(line);
    }
    let widths: Vec<usize> = (0..header.len())
        .map(|index| {
            let lengths = lines.iter().map(|line| line[index].chars().count());
            lengths.max().unwrap_or(0)
        })
        .collect();

    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(index, (cell, width))| {
                if index < 2 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        if markdown {
            let gap = if number == 0 { "\n" } else { "" };
            let _ = writeln!(out, "{gap}| {} |", cells.join(" | "));
        } else {
            let gap = if line[0].is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}{}", cells.join("  "));
        }
        if markdown && number == 0 {
            let rule = |index| if index < 2 { "---" } else { "---:" };
            let rules: Vec<&str> = (0..line.len()).map(rule).collect();
            let _ = writeln!(out, "| {} |", rules.join(" | "));
        }
    }
    out
}

fn ratio(value: f64) -> String {
    format!("{}×", decimals(value))
}

/// Three significant digits, or all before the point.
fn decimals(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn scaled(value: f64) -> String {
    match value {
        big if big >= 1e6 => format!("{} M", decimals(value / 1e6)),
        big if big >= 1e3 => format!("{} k", decimals(value / 1e3)),
        _ => decimals(value),
    }
}

fn megabytes(value: f64) -> String {
    decimals(value / 1e6)
}

fn percent(value: f64) -> String {
    format!("{:.0} %", value * 100.0)
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{Counts, Scale, all};

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(scaled(5_213_000.0), "5.21 M");
        assert_eq!(scaled(812_300.0), "812 k");
        assert_eq!(decimals(0.0214), "0.021");
        assert_eq!(ratio(0.5), "0.500×");
        assert_eq!(percent(0.125), "12 %");
    }

    #[test]
    fn rows_compare_with_midge_and_show_failures() {
        let cases = all(Scale::Quick, Counts::of(Scale::Quick));
        let outcome = |kind, rate: Option<f64>, failures| Outcome {
            case: &cases[0],
            kind,
            figures: rate.map(|rate| Sample::from([(Metric::Rate, rate)])),
            failures,
        };
        let outcomes = [
            outcome(Kind::Midge, Some(2e6), vec![]),
            outcome(Kind::Nats, Some(1e6), vec![]),
            outcome(Kind::Redis, None, vec!["cut".to_owned()]),
            outcome(Kind::Relay, None, vec![]),
        ];
        let text = render(&outcomes, true);
        assert!(text.contains(" 2.00 M |  1.00× |"), "{text}");
        assert!(text.contains(" 1.00 M | 0.500× |"), "{text}");
        assert!(text.contains("failed: cut"), "{text}");
        assert_eq!(text.matches(&cases[0].title).count(), 1, "{text}");
        let widths: Vec<usize> = render(&outcomes, false)
            .lines()
            .filter(|line| line.contains("server"))
            .map(|line| line.chars().count())
            .collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}");
    }
}
