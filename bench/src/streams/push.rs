//! Being pushed messages, as fast as the server's flow control lets it.

use std::io;

use crate::connection::Connection;
use crate::server::Server;
use crate::streams::api::{Api, STREAM};
use crate::streams::pull::Tally;
use crate::streams::scan::{Frame, Inbound, unexpected};

const INBOX: &str = "_INBOX.bench.push";
/// The names as on the wire, and how a header of state without a message
/// begins.
const IDLE: &[u8] = b"NATS/1.0 100";
const STALLED: &str = "Nats-Consumer-Stalled:";

/// Makes a push consumer and receives `count` messages of that size from it,
/// acknowledging each if `acked`.
pub(crate) fn receive(
    server: &Server,
    api: &mut Api,
    acked: bool,
    size: usize,
    count: u64,
) -> io::Result<()> {
    let connection = Connection::open(server.port(), server.dialect())?;
    connection.subscribe(INBOX, "", 1)?;
    let policy = if acked {
        "\"explicit\",\"max_ack_pending\":10000"
    } else {
        "\"none\""
    };
    api.create_consumer(&format!(
        "\"deliver_subject\":\"{INBOX}\",\"flow_control\":true,\
         \"idle_heartbeat\":5000000000,\"ack_policy\":{policy}"
    ))?;
    let ack = if acked { " 4\r\n+ACK\r\n" } else { "" };
    let mut tally = Tally::new(STREAM, size, ack, true);
    let mut inbound = Inbound::new();
    while tally.taken < count {
        inbound.fill(&connection)?;
        while let Some(frame) = inbound.next()? {
            match frame {
                Frame::Message {
                    reply,
                    header: b"",
                    body,
                    ..
                } => {
                    tally.take(reply, body)?;
                }
                Frame::Message { reply, header, .. } => go_on(&mut tally.out, reply, header)?,
                Frame::Ping => tally.out.extend_from_slice(b"PONG\r\n"),
                Frame::Pong => {}
            }
        }
        tally.flush(&connection)?;
    }
    // Anything more would be wrong, and the state asked for next shows it;
    // first the server must have seen the last acknowledgement.
    api.await_consumed(count)
}

/// Answers a request of flow control, and a heartbeat that misses the answer.
fn go_on(out: &mut Vec<u8>, reply: &[u8], header: &[u8]) -> io::Result<()> {
    if !header.starts_with(IDLE) {
        return Err(unexpected(header));
    }
    let text = String::from_utf8_lossy(header);
    let stalled = text.lines().find_map(|line| line.strip_prefix(STALLED));
    let subject = match stalled {
        Some(subject) => subject.trim().as_bytes(),
        None => reply,
    };
    if !subject.is_empty() {
        out.extend_from_slice(b"PUB ");
        out.extend_from_slice(subject);
        out.extend_from_slice(b" 0\r\n\r\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(reply: &str, header: &str) -> Option<String> {
        let mut out = Vec::new();
        go_on(&mut out, reply.as_bytes(), header.as_bytes()).ok()?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn flow_control_is_answered() {
        let request = "NATS/1.0 100 FlowControl Request\r\n\r\n";
        let beat = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n";
        let stalled = "NATS/1.0 100 Idle Heartbeat\r\nNats-Consumer-Stalled: $JS.FC.x\r\n\r\n";
        let sent = Some("PUB $JS.FC.x 0\r\n\r\n".to_owned());
        assert_eq!(answer("$JS.FC.x", request), sent);
        assert_eq!(answer("", stalled), sent);
        assert_eq!(answer("", beat), Some(String::new()));
        assert_eq!(answer("", "NATS/1.0 409 Consumer Deleted\r\n\r\n"), None);
    }
}
