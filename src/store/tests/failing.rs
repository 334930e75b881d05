//! Errors while writing, and a disk that is full: at every operation.

use crate::util::{
    Model, Random, TempDir, all_keys, block, content, key, open_file, open_on, put, random_batch,
    seeds, test_config,
};
use midge_engine::{Batch, RowKey, StreamId, Write};
use midge_store::fault::FaultDisk;
use midge_store::{Event, Store, StoreConfig, StoreError, StoreHandle, WhyRefused};
use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    handle: StoreHandle<Model>,
    woken: Receiver<()>,
    events: Vec<Event<Model>>,
}

impl Running {
    fn start(store: Store) -> Self {
        let (wake, woken) = channel();
        let handle = StoreHandle::start(store, Model::default, move || {
            let _ = wake.send(());
        });
        Running {
            handle: handle.expect("threads start"),
            woken,
            events: Vec::new(),
        }
    }

    fn event(&mut self) -> Event<Model> {
        while self.events.is_empty() {
            self.woken.recv_timeout(PATIENCE).expect("an event comes");
            self.handle.take_events(&mut self.events);
        }
        self.events.remove(0)
    }

    /// Hands in a batch and waits for its end.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let batch = Batch {
            writes: batch.writes.clone(),
        };
        self.handle.submit(batch).expect("idle");
        match self.event() {
            Event::Committed(_) => Ok(()),
            Event::Failed(error) => Err(error),
            other => panic!("not for a batch: {other:?}"),
        }
    }
}

/// Runs batches on a disk that misbehaves at some operation; sees that the
/// store says so once, comes back by itself with what it had or that batch
/// as well, and goes on. Returns whether anything failed.
fn run(what: &str, disk: &FaultDisk, batches: &[Batch], full: bool) -> bool {
    let config = StoreConfig {
        // Only what is handed in is to be written.
        idle_pause: Duration::from_secs(3600),
        ..test_config()
    };
    let store = Store::open_with_backend(&config, disk.opener(), &mut Model::default())
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut running = Running::start(store);
    let mut model = Model::default();
    let mut has_failed = false;
    for batch in batches {
        let mut after = model.clone();
        after.apply(batch);
        match running.commit(batch) {
            Ok(()) => model = after,
            Err(error) => {
                assert!(!has_failed, "{what}: failed twice");
                assert_eq!(error.is_full(), full, "{what}: {error}");
                has_failed = true;
                if full {
                    disk.heal();
                }
                let rows = match running.event() {
                    Event::Reopened(rows, _) => rows,
                    other => panic!("{what}: {other:?}"),
                };
                model = if rows.rows == after.rows {
                    after
                } else {
                    model
                };
                assert_eq!(rows.rows, model.rows, "{what}");
            }
        }
    }
    let left = running.handle.stop();
    // The failure may come at the very end, while nothing is in hand.
    has_failed |= left.iter().any(|event| matches!(event, Event::Failed(_)));
    disk.heal();
    let (store, rows) = open_on(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = content(&store, rows, all_keys());
    assert_eq!(found.rows, model.rows, "{what}");
    assert!(found.blocks == model.blocks, "{what}");
    has_failed
}

fn workload(seed: u64) -> (Vec<Batch>, u64, u64) {
    let mut random = Random(seed);
    let mut batches: Vec<_> = (0..8).map(|_| random_batch(&mut random)).collect();
    // The rows alone are to tell which batches are there.
    for (number, batch) in batches.iter_mut().enumerate() {
        let key = RowKey::Stream(StreamId(9));
        batch.writes.push(Write::PutRow(key, vec![number as u8]));
    }
    let disk = FaultDisk::new(seed);
    drop(open_on(&disk).expect("opens"));
    let begin = disk.operations();
    run("healthy", &disk, &batches, false);
    (batches, begin, disk.operations())
}

fn prepared(seed: u64) -> FaultDisk {
    let disk = FaultDisk::new(seed);
    drop(open_on(&disk).expect("opens"));
    disk
}

#[test]
fn an_error_while_writing_is_reported_and_overcome() {
    for seed in seeds(1) {
        let (batches, begin, end) = workload(seed);
        for at in begin..end {
            let what = format!("seed {seed}, error at operation {at}");
            let disk = prepared(seed);
            // Some errors last for a while.
            let lasts = 1 + (at % 3) * 4;
            disk.fail(at..at + lasts, ErrorKind::Other);
            // At the start or the end there is no batch to fail.
            if open_on(&disk).is_err() {
                continue;
            }
            let disk = prepared(seed);
            disk.fail(at..at + lasts, ErrorKind::Other);
            run(&what, &disk, &batches, false);
        }
    }
}

#[test]
fn a_full_disk_is_reported_and_overcome() {
    for seed in seeds(2) {
        let (batches, _, _) = workload(seed);
        let disk = prepared(seed);
        let begin = disk.peak();
        run("healthy", &disk, &batches, false);
        let end = disk.peak();
        let mut failed = 0;
        for step in 0..24 {
            let capacity = begin + (end - begin) * step / 24;
            let disk = prepared(seed);
            disk.set_capacity(capacity);
            let what = format!("seed {seed}, full at {capacity} of {end} bytes");
            failed += usize::from(run(&what, &disk, &batches, true));
        }
        println!("seed {seed}: {failed} of 24 runs met a full disk");
    }
}

#[test]
fn while_it_is_failed_batches_and_loads_are_refused() {
    let disk = prepared(1);
    let (store, _) = Store::open_with_backend(
        &StoreConfig {
            retry_first: Duration::from_millis(300),
            ..test_config()
        },
        disk.opener(),
        &mut Model::default(),
    )
    .map(|store| (store, ()))
    .expect("opens");
    let mut running = Running::start(store);
    let from = disk.operations();
    disk.fail(from..from + 1, ErrorKind::StorageFull);
    let batch = random_batch(&mut Random(1));
    let error = running.commit(&batch).expect_err("the disk is full");
    assert!(error.is_full(), "{error}");
    assert!(running.handle.is_failed());
    let refused = running.handle.submit(batch).expect_err("it has failed");
    assert_eq!(refused.why, WhyRefused::Failed);
    assert!(running.handle.load(key(1, 1)));
    assert!(matches!(
        running.event(),
        Event::LoadFailed {
            error: StoreError::Unavailable,
            ..
        }
    ));
    // Until it is known what the store holds now, nothing is built on it.
    running
        .woken
        .recv_timeout(PATIENCE)
        .expect("it is open again");
    let refused = running.handle.submit(refused.batch);
    let refused = refused.expect_err("nobody has heard of it");
    assert_eq!(refused.why, WhyRefused::Failed);
    running.handle.take_events(&mut running.events);
    assert!(matches!(running.event(), Event::Reopened(..)));
    assert!(!running.handle.is_failed());
    running.commit(&refused.batch).expect("works again");
    assert_eq!(running.handle.stats().failed_commits, 1);
    assert_eq!(running.handle.stats().reopened, 1);
}

/// The journal has its room already, so that batches go on being stored when the
/// disk is full; what brings them into the tables is not told of by any of them.
#[test]
fn a_checkpoint_that_fails_beside_batches_is_reported_and_overcome() {
    let disk = FaultDisk::new(1);
    let config = StoreConfig {
        journal_bytes: midge_store::JOURNAL_BYTES,
        ..test_config()
    };
    let open = |disk: &FaultDisk| {
        let mut rows = Model::default();
        let store = Store::open_with_backend(&config, disk.opener(), &mut rows);
        store.map(|store| (store, rows))
    };
    let (store, _) = open(&disk).expect("opens");
    disk.set_capacity(disk.peak());
    let mut running = Running::start(store);
    let mut model = Model::default();
    let mut batches = (0..).map(|number| {
        let key = key(1, 1 + number * 10);
        Batch {
            writes: put(key, &block(key, &[150_000, 150_000], number as u8)),
        }
    });
    let error = loop {
        let batch = batches.next().expect("endless");
        let copy = Batch {
            writes: batch.writes.clone(),
        };
        match running.handle.submit(copy) {
            Ok(()) => {}
            Err(refused) => {
                assert_eq!(refused.why, WhyRefused::Failed);
                match running.event() {
                    Event::Failed(error) => break error,
                    other => panic!("{other:?}"),
                }
            }
        }
        match running.event() {
            Event::Committed(_) => model.apply(&batch),
            Event::Failed(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert!(error.is_full(), "{error}");
    assert!(model.blocks.len() >= 6, "{}", model.blocks.len());
    disk.heal();
    let rows = loop {
        match running.event() {
            Event::Reopened(rows, _) => break rows,
            // Tried again before there was room.
            Event::Failed(_) => {}
            other => panic!("{other:?}"),
        }
    };
    let keys: Vec<_> = rows.rows.keys().map(|(_, key)| *key).collect();
    // One that was refused with it may be there as well.
    assert!(keys.len() >= model.rows.len());
    assert!(model.rows.keys().all(|(_, key)| keys.contains(key)));
    for _ in 0..20 {
        let batch = batches.next().expect("endless");
        running.commit(&batch).expect("works again");
        model.apply(&batch);
    }
    assert!(running.handle.stop().is_empty());
    let (store, rows) = open(&disk).expect("opens");
    assert_eq!(store.opened().replayed, 0, "it was closed");
    for (key, bytes) in &model.blocks {
        let loaded = store.load(*key).expect("readable").expect("it is there");
        assert_eq!(loaded.block.bytes(), bytes);
    }
    assert!(rows.rows.len() >= model.rows.len());
}

/// No checkpoint comes to its end there, and the journal is as full as publishers
/// can make it.
#[test]
fn a_full_disk_can_be_emptied_though_the_journal_is_full_as_well() {
    let disk = FaultDisk::new(1);
    let config = StoreConfig {
        journal_bytes: 64 << 10,
        ..test_config()
    };
    let open = || Store::open_with_backend(&config, disk.opener(), &mut Model::default());
    let store = open().expect("opens");
    disk.set_capacity(disk.peak());
    let mut stored = Vec::new();
    let error = loop {
        let key = key(1, 1 + stored.len() as u64 * 10);
        let batch = Batch {
            writes: put(key, &block(key, &[100], 1)),
        };
        match store.commit(&batch) {
            Ok(_) => stored.push(key),
            Err(error) => break error,
        }
    };
    assert!(error.is_full(), "{error}");
    drop(store);
    let store = open().expect("opens again");
    for key in &stored[..20] {
        let batch = Batch {
            writes: vec![Write::RemoveBlock(*key)],
        };
        store.commit(&batch).expect("it takes away");
    }
    drop(store);
    let store = open().expect("opens again");
    for (number, key) in stored.iter().enumerate() {
        let found = store.load(*key).expect("readable");
        assert_eq!(found.is_some(), number >= 20, "{number}");
    }
}

#[test]
fn a_store_that_fails_can_be_stopped() {
    let disk = prepared(1);
    let (store, _) = open_on(&disk).expect("opens");
    let mut running = Running::start(store);
    let from = disk.operations();
    disk.fail(from..u64::MAX, ErrorKind::Other);
    running
        .commit(&random_batch(&mut Random(3)))
        .expect_err("the disk is broken");
    assert!(running.handle.stop().is_empty());
}

/// A file system of its own, where mounting one is allowed.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(on: &std::path::Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
            .arg(on)
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| SmallDisk(on.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_real_file_system_fills_up() {
    let dir = TempDir::new();
    let Some(disk) = SmallDisk::mount(dir.path()) else {
        println!("no file system can be mounted here");
        return;
    };
    let filler = dir.path().join("filler");
    std::fs::write(&filler, vec![1; 1 << 20]).unwrap();
    let config = StoreConfig {
        path: dir.file(),
        ..test_config()
    };
    let store = Store::open(&config, &mut Model::default()).expect("opens");
    let mut running = Running::start(store);
    let mut durable = 0;
    let batch = |number: u64| {
        let key = key(1, 1 + number * 10);
        Batch {
            writes: put(key, &block(key, &[60_000], 1)),
        }
    };
    let error = loop {
        match running.commit(&batch(durable)) {
            Ok(()) => durable += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_full(), "{error}");
    println!("full after {durable} batches");
    std::fs::remove_file(&filler).unwrap();
    let rows = loop {
        if let Event::Reopened(rows, _) = running.event() {
            break rows.rows.len() as u64;
        }
    };
    assert!(rows == durable || rows == durable + 1);
    running.commit(&batch(rows)).expect("there is room again");
    drop(running);
    let (_, rows_after) = open_file(&dir.file()).expect("opens");
    assert_eq!(rows_after.rows.len() as u64, rows + 1);
    drop(disk);
}
