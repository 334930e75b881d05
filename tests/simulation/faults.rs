//! What can go wrong: power, disk, clock.

use super::model::{Model, Presence};
use super::world::World;
use crate::trace;
use std::time::Duration;

/// Events until everything has to be at rest: the engine may do as little as
/// one thing in a turn, and there may be thousands to do.
const ROUNDS_MAX: u32 = 20_000;

impl World {
    /// The power fails: what was not committed is gone, but for a batch on
    /// its way, which may be there.
    pub(super) fn cut_power(&mut self) {
        self.power_cuts += 1;
        self.lose_batches("power cut");
        self.model = self.durable.stored();
        self.model.age(self.wall);
        self.durable = self.model.clone();
        self.forget_clients();
        self.disk.check();
        if self.rng.percent(10) && self.has_damage {
            self.damage();
        }
        let pause = self.rng.pick(&[1, 50, 1000, 40_000]);
        self.pause(Duration::from_millis(pause));
        self.start();
        // Clients go on with what they have in hand.
        for _ in 0..self.rng.below(4) {
            self.answer_one();
        }
    }

    /// Of the batches on their way, the first ones may have arrived.
    fn lose_batches(&mut self, why: &str) {
        let count = self.in_flight.len();
        let arrived = self.rng.below(count + 1);
        trace!("{why}, {arrived} of {count} batches arrived");
        for batch in self.in_flight.drain(..).take(arrived) {
            self.disk.apply(&batch.writes);
            self.durable = batch.model;
        }
    }

    /// The server stops as it should and starts again.
    pub(super) fn restart(&mut self) {
        trace!("restart");
        self.engine.shut_down_streams(&mut self.told);
        self.hear();
        self.settle();
        self.model = self.model.stored();
        self.durable = self.model.clone();
        self.forget_clients();
        self.disk.check();
        self.start();
    }

    fn forget_clients(&mut self) {
        self.errand = None;
        self.unparks.clear();
        self.listens_to_copies = false;
        self.loads.clear();
        self.reopens = None;
        self.publishes.clear();
        self.acks.clear();
        self.pulls.clear();
        for conn in &mut self.conns {
            conn.id = None;
            conn.listens.clear();
        }
    }

    fn pause(&mut self, duration: Duration) {
        self.now += duration;
        self.wall += duration.as_nanos() as i64;
        self.model.age(self.wall);
        self.durable.age(self.wall);
    }

    /// The wall clock is set, forward or back.
    pub(super) fn step_wall(&mut self) {
        let step = self
            .rng
            .pick(&[-7_200_000, -5_000, -1, 1, 5_000, 7_200_000]);
        trace!("the wall clock is set by {step} ms");
        self.wall += step * 1_000_000;
        self.wall_stepped = true;
        let wall = midge_api::Timestamp(self.wall);
        self.engine.set_wall(wall);
        self.model.age(self.wall);
    }

    /// The disk fails at the batch in flight, of which nobody knows whether
    /// it arrived.
    pub(super) fn fail_store(&mut self) {
        self.lose_batches("the store fails");
        let delay = self.rng.pick(&[1, 100, 5000]);
        self.reopens = Some(self.now + Duration::from_millis(delay));
        self.engine.store_failed(self.time(), false, &mut self.told);
        self.hear();
        self.forget_errand();
    }

    /// The disk works again.
    pub(super) fn reopen(&mut self) {
        trace!("the store is open again");
        self.reopens = None;
        let stored = self.disk.stored(self.rng.next());
        let mut model = self.durable.stored();
        for (name, stream) in &self.model.streams {
            if stream.settings.is_memory {
                model.streams.insert(name.clone(), stream.clone());
            }
        }
        self.model = model;
        self.model.age(self.wall);
        self.durable = self.model.clone();
        self.pulls.retain(|_, pull| {
            let stream: Option<&super::model::StreamModel> = self.model.streams.get(&pull.stream);
            stream.is_some_and(|stream| stream.settings.is_memory)
        });
        self.engine.recovered(self.time(), stored, &mut self.told);
        self.hear();
    }

    /// A bit flips somewhere while the server is down.
    fn damage(&mut self) {
        let Some((id, lost)) = self.disk.damage(&mut self.rng) else {
            return;
        };
        let Some(name) = self.disk.name_of(id) else {
            return;
        };
        self.damage_extras(&name);
        let lost: Vec<u64> = lost.into_iter().map(|seq| seq.0).collect();
        trace!("damage in {name}: {lost:?} are lost");
        let damage = |model: &mut Model| {
            if let Some(stream) = model.streams.get_mut(&name) {
                stream.is_damaged = true;
                for seq in &lost {
                    stream.mark(*seq, Presence::Lost);
                }
            }
        };
        damage(&mut self.model);
        damage(&mut self.durable);
    }

    /// Lets everything that is on its way arrive.
    pub(super) fn settle(&mut self) {
        let had_faults = std::mem::replace(&mut self.has_faults, false);
        self.engine.hurry();
        for round in 0..ROUNDS_MAX {
            self.engine.hurry();
            if round == 500 {
                // A push consumer that nobody acknowledges to is never quiet.
                self.hear_no_pushes();
            }
            self.pass_to_next(Duration::from_millis(6000));
            let is_busy = !self.in_flight.is_empty()
                || self.reopens.is_some()
                || !self.loads.is_empty()
                || !self.engine.is_settled()
                || self
                    .engine
                    .next_deadline()
                    .is_some_and(|due| due <= self.time())
                || self.engine.streams_backlog() > 0;
            if !is_busy {
                self.durable = self.model.clone();
                self.has_faults = had_faults;
                return;
            }
        }
        panic!(
            "it does not come to rest: {} waits, settled: {}, {} loads",
            self.engine.streams_backlog(),
            self.engine.is_settled(),
            self.loads.len()
        );
    }
}
