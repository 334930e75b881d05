//! What a stream tells its consumers: what came, what is gone, what they want
//! now.

use super::consumer::Consumer;
use super::effects::{Effects, Note};
use crate::ids::Seq;

impl Consumer {
    /// A message was stored.
    #[inline]
    pub(crate) fn stored(&mut self, seq: Seq, subject: &[u8]) -> bool {
        // It may start at a sequence that is still to come.
        let is_meant = seq >= self.next_seq() && self.filter.matches(subject);
        self.pending += u64::from(is_meant);
        is_meant
    }

    /// A message is gone, not by this consumer's doing.
    pub(crate) fn removed(
        &mut self,
        seq: Seq,
        subject: &[u8],
        is_purge: bool,
        effects: &mut Effects,
    ) {
        let is_ahead = self.is_ahead(seq);
        let is_uncounted = self
            .counting
            .is_some_and(|counting| seq >= counting.at && seq <= counting.end);
        if is_ahead && !is_uncounted && self.filter.matches(subject) {
            self.pending = self.pending.saturating_sub(1);
        }
        if is_purge {
            // The whole purge is followed by `purged`.
            return;
        }
        if let Some(unacked) = self.cursor.unacked.get(seq) {
            effects.notes.push(Note::Terminated {
                delivery: unacked.delivery,
                seq,
                // Without the delivery that was the last, unless that was all.
                deliveries: self.cursor.deliveries(seq).saturating_sub(1).max(1),
                reason: "Unacknowledged message was deleted".into(),
            });
            effects.is_cleared = true;
            let was_sent_back = self.cursor.redrives.contains_key(&seq);
            self.cursor.settle(seq);
            if was_sent_back {
                self.unpark(seq);
            }
            self.is_dirty = true;
        }
        self.cursor.ahead.remove(&seq);
        if self.cursor.redrives.remove(&seq).is_some() {
            self.unpark(seq);
        }
        if self.cursor.drop_pick(seq) {
            self.is_dirty = true;
            if let Some(lookahead) = &mut self.lookahead {
                lookahead.removed(seq, &self.cursor);
            }
        }
    }

    /// Whether a message of this sequence would still be delivered: it is
    /// among the picks, or behind them and behind the cursor.
    pub(crate) fn is_ahead(&self, seq: Seq) -> bool {
        let picks = &self.cursor.picks;
        let is_behind = seq >= self.next_seq() && picks.last().is_none_or(|last| seq > *last);
        is_behind || picks.contains(&seq)
    }

    /// Messages were purged; what it wants begins at `first`. True if acks
    /// are not waited for any more.
    pub(crate) fn purged(&mut self, first: Seq, is_live: impl Fn(Seq) -> bool) -> bool {
        let stays = |seq: &Seq| *seq >= first && is_live(*seq);
        let picks = self.cursor.picks.iter().copied();
        let dropped: Vec<Seq> = picks.filter(|seq| !stays(seq)).collect();
        self.cursor.picks.retain(stays);
        self.cursor.ahead.retain(stays);
        let unacked = self.cursor.unacked.len();
        let sent_back = self.cursor.redrives.keys();
        let gone: Vec<Seq> = sent_back.copied().filter(|seq| !is_live(*seq)).collect();
        self.cursor.settle_gone(is_live);
        self.cursor.pass(first);
        self.redeliver
            .retain(|seq| self.cursor.unacked.contains(*seq));
        self.is_dirty = true;
        if let Some(lookahead) = &mut self.lookahead {
            for seq in dropped {
                lookahead.removed(seq, &self.cursor);
            }
        }
        for seq in gone {
            self.cursor.redrives.remove(&seq);
            self.unpark(seq);
        }
        self.cursor.unacked.len() < unacked
    }

    /// It wants other subjects from now on, also of what it has passed over.
    pub(crate) fn filter_changed(&mut self) {
        // What it has passed over it still has to deliver.
        let delivered = self.cursor.delivered.seq;
        self.cursor.picks.retain(|seq| *seq <= delivered);
        self.cursor.scanned = Seq(0);
        self.is_dirty = true;
        if let Some(lookahead) = &mut self.lookahead {
            lookahead.restart(&mut self.cursor);
        }
    }

    /// Whether it still wants a message of this subject: it has not seen it,
    /// or has not settled it.
    pub(crate) fn wants(&self, seq: Seq, subject: &[u8]) -> bool {
        self.filter.matches(subject)
            && (seq >= self.next_seq()
                || self.cursor.unacked.contains(seq)
                || self.cursor.picks.contains(&seq))
            && !self.cursor.ahead.contains(&seq)
    }
}
