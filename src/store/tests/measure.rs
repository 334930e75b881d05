//! What things cost. Not run with the others:
//! `cargo test --release -p midge-store measure -- --ignored --nocapture --test-threads 1`

use crate::util::{TempDir, block, key, open_file, put};
use midge_engine::{Batch, BlockKey, ConsumerId, RowKey, Write};
use midge_store::{Store, StoreConfig};
use std::time::{Duration, Instant};

const PAYLOAD: usize = 128;
/// Messages of 128 B in a full block.
const FULL: usize = 400;

/// A commit as the engine makes it: a block, its summary, the stream's row
/// and a consumer's position.
fn batch(key: BlockKey, messages: usize) -> Batch {
    let mut writes = put(key, &block(key, &vec![PAYLOAD; messages], 7));
    writes.push(Write::PutRow(RowKey::Stream(key.stream), vec![1; 200]));
    let cursor = RowKey::Cursor(key.stream, ConsumerId(1));
    writes.push(Write::PutRow(cursor, vec![1; 40]));
    Batch { writes }
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

/// What commits took: times, bytes and calls.
fn report(note: &str, store: &Store, batches: impl Iterator<Item = Batch>) {
    let mut times = Vec::new();
    let batches: Vec<_> = batches.collect();
    let before = store.stats();
    let cpu = cpu_time();
    for batch in &batches {
        times.push(store.commit(batch).expect("stored").duration);
    }
    let cpu = cpu_time() - cpu;
    // What is only in the journal has yet to be paid for.
    store.settle().expect("settles");
    let after = store.stats();
    let count = times.len() as u64;
    times.sort();
    let each = |after: u64, before: u64| (after - before) as f64 / count as f64;
    println!(
        "{note}: p10 {:?}, p50 {:?}, p99 {:?}; a commit: {:.0} bytes, {:.0} of them in the \
         journal, {:.2} writes, {:.2} syncs, {:.0} us of a processor",
        times[times.len() / 10],
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        each(after.written_bytes, before.written_bytes),
        each(after.journaled_bytes, before.journaled_bytes),
        each(after.writes, before.writes),
        each(after.syncs, before.syncs),
        cpu * 1e6 / count as f64,
    );
}

/// Seconds of a processor that this process has taken.
fn cpu_time() -> f64 {
    const TICKS: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = fields
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    fields
        .get(11..13)
        .map_or(0.0, |both| (both[0] + both[1]) / TICKS)
}

/// A stream as the engine stores it: its last block is written again with
/// what comes, until it has 40 000 bytes.
fn stream(id: u32, count: u64, messages: usize) -> impl Iterator<Item = Batch> {
    let (mut first, mut held) = (1, 0);
    (0..count).map(move |number| {
        if held > 0 && (held + messages) * (PAYLOAD + 30) > 40_000 {
            first += held as u64;
            held = 0;
        }
        held += messages;
        let mut batch = batch(key(id, first), held);
        for write in &mut batch.writes {
            if let Write::PutRow(RowKey::Stream(_) | RowKey::Cursor(..), value) = write {
                value[..8].copy_from_slice(&number.to_le_bytes());
            }
        }
        batch
    })
}

#[test]
#[ignore = "it measures"]
fn commit_cost() {
    for journal_bytes in [0, midge_store::JOURNAL_BYTES] {
        println!("journal of {journal_bytes} bytes");
        let dir = TempDir::new();
        let config = StoreConfig {
            journal_bytes,
            ..StoreConfig::new(dir.file())
        };
        let store = Store::open(&config, &mut Count::default()).expect("made");
        for place in 0..60 {
            let mut writes = Vec::new();
            for number in 0..50 {
                let key = key(1, 1 + (place * 50 + number) * 4096);
                writes.extend(put(key, &block(key, &[PAYLOAD; 10], 7)));
            }
            store.commit(&Batch { writes }).expect("stored");
        }
        store.settle().expect("settles");
        for (id, messages, count) in [(2, 1, 2000), (3, 10, 1000), (4, 100, 400), (5, FULL, 400)] {
            let note = format!("{messages} messages");
            report(&note, &store, stream(id, count, messages));
        }
        let begun = Instant::now();
        for _ in 0..20 {
            store.settle().expect("settles");
        }
        println!("settling: {:?}", begun.elapsed() / 20);
        let begun = Instant::now();
        store.close().expect("closes");
        println!("closing: {:?}", begun.elapsed());
    }
}

#[test]
#[ignore = "it measures"]
fn ten_million_messages() {
    const BLOCKS: u64 = 25_000;
    let dir = TempDir::new();
    let (store, _) = open_file(&dir.file()).expect("made");
    let block_at = |number: u64| key(1, 1 + number * FULL as u64);
    let mut held = 0;
    let mut busy = Duration::ZERO;
    for chunk in 0..BLOCKS / 10 {
        let mut writes = Vec::new();
        for number in chunk * 10..chunk * 10 + 10 {
            writes.extend(batch(block_at(number), FULL).writes);
        }
        let commit = store.commit(&Batch { writes }).expect("stored");
        held += commit.batch_bytes;
        busy += commit.duration;
    }
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "stored {:.0} MB at {:.0} MB/s, ten blocks a commit",
        mb(held),
        mb(held) / busy.as_secs_f64()
    );
    let file = std::fs::metadata(dir.file()).unwrap().len();
    println!("the file has {:.0} MB", mb(file));
    let crashed = dir.path().join("crashed.redb");
    std::fs::copy(dir.file(), &crashed).unwrap();
    let begun = Instant::now();
    store.settle().expect("settles");
    println!("settling: {:?}", begun.elapsed());
    let settled = dir.path().join("settled.redb");
    std::fs::copy(dir.file(), &settled).unwrap();
    let begun = Instant::now();
    store.close().expect("closes");
    println!("closing: {:?}", begun.elapsed());

    for (what, path) in [
        ("clean stop", dir.file()),
        ("crash when idle", settled),
        ("crash under load", crashed),
    ] {
        let before = resident();
        let begun = Instant::now();
        let mut nothing = crate::measure::Count::default();
        let store = Store::open(&StoreConfig::new(&path), &mut nothing).expect("opens");
        println!(
            "open after a {what}: {:?}, {} rows, walked: {}, {} KB more resident",
            begun.elapsed(),
            nothing.0,
            store.opened().was_repaired,
            resident().saturating_sub(before),
        );
        let begun = Instant::now();
        let mut bytes = 0;
        let mut longest = Duration::ZERO;
        for number in 0..2000 {
            let one = Instant::now();
            let number = number * 7919 % BLOCKS;
            let loaded = store
                .load(block_at(number))
                .expect("readable")
                .expect("there");
            bytes += loaded.block.bytes().len() as u64;
            longest = longest.max(one.elapsed());
        }
        let took = begun.elapsed();
        println!(
            "  blocks at random: {:.0} MB/s, {:?} each, longest {longest:?}",
            mb(bytes) / took.as_secs_f64(),
            took / 2000
        );
        if what == "clean stop" {
            let begun = Instant::now();
            let report = store.verify().expect("looks");
            assert!(report.is_sound());
            println!(
                "  verify: {:?}, {:.0} MB/s",
                begun.elapsed(),
                mb(report.bytes) / begun.elapsed().as_secs_f64()
            );
            let begun = Instant::now();
            let writes = vec![Write::RemoveStream(midge_engine::StreamId(1))];
            store.commit(&Batch { writes }).expect("stored");
            println!("  removing the stream: {:?}", begun.elapsed());
        }
    }
}

/// Takes rows in and forgets them.
#[derive(Default)]
pub(crate) struct Count(u64);

impl midge_engine::RowSink for Count {
    fn row(&mut self, _: RowKey, _: &[u8]) {
        self.0 += 1;
    }

    fn damaged(&mut self, _: RowKey) {}
}
