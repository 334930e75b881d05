//! Old blocks are read while checkpoints are made.

use crate::util::{Model, Random, TempDir, block, content, key, open_file, put, seeds};
use midge_engine::{Batch, Write};
use midge_store::{Store, StoreConfig};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const BATCHES: u64 = 150;
const KEYS: u64 = 120;

/// With a cache that is always full redb has a reader write the pages of the
/// checkpoint that is under way.
#[test]
fn readers_take_nothing_from_a_checkpoint() {
    for seed in seeds(8) {
        let dir = TempDir::new();
        let mut config = StoreConfig::new(dir.file());
        config.cache_bytes = 768 << 10;
        let mut model = Model::default();
        let store = Store::open(&config, &mut model).unwrap();
        let (is_over, mut random) = (AtomicBool::new(false), Random(seed));
        thread::scope(|scope| {
            for reader in 0..2 {
                let (is_over, store) = (&is_over, &store);
                scope.spawn(move || {
                    let mut random = Random(seed + reader);
                    while !is_over.load(Ordering::Relaxed) {
                        let key = key(1, 1 + 1000 * random.below(KEYS));
                        let loaded = store.load(key).expect("readable");
                        assert!(loaded.is_none_or(|loaded| loaded.lost == 0), "seed {seed}");
                    }
                });
            }
            for number in 0..BATCHES {
                let mut writes = Vec::new();
                for _ in 0..4 {
                    let key = key(1, 1 + 1000 * random.below(KEYS));
                    let len = 8_000 + random.below(52_000) as usize;
                    match random.below(5) {
                        0 => writes.push(Write::RemoveBlock(key)),
                        _ => writes.extend(put(key, &block(key, &[len], number as u8))),
                    }
                }
                let batch = Batch { writes };
                store.commit(&batch).expect("committed");
                model.apply(&batch);
                if number % 5 == 4 && store.begin_checkpoint() {
                    scope.spawn(|| store.end_checkpoint().expect("written"));
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        store.close().unwrap();
        let keys = || (0..KEYS).map(|place| key(1, 1 + 1000 * place));
        let (store, rows) = open_file(&dir.file()).unwrap();
        let found = content(&store, rows, keys());
        assert!(found.blocks == model.blocks, "seed {seed}");
    }
}
