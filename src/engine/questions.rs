//! What clients ask the server about itself: `$SYS.REQ.>`.
//!
//! The engine knows who may ask for what: everybody for themselves and their
//! account, the clients of the system account for all. What the answer is, the
//! one who has the sockets and the clock says; a question waits for that.

use crate::account::Sink;
use crate::engine::Engine;
use crate::ids::AccountId;
use crate::outbox::Outbox;
use crate::publish::Origin;
use crate::{ConnId, Time};
use midge_proto::Publish;

/// Questions that may wait for an answer; further ones are as if nobody had
/// listened. An answer takes a turn of the loop.
const WAITING_MAX: usize = 256;

/// What a question may hold beside its subject, in bytes: the options of a
/// page.
const BODY_MAX: usize = 4096;

/// What every client may ask.
const FOR_ALL: [&str; 4] = [
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.ACCOUNT.PING.CONNZ",
    "$SYS.REQ.ACCOUNT.PING.STATZ",
    "$SYS.REQ.SERVER.PING.CONNZ",
];

/// What clients of the system account may ask of a server, behind its id or
/// `PING`.
const OF_SERVER: [&str; 11] = [
    "IDZ", "STATSZ", "VARZ", "CONNZ", "SUBSZ", "JSZ", "HEALTHZ", "ACCOUNTZ", "ROUTEZ", "LEAFZ",
    "GATEWAYZ",
];

/// What they may have one server do, behind its id.
const OF_THIS_SERVER: [&str; 3] = ["RELOAD", "KICK", "LDM"];

/// What they may ask of an account, behind its name.
const OF_ACCOUNT: [&str; 6] = ["CONNZ", "STATZ", "SUBSZ", "INFO", "JSZ", "LEAFZ"];

/// Something that a client wants to know of the server.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub subject: Box<[u8]>,
    /// Options, in JSON.
    pub body: Box<[u8]>,
    /// The account of who asks.
    pub account: AccountId,
    /// Who asks, and may have gone since; `None` for somebody elsewhere.
    pub conn: Option<ConnId>,
    reply: Box<[u8]>,
}

impl Engine {
    /// Makes accounts hear the questions of their clients.
    pub(crate) fn listen_for_questions(&mut self, accounts: &[AccountId]) {
        let id = &self.config.info.server_id;
        for &account_id in accounts {
            let account = &mut self.accounts[account_id];
            let mut hear = |subject: &str| account.hear_questions(subject.as_bytes());
            if account_id != AccountId::SYSTEM {
                FOR_ALL.into_iter().for_each(hear);
                continue;
            }
            hear("$SYS.REQ.USER.INFO");
            hear("$SYS.REQ.SERVER.PING");
            for page in OF_SERVER {
                hear(&format!("$SYS.REQ.SERVER.PING.{page}"));
                hear(&format!("$SYS.REQ.SERVER.{id}.{page}"));
            }
            for order in OF_THIS_SERVER {
                hear(&format!("$SYS.REQ.SERVER.{id}.{order}"));
            }
            for page in OF_ACCOUNT {
                hear(&format!("$SYS.REQ.ACCOUNT.*.{page}"));
            }
        }
    }

    /// The question that has waited longest. It may be left without an answer;
    /// else that is for [`Engine::answer_question`].
    pub fn take_question(&mut self) -> Option<Question> {
        self.questions.pop_front()
    }

    /// Whether questions wait.
    pub fn has_questions(&self) -> bool {
        !self.questions.is_empty()
    }

    /// Answers a question.
    pub fn answer_question<O: Outbox>(
        &mut self,
        now: Time,
        question: &Question,
        body: &[u8],
        out: &mut O,
    ) {
        self.answer(question.account, &question.reply, body, out);
        self.feed_internal(now, out);
        self.clean_up(out);
    }

    /// Takes the questions out of what a message has met, so that parts of the
    /// server that take messages are left. Returns how many will be answered.
    #[cold]
    pub(crate) fn take_questions(&mut self, origin: Origin, publish: &Publish<'_>) -> u64 {
        self.hits.retain(|sink| *sink != Sink::System);
        let header_len = publish.header.map_or(0, |header| header.len);
        let body = publish.payload.get(header_len..).unwrap_or_default();
        u64::from(self.put_question(publish.subject, body, origin, publish.reply))
    }

    /// Puts a question; false if it will not be answered.
    pub(crate) fn put_question(
        &mut self,
        subject: &[u8],
        body: &[u8],
        origin: Origin,
        reply: Option<&[u8]>,
    ) -> bool {
        let may_wait = self.questions.len() < WAITING_MAX && body.len() <= BODY_MAX;
        let Some(reply) = reply.filter(|_| may_wait) else {
            return false;
        };
        self.questions.push_back(Question {
            subject: subject.into(),
            body: body.into(),
            account: origin.account,
            conn: origin.conn,
            reply: reply.into(),
        });
        true
    }
}
