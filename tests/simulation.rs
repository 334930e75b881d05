//! The engine's streams in a world of chance, where every run can be run
//! again: clients that do anything, a disk that fails, power that is cut, a
//! clock that is set. A plain model says what must be true.
//!
//! `SIM_SEED=7 cargo test --test tests simulation` runs one seed again and
//! shows its last steps, or `SIM_STEPS` of them; `SIM_SEEDS=100000` runs so
//! many, from `SIM_FIRST` on, until `SIM_FAILURES` have failed.

mod checks;
mod client;
mod consumers;
mod control;
mod disk;
mod extras;
mod fast;
mod faults;
mod hear;
mod letters;
mod model;
mod redrives;
mod rng;
mod settings;
mod timed;
mod told;
mod world;

use crate::trace;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use world::World;

/// Seeds of an ordinary run of the tests.
const SEEDS: u64 = 2000;
/// The same of the run about lifetimes and schedules.
const TIMED_SEEDS: u64 = 2000;

/// A run that takes longer goes round in circles: an ordinary one takes some
/// hundredths of a second.
const PATIENCE: Duration = Duration::from_secs(120);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Seeds that are run, and what came of it.
#[derive(Default)]
struct Runs {
    next: u64,
    end: u64,
    failures: Vec<String>,
    /// The seed of each thread, and since when.
    running: BTreeMap<usize, (u64, Instant)>,
}

#[test]
fn streams_keep_their_promises_whatever_happens() {
    run_all(run, SEEDS);
}

#[test]
fn messages_come_and_go_in_their_time_whatever_happens() {
    run_all(timed::run, TIMED_SEEDS);
}

fn run_all(run: fn(u64), seeds: u64) {
    if let Some(seed) = number("SIM_SEED") {
        return try_run(run, seed).unwrap_or_else(|report| panic!("{report}"));
    }
    let first = number("SIM_FIRST").unwrap_or(1);
    let runs = Arc::new(Mutex::new(Runs {
        next: first,
        end: first + number("SIM_SEEDS").unwrap_or(seeds),
        ..Runs::default()
    }));
    let max_failures = number("SIM_FAILURES").unwrap_or(1) as usize;
    let threads = thread::available_parallelism().map_or(2, |count| count.get());
    let workers: Vec<_> = (0..threads)
        .map(|place| {
            let runs = Arc::clone(&runs);
            thread::spawn(move || work(run, &runs, place, max_failures))
        })
        .collect();
    while workers.iter().any(|worker| !worker.is_finished()) {
        thread::sleep(Duration::from_millis(50));
        let stuck = runs
            .lock()
            .unwrap()
            .running
            .values()
            .find_map(|(seed, since)| (since.elapsed() > PATIENCE).then_some(*seed));
        assert_eq!(stuck, None, "this seed does not come to an end");
    }
    let failures = &runs.lock().unwrap().failures;
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Runs seeds until none is left.
fn work(run: fn(u64), runs: &Mutex<Runs>, place: usize, max_failures: usize) {
    loop {
        let seed = {
            let mut runs = runs.lock().unwrap();
            runs.running.remove(&place);
            if runs.next == runs.end || runs.failures.len() >= max_failures {
                return;
            }
            runs.next += 1;
            let seed = runs.next - 1;
            runs.running.insert(place, (seed, Instant::now()));
            seed
        };
        if let Err(report) = try_run(run, seed) {
            runs.lock().unwrap().failures.push(report);
        }
    }
}

fn try_run(run: fn(u64), seed: u64) -> Result<(), String> {
    let result = catch_unwind(AssertUnwindSafe(|| run(seed)));
    let steps = told::take_trace();
    let Err(panic) = result else {
        return Ok(());
    };
    let why = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default();
    Err(format!(
        "{}\nseed {seed} fails: {why}\nto run it again: SIM_SEED={seed} cargo test --test tests simulation",
        steps.join("\n")
    ))
}

/// Of each third seed batches wait for more.
fn linger(seed: u64) -> Duration {
    match seed % 3 {
        0 => Duration::from_millis(5),
        _ => Duration::ZERO,
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed, linger(seed));
    let steps = 50 + world.rng.below(350);
    for _ in 0..3 {
        world.create_or_update_stream();
    }
    world.create_extras();
    for _ in 0..5 {
        world.create_consumer();
    }
    for _ in 0..steps {
        step(&mut world);
    }
    world.finish();
}

/// Something happens.
fn step(world: &mut World) {
    match world.rng.below(1000) {
        0..290 => world.publish(),
        290..330 => world.publish_extra(),
        330..430 => world.pull(),
        430..630 => world.answer_one(),
        630..660 => world.create_or_update_stream(),
        660..700 => world.create_consumer(),
        700..720 => world.remove_messages(),
        720..760 => world.move_client(),
        760..763 => {
            let name = world.rng.pick(&client::STREAMS);
            world.delete_stream(name);
        }
        763..768 => {
            let stream = world.rng.pick(&client::STREAMS);
            let consumer = world.rng.pick(&client::CONSUMERS);
            world.delete_consumer(stream, consumer);
        }
        768..774 => world.cut_power(),
        774..777 => world.restart(),
        777..780 => world.step_wall(),
        780..790 => world.check_quiet(),
        790..820 => world.ask_about_letters(),
        820..830 => {
            let stream = world.rng.pick(&client::STREAMS);
            let consumer = world.rng.pick(&client::CONSUMERS);
            world.unpark(stream, consumer);
        }
        830..960 => {
            let ms = world.rng.pick(&[0, 1, 5, 20]);
            world.pass(Duration::from_millis(ms));
        }
        960..998 => {
            let ms = world.rng.pick(&[100, 500, 2000]);
            world.pass(Duration::from_millis(ms));
        }
        _ => world.pass(Duration::from_secs(100)),
    }
    if world.rng.percent(50) {
        world.hand_over();
    }
    world.conns[world::CONTROL]
        .id
        .is_none()
        .then(|| world.open(world::CONTROL));
    trace!("-- {:?}", world.now);
}
