//! The power goes, at every operation there is.

use crate::util::{
    Model, Random, all_keys, block, content, key, open_as, open_on, put, random_batch, seeds,
    test_config,
};
use midge_engine::{Batch, RowKey, Write};
use midge_store::StoreConfig;
use midge_store::fault::FaultDisk;

const BATCHES: usize = 12;

/// A workload on a disk: what was reported durable before the power went, if
/// it did, and how many batches were begun.
fn run(disk: &FaultDisk, batches: &[Batch]) -> (usize, usize) {
    let Ok((store, _)) = open_on(disk) else {
        return (0, 0);
    };
    for (number, batch) in batches.iter().enumerate() {
        if store.commit(batch).is_err() {
            return (number, number + 1);
        }
        if number % 8 == 6 && store.settle().is_err() {
            return (number + 1, number + 1);
        }
        // Two batches come beside a checkpoint, before it writes anything: what
        // of it reaches the disk before them is among what a cut leaves.
        match number % 5 {
            1 => drop(store.begin_checkpoint()),
            3 if store.end_checkpoint().is_err() => return (number + 1, number + 1),
            _ => {}
        }
    }
    let _ = store.close();
    (batches.len(), batches.len())
}

/// Batches of all kinds; each third time small ones that make blocks grow,
/// over several rounds of the journal.
fn workload(seed: u64, count: usize) -> Vec<Batch> {
    let mut random = Random(seed);
    if !seed.is_multiple_of(3) {
        return (0..count).map(|_| random_batch(&mut random)).collect();
    }
    let grown = |number: usize| {
        let key = key(1 + random.below(2) as u32, 1);
        let mut writes = put(key, &block(key, &vec![90; 1 + number / 3], 7));
        let row = RowKey::Stream(key.stream);
        writes.push(Write::PutRow(row, number.to_le_bytes().to_vec()));
        Batch { writes }
    };
    (0..count * 2).map(grown).collect()
}

fn states(batches: &[Batch]) -> Vec<Model> {
    let mut states = vec![Model::default()];
    for batch in batches {
        let mut next = states[states.len() - 1].clone();
        next.apply(batch);
        states.push(next);
    }
    states
}

#[test]
fn what_was_reported_durable_is_there_and_no_batch_is_there_in_part() {
    let mut cuts = 0;
    for seed in seeds(3) {
        let batches = workload(seed, BATCHES);
        let states = states(&batches);
        let whole = FaultDisk::new(seed);
        run(&whole, &batches);
        for cut in 0..whole.operations() {
            let what = format!("seed {seed}, cut at operation {cut}");
            let disk = FaultDisk::new(seed ^ (cut << 20));
            disk.cut_at(cut);
            let (durable, begun) = run(&disk, &batches);
            disk.power_on();
            let (store, rows) = open_on(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = content(&store, rows, all_keys());
            let state = (durable..=begun).find(|state| states[*state] == found);
            assert!(
                state.is_some(),
                "{what}: not the state after {durable} to {begun} batches"
            );
            // And it can be gone on with.
            store.commit(&batches[0]).expect("works again");
            let mut after = found;
            after.apply(&batches[0]);
            drop(store);
            let (store, rows) = open_on(&disk).expect("opens");
            assert!(
                after == content(&store, rows, all_keys()),
                "{what}: lost on a clean close"
            );
            cuts += 1;
        }
    }
    println!("{cuts} power cuts");
}

#[test]
fn a_second_power_cut_while_the_first_is_repaired_does_no_harm() {
    for seed in seeds(2) {
        let mut random = Random(seed);
        let batches: Vec<_> = (0..6).map(|_| random_batch(&mut random)).collect();
        let states = states(&batches);
        let whole = FaultDisk::new(seed);
        run(&whole, &batches);
        for cut in (0..whole.operations()).step_by(3) {
            for second in [random.below(3), 3 + random.below(6)] {
                let what = format!("seed {seed}, cuts at {cut} and {second} after");
                let disk = FaultDisk::new(seed ^ (cut << 20) ^ (second << 50));
                disk.cut_at(cut);
                let (durable, begun) = run(&disk, &batches);
                disk.power_on();
                disk.cut_at(disk.operations() + second);
                drop(open_on(&disk));
                disk.power_on();
                let (store, rows) =
                    open_on(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                let found = content(&store, rows, all_keys());
                assert!(states[durable..=begun].contains(&found), "{what}");
            }
        }
    }
}

/// Where the journal's records begin.
const JOURNAL_AT: usize = 8192;

/// Whether a record lies at the journal's start that goes on with a round, or
/// with the one before: so the ring has come round.
fn has_come_round(image: &[u8]) -> bool {
    let record = &image[JOURNAL_AT..];
    let is_record = record[8..16] == image[8..16];
    is_record && (record[24..28] != [0; 4] || record[32] == 6)
}

/// Commits beside checkpoints all the time, so that two rounds share the journal;
/// what was durable, and whether the ring came round.
fn run_in_rounds(disk: &FaultDisk, batches: &[Batch]) -> (usize, bool) {
    let config = StoreConfig {
        journal_bytes: 12 << 10,
        ..test_config()
    };
    let Ok((store, _)) = open_as(&config, disk) else {
        return (0, false);
    };
    let mut came_round = false;
    for (number, batch) in batches.iter().enumerate() {
        if store.commit(batch).is_err() {
            return (number, came_round);
        }
        came_round |= has_come_round(&disk.image());
        match number % 7 {
            1 => drop(store.begin_checkpoint()),
            5 if store.end_checkpoint().is_err() => return (number + 1, came_round),
            _ => {}
        }
    }
    (batches.len(), came_round)
}

#[test]
fn rounds_that_share_the_journal_are_whole_after_a_power_cut() {
    let mut cuts = 0;
    for seed in seeds(2) {
        let grown = |number: usize| {
            let key = key(1 + (number % 2) as u32, 1 + (number as u64 / 12) * 100);
            let lens = vec![150; 1 + number % 12];
            let mut writes = put(key, &block(key, &lens, seed as u8));
            let row = RowKey::Stream(key.stream);
            writes.push(Write::PutRow(row, number.to_le_bytes().to_vec()));
            Batch { writes }
        };
        let batches: Vec<_> = (0..48).map(grown).collect();
        let states = states(&batches);
        let whole = FaultDisk::new(seed);
        let (durable, came_round) = run_in_rounds(&whole, &batches);
        assert!(durable == batches.len() && came_round, "seed {seed}");
        for cut in (seed..whole.operations()).step_by(3) {
            let what = format!("seed {seed}, cut at operation {cut}");
            let disk = FaultDisk::new(seed ^ (cut << 20));
            disk.cut_at(cut);
            let (durable, _) = run_in_rounds(&disk, &batches);
            disk.power_on();
            let (store, rows) = open_on(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = content(&store, rows, all_keys());
            let begun = (durable + 1).min(batches.len());
            let state = (durable..=begun).find(|state| states[*state] == found);
            assert!(state.is_some(), "{what}: not the state after {durable}");
            // Some more, beside a checkpoint of what was found.
            let mut after = found;
            for (number, batch) in batches[..6].iter().enumerate() {
                store.commit(batch).expect("works again");
                after.apply(batch);
                if number == 2 {
                    store.begin_checkpoint();
                }
            }
            drop(store);
            let (store, rows) = open_on(&disk).expect("opens");
            assert!(after == content(&store, rows, all_keys()), "{what}: later");
            cuts += 1;
        }
    }
    println!("{cuts} power cuts");
}
