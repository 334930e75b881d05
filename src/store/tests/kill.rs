//! A process that writes is killed, on a real file.

use crate::util::{TempDir, block, key, open_file, put};
use midge_engine::{Batch, RowKey, StreamId, Write};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

const ROUNDS: u64 = 10;
const FILE_VAR: &str = "MIDGE_STORE_TEST_FILE";

fn counter() -> RowKey {
    RowKey::Stream(StreamId(1))
}

/// What the child does: numbers a row and a block up, and says so once they
/// are durable. Without the variable this is no test.
#[test]
fn child() {
    let Ok(file) = std::env::var(FILE_VAR) else {
        return;
    };
    let (store, rows) = open_file(file.as_ref()).expect("opens");
    let mut number = rows
        .rows
        .get(&(StreamId(1), counter()))
        .map_or(0, |row| read(row));
    loop {
        number += 1;
        let key = key(1, number);
        let mut writes = put(key, &block(key, &[number as usize % 5000], 1));
        writes.push(Write::PutRow(counter(), number.to_le_bytes().to_vec()));
        store.commit(&Batch { writes }).expect("stored");
        println!("durable {number}");
    }
}

fn read(row: &[u8]) -> u64 {
    u64::from_le_bytes(row.try_into().expect("eight bytes"))
}

#[test]
fn what_a_killed_process_reported_is_there() {
    let dir = TempDir::new();
    let mut last = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("has a path"))
            .args(["kill::child", "--exact", "--nocapture"])
            .env(FILE_VAR, dir.file())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let reported = |line: Result<String, _>| -> Option<u64> {
            let line = line.ok()?;
            line.split_once("durable ")?.1.parse().ok()
        };
        let first = lines.by_ref().find_map(reported).expect("it writes");
        assert_eq!(first, last + 1, "goes on where it was");
        std::thread::sleep(Duration::from_millis(10 + round * 7));
        child.kill().expect("is killed");
        let durable = lines.filter_map(reported).last().unwrap_or(first);
        child.wait().expect("has ended");

        let (store, rows) = open_file(&dir.file()).expect("opens");
        let found = read(&rows.rows[&(StreamId(1), counter())]);
        assert!(
            found == durable || found == durable + 1,
            "{durable} reported, {found} there"
        );
        assert_eq!(rows.rows.len() as u64, found + 1, "a summary for each");
        for number in 1..=found {
            let loaded = store
                .load(key(1, number))
                .expect("readable")
                .expect("there");
            assert_eq!((loaded.lost, loaded.block.present()), (0, 1));
        }
        last = found;
    }
    println!("{last} commits, {ROUNDS} kills");
}
