//! One socket and what is known about it.

use crate::buffer_pool::BufferPool;
use crate::output_queue::{Flushed, OutputQueue};
use crate::receive::READ_MAX;
use crate::tls::Layer;
use midge_engine::{ConnId, Time};
use midge_proto::Needed;
use mio::net::TcpStream;
use std::io::{self, Read};

/// A socket in the table.
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) transport: Transport,
    pub(crate) codec: Codec,
    pub(crate) phase: Phase,
    pub(crate) output: OutputQueue,
    /// It is in the list of those to be written to.
    pub(crate) is_dirty: bool,
    /// It is in the queue of those to be read from.
    pub(crate) is_queued: bool,
    /// The other side has hung up: read until the end, whatever comes.
    pub(crate) read_closed: bool,
    /// What it brought last was for streams. Others are served before it.
    pub(crate) is_feeder: bool,
    /// How much to read from it in a turn, in bytes.
    pub(crate) read_max: usize,
    /// It rests until then, because its messages pile up elsewhere.
    pub(crate) resume_due: Option<Time>,
    /// It is not read from until the disk has caught up, or word of its
    /// credentials has come.
    pub(crate) is_held: bool,
    /// It is cut then, unless what waits for it moves.
    pub(crate) deadline_due: Option<Time>,
}

/// What carries the bytes.
pub(crate) struct Transport {
    pub(crate) stream: TcpStream,
    pub(crate) layer: Layer,
    /// The poll also reports when it can be written to.
    pub(crate) wants_writable: bool,
}

/// What the bytes mean.
#[derive(Debug)]
pub(crate) enum Codec {
    /// NATS's text protocol; the engine has the session.
    Nats(Partial),
    /// One monitoring request after the other.
    Http(Vec<u8>),
}

/// The start of a frame whose rest has not come yet.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) bytes: Vec<u8>,
    pub(crate) needed: Needed,
    /// Whole commands wait here for the next turn.
    pub(crate) is_backlog: bool,
}

impl Default for Partial {
    fn default() -> Self {
        Partial {
            bytes: Vec::new(),
            needed: Needed::Line,
            is_backlog: false,
        }
    }
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Both sides talk.
    Open,
    /// The session is over; what waits is still written.
    Draining {
        /// The client may still be sending: see [`Phase::Lingering`].
        lingers: bool,
    },
    /// All is written and our side is shut; the client's last bytes are
    /// awaited, because closing on unread bytes would take back the last
    /// words before the client has read them.
    Lingering,
    /// To be dropped at the end of this turn.
    Dead,
}

impl Connection {
    pub(crate) fn new(id: ConnId, stream: TcpStream, codec: Codec) -> Self {
        Connection {
            id,
            transport: Transport {
                stream,
                layer: Layer::Plain,
                wants_writable: false,
            },
            codec,
            phase: Phase::Open,
            output: OutputQueue::default(),
            is_dirty: false,
            is_queued: false,
            read_closed: false,
            read_max: READ_MAX,
            resume_due: None,
            is_held: false,
            is_feeder: false,
            deadline_due: None,
        }
    }
}

impl Connection {
    /// Bytes that wait to be written, room for a frame that comes in pieces,
    /// and what TLS has of both.
    pub(crate) fn held(&self) -> usize {
        let received = match &self.codec {
            Codec::Nats(partial) => partial.bytes.capacity(),
            Codec::Http(received) => received.capacity(),
        };
        self.output.len() + received + self.transport.layer.held()
    }

    /// Gives back what [`Connection::held`] counts. The connection is over.
    pub(crate) fn forget_bytes(&mut self) {
        self.output = OutputQueue::default();
        self.transport.layer.forget_bytes();
        match &mut self.codec {
            Codec::Nats(partial) => *partial = Partial::default(),
            Codec::Http(received) => *received = Vec::new(),
        }
    }
}

/// What a read has brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// Bytes at the front of the buffer.
    pub(crate) count: usize,
    /// There may be more.
    pub(crate) is_full: bool,
}

impl Received {
    /// The other side will say nothing more.
    #[cfg(feature = "tls")]
    pub(crate) const END: Received = Received {
        count: 0,
        is_full: false,
    };

    pub(crate) fn is_end(self) -> bool {
        self.count == 0 && !self.is_full
    }
}

impl Transport {
    /// Reads what there is, about as much as `max`, to the front of the read
    /// buffer. `Ok(None)` when there is nothing for now.
    pub(crate) fn read(&mut self, buffer: &mut [u8], max: usize) -> io::Result<Option<Received>> {
        #[cfg(feature = "tls")]
        if let Layer::Tls(session) = &mut self.layer {
            return session.read(&mut self.stream, buffer, max);
        }
        loop {
            match self.stream.read(&mut buffer[..max]) {
                Ok(count) => {
                    let is_full = count == max;
                    return Ok(Some(Received { count, is_full }));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn flush(
        &mut self,
        output: &mut OutputQueue,
        pool: &mut BufferPool,
    ) -> io::Result<Flushed> {
        match &mut self.layer {
            Layer::Plain => output.flush(&mut self.stream, pool),
            #[cfg(feature = "tls")]
            Layer::Tls(session) if session.is_open() => {
                session.flush(&mut self.stream, output, pool)
            }
            #[cfg(feature = "tls")]
            _ => output.flush(&mut self.stream, pool),
        }
    }

    /// What to register with the poll.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Says that nothing more will be written.
    pub(crate) fn shut_write(&mut self) {
        #[cfg(feature = "tls")]
        if let Layer::Tls(session) = &mut self.layer {
            session.end(&mut self.stream);
            // What still comes is read to be dropped.
            self.layer = Layer::Plain;
        }
        // A socket that is already gone needs no shutting.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}
