//! The engine's streams in a world of chance, where every run can be run
//! again: clients that do anything, a disk that fails, power that is cut, a
//! clock that is set. A plain model says what must be true.
//!
//! `SIM_SEED=7` runs one seed; `SIM_SEEDS=100000` runs so many.

mod checks;
mod client;
mod control;
mod disk;
mod faults;
mod hear;
mod model;
mod rng;
mod told;
mod world;

use crate::trace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use world::World;

/// Seeds of an ordinary run of the tests.
const SEEDS: u64 = 2000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn streams_keep_their_promises_whatever_happens() {
    if let Some(seed) = number("SIM_SEED") {
        run(seed);
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("SIM_FIRST").unwrap_or(1);
    let next = Arc::new(AtomicU64::new(first));
    let failures: Arc<Mutex<Vec<String>>> = Arc::default();
    let max_failures = number("SIM_FAILURES").unwrap_or(1) as usize;
    let threads = thread::available_parallelism().map_or(2, |count| count.get());
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (next, failures) = (Arc::clone(&next), Arc::clone(&failures));
            thread::spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || failures.lock().unwrap().len() >= max_failures {
                        return;
                    }
                    if let Err(report) = try_run(seed) {
                        failures.lock().unwrap().push(report);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    let failures = failures.lock().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn try_run(seed: u64) -> Result<(), String> {
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

fn run(seed: u64) {
    let mut world = World::new(seed);
    let steps = 50 + world.rng.below(350);
    for _ in 0..3 {
        world.create_or_update_stream();
    }
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
        0..330 => world.publish(),
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
        790..960 => {
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
