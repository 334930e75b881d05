//! How much is on its way to a push consumer's receiver.

/// The window never grows past this.
const WINDOW_MAX: u64 = 32 * 1024 * 1024;

/// What it starts with; it doubles with each answer.
const WINDOW_START: u64 = WINDOW_MAX / 16;

/// Bytes sent and not known to be processed. From half the window on the
/// receiver is asked to say when it has come that far; at the whole of it
/// sending stops.
#[derive(Debug)]
pub(crate) struct FlowControl {
    window: u64,
    outstanding: u64,
    /// The question that is out: its subject, and the bytes it asks about.
    asked: Option<(Vec<u8>, u64)>,
    questions: u64,
}

impl FlowControl {
    pub(crate) fn new() -> Self {
        FlowControl {
            window: WINDOW_START,
            outstanding: 0,
            asked: None,
            questions: 0,
        }
    }

    /// Nothing more may be sent for now.
    pub(crate) fn is_full(&self) -> bool {
        self.outstanding > self.window
    }

    /// Something was sent; returns whether the receiver is to be asked.
    pub(crate) fn sent(&mut self, bytes: u64) -> bool {
        self.outstanding += bytes;
        match &mut self.asked {
            None => self.outstanding > self.window / 2,
            Some((_, about)) => {
                if self.outstanding - *about >= self.window {
                    *about += bytes;
                }
                false
            }
        }
    }

    /// Whether a question waits for its answer.
    pub(crate) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Makes the next question; `subject` gets its number.
    pub(crate) fn ask(&mut self, subject: impl FnOnce(u64) -> Vec<u8>) -> &[u8] {
        self.questions += 1;
        let asked = (subject(self.questions), self.outstanding);
        &self.asked.insert(asked).0
    }

    /// The question that is out.
    pub(crate) fn asked(&self) -> Option<&[u8]> {
        self.asked.as_ref().map(|(subject, _)| &subject[..])
    }

    /// An answer came; false if it is to no question that is out.
    pub(crate) fn answered(&mut self, subject: &[u8]) -> bool {
        let Some((_, about)) = self.asked.take_if(|(asked, _)| asked == subject) else {
            return false;
        };
        self.window = (self.window * 2).min(WINDOW_MAX);
        self.outstanding = self.outstanding.saturating_sub(about);
        true
    }

    /// The receiver is another now.
    pub(crate) fn reset(&mut self) {
        let questions = self.questions;
        *self = FlowControl {
            questions,
            ..FlowControl::new()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_fills_and_grows_with_answers() {
        let mut flow = FlowControl::new();
        assert!(!flow.sent(WINDOW_START / 2));
        assert!(flow.sent(1));
        assert_eq!(flow.ask(|number| number.to_string().into()), b"1");
        assert!(!flow.sent(WINDOW_START));
        assert!(flow.is_full());
        assert!(!flow.answered(b"0"));
        assert!(flow.answered(b"1"));
        assert!(!flow.is_full());
        assert!(!flow.answered(b"1"));
        assert_eq!(flow.window, WINDOW_START * 2);
    }
}
