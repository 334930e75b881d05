//! The threads.

use crate::util::{Model, TempDir, block, key, open_file, put};
use midge_engine::{Batch, BlockKey};
use midge_store::{Event, LOADS_MAX, Store, StoreConfig, StoreHandle, WhyRefused};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn start(config: &StoreConfig) -> (StoreHandle<Model>, Receiver<()>) {
    let store = Store::open(config, &mut Model::default()).expect("opens");
    let (wake, woken) = channel();
    let handle = StoreHandle::start(store, Model::default, move || {
        let _ = wake.send(());
    });
    (handle.expect("threads start"), woken)
}

fn take(handle: &StoreHandle<Model>, woken: &Receiver<()>, count: usize) -> Vec<Event<Model>> {
    let mut events = Vec::new();
    while events.len() < count {
        woken.recv_timeout(PATIENCE).expect("an event comes");
        handle.take_events(&mut events);
    }
    events
}

fn batch(key: BlockKey, lens: &[usize]) -> Batch {
    Batch {
        writes: put(key, &block(key, lens, 9)),
    }
}

#[test]
fn batches_are_committed_in_order_and_read_back() {
    let dir = TempDir::new();
    let (handle, woken) = start(&StoreConfig::new(dir.file()));
    for place in 0..20 {
        handle
            .submit(batch(key(1, 1 + place * 10), &[100, 200]))
            .expect("idle");
        let events = take(&handle, &woken, 1);
        assert!(matches!(events[..], [Event::Committed(_)]), "{events:?}");
    }
    let wanted = key(1, 41);
    assert!(handle.load(wanted) && handle.load(key(1, 42)));
    let events = take(&handle, &woken, 2);
    match &events[..] {
        [
            Event::Loaded {
                key,
                block: Some(block),
            },
            Event::Loaded { block: None, .. },
        ] => {
            assert_eq!((*key, block.present()), (wanted, 2));
        }
        other => panic!("{other:?}"),
    }
    let stats = handle.stats();
    assert_eq!((stats.commits, stats.loads), (20, 2));
    assert_eq!(
        (stats.commit_micros.count(), stats.batch_bytes.count()),
        (20, 20)
    );
    assert!(stats.written_bytes > 0 && stats.syncs >= 20);
    assert_eq!(
        stats.file_bytes,
        std::fs::metadata(dir.file()).unwrap().len()
    );
}

#[test]
fn one_batch_waits_and_no_more_and_all_are_durable_after_stop() {
    let dir = TempDir::new();
    let (handle, _woken) = start(&StoreConfig::new(dir.file()));
    let mut taken = 0;
    while taken < 50 {
        match handle.submit(batch(key(1, 1 + taken * 10), &[5000])) {
            Ok(()) => taken += 1,
            Err(refused) => {
                assert_eq!(refused.why, WhyRefused::Busy);
                std::thread::yield_now();
            }
        }
    }
    let events = handle.stop();
    assert_eq!(events.len(), 50);
    assert!(
        events
            .iter()
            .all(|event| matches!(event, Event::Committed(_)))
    );
    let (store, rows) = open_file(&dir.file()).expect("opens");
    assert!(!store.opened().was_repaired);
    assert_eq!(rows.rows.len(), 50);
}

/// What is being brought into the tables, and what came meanwhile, is read as it
/// was written, now and after the program was killed.
#[test]
fn batches_go_on_beside_checkpoints() {
    const BATCHES: u64 = 120;
    let dir = TempDir::new();
    let (handle, woken) = start(&StoreConfig::new(dir.file()));
    let copy = dir.path().join("copy.redb");
    let of = |number: u64| {
        let key = key(1, 1 + number * 10);
        (key, block(key, &[50_000, 40_000], number as u8))
    };
    for number in 0..BATCHES {
        let (key, bytes) = of(number);
        let writes = put(key, &bytes);
        handle.submit(Batch { writes }).expect("idle");
        take(&handle, &woken, 1);
        assert!(handle.load(of(number / 2).0));
        match &take(&handle, &woken, 1)[..] {
            [
                Event::Loaded {
                    block: Some(found), ..
                },
            ] => {
                assert_eq!(found.bytes(), &of(number / 2).1);
            }
            other => panic!("{other:?}"),
        }
        if number % 10 == 9 {
            std::fs::copy(dir.file(), &copy).unwrap();
            let opened = open_file(&copy);
            // Copied while it was written, it may be of two moments.
            if let Ok((store, rows)) = opened {
                assert_eq!(store.opened().lost_batches, 0);
                assert_eq!(rows.rows.len() as u64, number + 1);
            }
        }
    }
    let written = handle.stats().written_bytes;
    drop(handle);
    let (store, rows) = open_file(&dir.file()).expect("opens");
    assert_eq!(rows.rows.len() as u64, BATCHES);
    for number in 0..BATCHES {
        let (key, bytes) = of(number);
        let loaded = store.load(key).expect("readable").expect("there");
        assert_eq!(loaded.block.bytes(), &bytes);
    }
    assert!(written > BATCHES * 90_000, "{written}");
}

#[test]
fn loads_are_bounded_until_they_are_taken() {
    let dir = TempDir::new();
    let (handle, woken) = start(&StoreConfig::new(dir.file()));
    for _ in 0..LOADS_MAX {
        assert!(handle.load(key(1, 1)));
    }
    assert!(!handle.load(key(1, 1)));
    take(&handle, &woken, LOADS_MAX);
    assert!(handle.load(key(1, 1)));
}

#[test]
fn a_crash_costs_no_walk_and_an_idle_store_is_settled() {
    let dir = TempDir::new();
    let config = StoreConfig {
        idle_pause: Duration::from_millis(50),
        ..StoreConfig::new(dir.file())
    };
    let (handle, woken) = start(&config);
    let copy = dir.path().join("copy.redb");
    // For the journal, too large for it, and for the journal again.
    for (first, len) in [(1, 100), (9, 2 << 20), (10, 400_000)] {
        handle.submit(batch(key(1, first), &[len])).expect("idle");
        take(&handle, &woken, 1);
        std::fs::copy(dir.file(), &copy).unwrap();
        let (store, _) = open_file(&copy).expect("opens");
        assert!(!store.opened().was_repaired);
        assert!(store.load(key(1, first)).expect("readable").is_some());
    }
    let begun = Instant::now();
    while handle.stats().settled == 0 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::copy(dir.file(), &copy).unwrap();
    let (store, _) = open_file(&copy).expect("opens");
    assert_eq!(store.opened().replayed, 0, "it is in the tables");
    assert_eq!(handle.stats().settled, 1, "once is enough");
}

#[test]
fn looking_at_everything_does_not_keep_readers_waiting() {
    let dir = TempDir::new();
    let (handle, woken) = start(&StoreConfig::new(dir.file()));
    for place in 0..60 {
        handle
            .submit(batch(key(1, 1 + place * 10), &[3000, 3000]))
            .expect("idle");
        take(&handle, &woken, 1);
    }
    assert!(handle.verify());
    assert!(!handle.verify(), "one at a time");
    for _ in 0..5 {
        assert!(handle.load(key(1, 1)));
    }
    let events = take(&handle, &woken, 6);
    let place = events
        .iter()
        .position(|event| matches!(event, Event::Verified(_)));
    assert_eq!(place, Some(5), "loads come between slices");
    match &events[5] {
        Event::Verified(report) => {
            assert!(report.is_sound(), "{report:?}");
            assert_eq!((report.rows, report.blocks, report.records), (60, 60, 120));
        }
        other => panic!("{other:?}"),
    }
    assert!(handle.verify(), "and again");
}
