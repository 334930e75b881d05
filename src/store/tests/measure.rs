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
    let mut writes = put(key, &block(key, &vec![PAYLOAD; messages], 7)).to_vec();
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

fn commits(store: &Store, from: u64, count: u64, messages: usize, note: &str) {
    let mut times = Vec::new();
    let mut written = 0;
    let made: Vec<_> = (0..count)
        .map(|number| batch(key(1, from + number * 4096), messages))
        .collect();
    let begun = Instant::now();
    for batch in &made {
        let commit = store.commit(batch).expect("stored");
        times.push(commit.duration);
        written += commit.written_bytes;
    }
    let total = begun.elapsed();
    times.sort();
    println!(
        "{note}, {messages} messages a commit: p50 {:?}, p99 {:?}, {} bytes a commit, {:.1} a message, {:.0} messages/s",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        written / count,
        written as f64 / (count * messages as u64) as f64,
        (count * messages as u64) as f64 / total.as_secs_f64(),
    );
}

#[test]
#[ignore = "it measures"]
fn commit_cost() {
    let dir = TempDir::new();
    let (store, _) = open_file(&dir.file()).expect("made");
    for (note, from) in [("new file", 1), ("3 000 blocks more", 1 << 40)] {
        for (place, messages) in [1, 10, 100, FULL].into_iter().enumerate() {
            let from = from + ((place as u64) << 32);
            commits(&store, from, 200, messages, note);
        }
        for number in 0..3000 {
            let key = key(2, 1 + number * 4096 + from);
            let writes = put(key, &block(key, &[PAYLOAD; 10], 7)).to_vec();
            if number % 50 == 0 {
                store.commit(&Batch { writes }).expect("stored");
            }
        }
    }
    // What each row adds.
    for rows in 0..=3 {
        let mut written = 0;
        for number in 0..100 {
            let mut batch = batch(key(1, (1 << 50) + number * 4096 + (rows << 40)), 1);
            batch.writes.truncate(1 + rows as usize);
            written += store.commit(&batch).expect("stored").written_bytes;
        }
        println!(
            "a block of one message and {rows} rows: {} bytes a commit",
            written / 100
        );
    }
    // A tail block that grows by a message a commit.
    let mut written = 0;
    let begun = Instant::now();
    for messages in 1..=FULL {
        written += store
            .commit(&batch(key(3, 1), messages))
            .expect("stored")
            .written_bytes;
    }
    println!(
        "a tail block rewritten for each message until it is full: {} bytes and {:?} a commit",
        written / FULL as u64,
        begun.elapsed() / FULL as u32
    );
    let begun = Instant::now();
    for _ in 0..20 {
        store.settle().expect("settles");
    }
    println!("settling: {:?}", begun.elapsed() / 20);
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
