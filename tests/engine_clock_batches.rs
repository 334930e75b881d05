//! Batches under a clock and with a disk of the test's own.

use crate::engine_clock::{JOE, World, seconds};
use midge_engine::{Auth, Limits};

/// A world with a stream for batches, which is still to be stored.
fn unstored_world() -> World {
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    world.enable_streams();
    world.open(JOE);
    let connect = "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB i.> 1\r\n";
    world.say(JOE, connect);
    let make = "{\"name\":\"S\",\"subjects\":[\"s\"],\"allow_batched\":true}";
    let len = make.len();
    let publish = format!("PUB $JS.API.STREAM.CREATE.S i.made {len}\r\n{make}\r\n");
    world.say(JOE, &publish);
    world
}

/// The same on a disk that has it.
fn world() -> World {
    let mut world = unstored_world();
    commit(&mut world);
    assert!(world.heard(JOE).contains("\"allow_batched\":true"));
    world
}

fn commit(world: &mut World) {
    let batch = world.engine.take_batch(world.now);
    assert!(batch.is_some(), "something is to be stored");
    world.engine.committed(world.now, &mut world.told);
}

/// Sends a message of a batch; returns what is heard at once.
fn send(world: &mut World, batch: &str, place: u64, operation: u8) -> String {
    let reply = format!("i.{batch}.2.ok.{place}.{operation}.$FI");
    world.say(JOE, &format!("PUB s {reply} 1\r\nx\r\n"));
    world.heard(JOE)
}

#[test]
fn a_fast_batch_is_told_what_is_safe_and_not_before() {
    let mut world = world();
    let heard = send(&mut world, "u", 1, 0);
    assert!(heard.contains("\"seq\":0,"), "{heard}");
    assert_eq!(send(&mut world, "u", 2, 1), "", "it is not on the disk");
    assert_eq!(send(&mut world, "u", 2, 4), "", "nor for who asks");
    let heard = send(&mut world, "u", 4, 1);
    assert!(heard.contains("\"gap\""), "that promises nothing: {heard}");
    commit(&mut world);
    let heard = world.heard(JOE);
    assert_eq!(heard.matches("\"type\":\"ack\"").count(), 3, "{heard}");
    assert_eq!(send(&mut world, "u", 5, 2), "");
    commit(&mut world);
    let heard = world.heard(JOE);
    assert!(heard.contains("\"batch\":\"u\",\"count\":5}"), "{heard}");
}

#[test]
fn a_fast_batch_that_nobody_goes_on_with_is_forgotten() {
    let mut world = world();
    for batch in ["left", "pinged"] {
        send(&mut world, batch, 1, 0);
    }
    commit(&mut world);
    world.pass(seconds(9));
    send(&mut world, "pinged", 1, 4);
    commit(&mut world);
    world.pass(seconds(2));
    world.heard(JOE);
    let heard = send(&mut world, "left", 2, 1);
    assert!(heard.contains("10208"), "{heard}");
    // Alone again, it may send twice as much at a time.
    send(&mut world, "pinged", 2, 1);
    world.pass(seconds(9));
    assert_eq!(send(&mut world, "pinged", 3, 2), "");
    commit(&mut world);
    let heard = world.heard(JOE);
    assert!(
        heard.contains("\"batch\":\"pinged\",\"count\":3}"),
        "{heard}"
    );
    world.pass(seconds(60));
    let next = world.engine.next_deadline();
    assert!(next.is_none_or(|next| next > world.now), "{next:?}");
}

#[test]
fn who_publishes_a_fast_batch_hears_that_the_disk_fails() {
    let mut world = world();
    send(&mut world, "u", 1, 0);
    assert_eq!(send(&mut world, "u", 2, 1), "");
    assert!(world.engine.take_batch(world.now).is_some());
    world.engine.store_failed(world.now, false, &mut world.told);
    let heard = world.heard(JOE);
    let refused = "\"err_code\":10008,\"description\":\"JetStream system temporarily unavailable\"},\"stream\":\"S\",\"seq\":0}";
    assert!(heard.contains(refused), "{heard}");
    assert!(!heard.contains("\"type\":\"ack\""), "{heard}");
}

/// Whoever publishes without a pause would fill it again before anybody can make
/// room.
#[test]
fn a_disk_that_was_full_is_for_who_makes_room_at_first() {
    use midge_engine::{RowSink, StoredStreams, Write};
    let mut world = unstored_world();
    let batch = world.engine.take_batch(world.now).expect("it is stored");
    let mut stored = StoredStreams::new(1);
    for write in &batch.writes {
        if let Write::PutRow(key, value) = write {
            stored.row(*key, value);
        }
    }
    world.engine.committed(world.now, &mut world.told);
    let published = |world: &mut World| {
        world.heard(JOE);
        world.say(JOE, "PUB s i.ack 1\r\nx\r\n");
        if world.engine.take_batch(world.now).is_some() {
            world.engine.committed(world.now, &mut world.told);
        }
        world.heard(JOE)
    };
    assert!(published(&mut world).contains("\"seq\":1"));
    world.engine.store_failed(world.now, true, &mut world.told);
    assert!(published(&mut world).contains("\"err_code\":10008"));
    world.engine.recovered(world.now, stored, &mut world.told);
    assert!(published(&mut world).contains("\"err_code\":10023"));
    world.say(JOE, "PUB $JS.API.STREAM.PURGE.S i.purged 0\r\n\r\n");
    commit(&mut world);
    assert!(world.heard(JOE).contains("\"success\":true"));
    world.pass(seconds(2));
    assert!(published(&mut world).contains("\"seq\":1"));
}
