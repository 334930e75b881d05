//! One client's TLS: records to bytes and back.
//!
//! rustls keeps the keys and no bytes. What is kept here is at most records
//! that are not whole yet, and those that the socket has not taken; a client
//! with nothing on its way has neither. What waits to be sent waits in the
//! output queue, in the clear, until the socket has room.

use super::certificate::Certificate;
use super::suites::suite_name;
use crate::buffer_pool::BufferPool;
use crate::connection::Received;
use crate::output_queue::{Flushed, OutputQueue};
use crate::receive;
use mio::net::TcpStream;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError};
use rustls::{Error, ProtocolVersion, ServerConfig};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

/// What a client may send before the handshake is over: its certificates are
/// the longest of it, some kilobytes.
const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;

/// What unfinished records may measure after it. One has 16 KB and a little.
const INCOMING_MAX: usize = 32 * 1024;

/// Read from the socket at a time at most: four records.
const READ_MAX: usize = 64 * 1024;

/// The least: a record, so that it comes whole where it can.
const READ_MIN: usize = 17 * 1024;

/// Reads that bring nothing for the client's session, one after the other,
/// before the others have their turn.
const EMPTY_READS_MAX: usize = 4;

/// Made into records at a time: four of them, so that a system call has
/// something to do.
const SEAL_MAX: usize = 64 * 1024;

/// A record's payload at most, and what it takes beside that at most.
const RECORD_SIZE: usize = 16 * 1024;
const RECORD_EXTRA: usize = 64;

/// Alerts are shorter than this in a record.
const ALERT_SIZE: usize = 64;

/// Where records are read to, in the buffer whose front takes what was in them.
const RECORDS_AT: usize = 128 * 1024;

// What may come out of records at once has its place before them.
const _: () = assert!(RECORDS_AT >= HANDSHAKE_BYTES_MAX + INCOMING_MAX + READ_MAX);
const _: () = assert!(receive::READ_MAX >= RECORDS_AT + INCOMING_MAX + READ_MAX);

pub(crate) struct Session {
    tls: UnbufferedServerConnection,
    is_open: bool,
    /// The client will say nothing more.
    is_over: bool,
    /// The start of a record, or of a message in records.
    incoming: Vec<u8>,
    /// Records that the socket has not taken yet, and how much of them it has.
    outgoing: Vec<u8>,
    sent: usize,
    /// What came out of records when nobody had asked.
    early: Vec<u8>,
    /// Bytes received before the handshake was over.
    received: usize,
    /// The handshake came before INFO.
    pub(crate) is_first: bool,
}

/// Why a handshake came to nothing.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The socket, or the client, has gone.
    Gone,
    /// More came than a handshake has.
    TooLong,
    /// rustls says why.
    Tls(Error),
}

/// What rustls wants next.
enum Step {
    /// Something from the client.
    Read,
    /// Nothing; the client has said its last.
    Over,
}

impl Session {
    pub(crate) fn new(config: Arc<ServerConfig>, is_first: bool) -> Result<Session, Error> {
        Ok(Session {
            tls: UnbufferedServerConnection::new(config)?,
            is_open: false,
            is_over: false,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            sent: 0,
            early: Vec::new(),
            received: 0,
            is_first,
        })
    }

    /// The handshake is done.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Records wait for the socket.
    pub(crate) fn wants_flush(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Bytes of memory that records take, sent and received.
    pub(crate) fn held(&self) -> usize {
        self.incoming.capacity() + self.outgoing.capacity() + self.early.capacity()
    }

    /// Gives back what [`Session::held`] counts. The connection is over.
    pub(crate) fn forget_bytes(&mut self) {
        self.incoming = Vec::new();
        self.outgoing = Vec::new();
        self.early = Vec::new();
        self.sent = 0;
    }

    /// The version, as monitoring has it.
    pub(crate) fn version(&self) -> &'static str {
        match self.tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "",
        }
    }

    /// The suite, as monitoring has it.
    pub(crate) fn suite(&self) -> &'static str {
        self.tls.negotiated_cipher_suite().map_or("", suite_name)
    }

    /// The client's certificate.
    pub(crate) fn certificate(&self) -> Option<Certificate<'_>> {
        Certificate::read(self.tls.peer_certificates()?.first()?)
    }

    /// Does one step of the handshake, and returns whether it is done. It
    /// goes on when the socket has more.
    pub(crate) fn shake(
        &mut self,
        stream: &mut TcpStream,
        buffer: &mut [u8],
    ) -> Result<bool, Broken> {
        let room = (HANDSHAKE_BYTES_MAX - self.received).min(buffer.len());
        if room == 0 {
            return Err(Broken::TooLong);
        }
        match read(stream, &mut buffer[..room]) {
            Ok(None) => {}
            Ok(Some(0)) | Err(_) => return Err(Broken::Gone),
            Ok(Some(count)) => {
                self.received += count;
                self.incoming.extend_from_slice(&buffer[..count]);
            }
        }
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut early = std::mem::take(&mut self.early);
        let mut used = 0;
        let step = self.advance(&mut incoming, &mut used, &mut |bytes| {
            early.extend_from_slice(bytes);
        });
        incoming.drain(..used);
        self.incoming = incoming;
        self.early = early;
        let sent = step.map_err(Broken::Tls).and_then(|step| {
            self.is_over = matches!(step, Step::Over);
            self.send(stream).map_err(|_| Broken::Gone)
        });
        if let Err(Broken::Tls(_)) = sent {
            self.alert(stream);
        }
        sent?;
        self.is_open = !self.tls.is_handshaking();
        if self.is_open {
            self.incoming.shrink_to_fit();
            self.outgoing.shrink_to_fit();
        }
        Ok(self.is_open)
    }

    /// Takes records off the front of `input` until one is not whole. What is
    /// in them goes to `plain`, what is to be answered to `outgoing`.
    fn advance(
        &mut self,
        input: &mut [u8],
        used: &mut usize,
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<Step, Error> {
        loop {
            let status = self.tls.process_tls_records(&mut input[*used..]);
            let step = match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        *used += record.discard;
                        plain(record.payload);
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.outgoing);
                    None
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => {
                    // It is sent before anything else is.
                    transmit.done();
                    None
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(Ok(Step::Over)),
                Ok(_) => Some(Ok(Step::Read)),
                Err(error) => Some(Err(error)),
            };
            *used += status.discard;
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Reads what there is, to the front of the buffer.
    pub(crate) fn read(
        &mut self,
        stream: &mut TcpStream,
        buffer: &mut [u8],
        read_max: usize,
    ) -> io::Result<Option<Received>> {
        if self.is_over && self.early.is_empty() {
            return Ok(Some(Received::END));
        }
        let (front, records) = buffer.split_at_mut(RECORDS_AT);
        let mut count = self.early.len();
        front[..count].copy_from_slice(&self.early);
        self.early = Vec::new();
        for _ in 0..EMPTY_READS_MAX {
            let (fresh, is_full) = self.fill(stream, records, read_max)?;
            let filled = self.incoming.len() + fresh.unwrap_or(0);
            let records = &mut records[..filled];
            let mut used = 0;
            let step = self.advance(records, &mut used, &mut |bytes| {
                front[count..count + bytes.len()].copy_from_slice(bytes);
                count += bytes.len();
            });
            self.keep(&records[used..]);
            match step {
                Ok(Step::Read) => {}
                Ok(Step::Over) => self.is_over = true,
                Err(error) => {
                    self.alert(stream);
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
            }
            self.is_over |= fresh == Some(0);
            if self.incoming.len() > INCOMING_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            if self.is_over && count == 0 {
                return Ok(Some(Received::END));
            }
            if count > 0 {
                let is_full = is_full || self.is_over;
                return Ok(Some(Received { count, is_full }));
            }
            if fresh.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Received {
            count: 0,
            is_full: true,
        }))
    }

    /// Reads records behind the start of one that is there already: how many
    /// bytes, if any, and whether that was all there was room for.
    fn fill(
        &self,
        stream: &mut TcpStream,
        records: &mut [u8],
        read_max: usize,
    ) -> io::Result<(Option<usize>, bool)> {
        let start = self.incoming.len();
        records[..start].copy_from_slice(&self.incoming);
        let end = start + read_max.clamp(READ_MIN, READ_MAX);
        let fresh = read(stream, &mut records[start..end])?;
        Ok((fresh, fresh == Some(end - start)))
    }

    /// Keeps what is no whole record.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(rest);
        }
    }

    /// Writes what waits as far as the socket takes it.
    pub(crate) fn flush(
        &mut self,
        stream: &mut TcpStream,
        output: &mut OutputQueue,
        pool: &mut BufferPool,
    ) -> io::Result<Flushed> {
        let mut sealer = Sealer {
            session: self,
            stream,
            progress: false,
        };
        let flushed = output.flush(&mut sealer, pool)?;
        let is_sent = flushed == Flushed::All && sealer.send()?;
        let progress = sealer.progress;
        if !is_sent {
            return Ok(Flushed::Blocked { progress });
        }
        self.outgoing = Vec::new();
        Ok(Flushed::All)
    }

    /// Makes records of some bytes; returns how many.
    fn seal(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = &bytes[..bytes.len().min(SEAL_MAX)];
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut early = std::mem::take(&mut self.early);
        let mut used = 0;
        // What rustls has to say by itself goes first.
        let step = self.advance(&mut incoming, &mut used, &mut |bytes| {
            early.extend_from_slice(bytes);
        });
        let sealed = step.and_then(|step| {
            self.is_over |= matches!(step, Step::Over);
            let status = self.tls.process_tls_records(&mut incoming[used..]);
            let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else {
                return Err(Error::EncryptError);
            };
            let start = self.outgoing.len();
            let records = chunk.len() / RECORD_SIZE + 1;
            self.outgoing
                .resize(start + chunk.len() + records * RECORD_EXTRA, 0);
            let count = traffic
                .encrypt(chunk, &mut self.outgoing[start..])
                .map_err(|_: EncryptError| Error::EncryptError)?;
            self.outgoing.truncate(start + count);
            Ok(chunk.len())
        });
        incoming.drain(..used);
        self.incoming = incoming;
        self.early = early;
        sealed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// Sends records that wait; whether none does any more.
    fn send(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        while self.sent < self.outgoing.len() {
            match stream.write(&self.outgoing[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        self.outgoing.clear();
        Ok(true)
    }

    /// Tells the client what is wrong, if it still listens.
    fn alert(&mut self, stream: &mut TcpStream) {
        let status = self.tls.process_tls_records(&mut self.incoming);
        if let Ok(ConnectionState::EncodeTlsData(data)) = status.state {
            encode(data, &mut self.outgoing);
            let _ = self.send(stream);
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end(&mut self, stream: &mut TcpStream) {
        let mut incoming = std::mem::take(&mut self.incoming);
        let status = self.tls.process_tls_records(&mut incoming);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            let start = self.outgoing.len();
            self.outgoing.resize(start + ALERT_SIZE, 0);
            let end = traffic.queue_close_notify(&mut self.outgoing[start..]);
            self.outgoing.truncate(start + end.unwrap_or(0));
            let _ = self.send(stream);
        }
        self.is_over = true;
    }
}

fn encode(mut data: EncodeTlsData<'_, impl Sized>, outgoing: &mut Vec<u8>) {
    let start = outgoing.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        outgoing.resize(start + needed.required_size, 0);
        let _ = data.encode(&mut outgoing[start..]);
    }
}

/// Reads from a socket: `None` when there is nothing for now.
fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match stream.read(buffer) {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What an output queue writes to.
struct Sealer<'a> {
    session: &'a mut Session,
    stream: &'a mut TcpStream,
    /// The socket has taken something.
    progress: bool,
}

impl Sealer<'_> {
    fn send(&mut self) -> io::Result<bool> {
        let waiting = self.session.outgoing.len() - self.session.sent;
        let is_sent = self.session.send(self.stream)?;
        let left = self.session.outgoing.len() - self.session.sent;
        self.progress |= left < waiting;
        Ok(is_sent)
    }
}

impl Write for Sealer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.send()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.session.seal(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::server::ResolvesServerCertUsingSni;

    #[test]
    fn records_count_until_they_are_forgotten() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions();
        let config = builder
            .expect("the versions fit")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let mut session = Session::new(Arc::new(config), false).expect("a session");
        assert_eq!(session.held(), 0);
        session.outgoing.resize(SEAL_MAX, 0);
        session.sent = 1;
        session.incoming.resize(INCOMING_MAX, 0);
        session.early.resize(1000, 0);
        assert!(session.held() >= SEAL_MAX + INCOMING_MAX + 1000);
        session.forget_bytes();
        assert_eq!((session.held(), session.sent), (0, 0));
    }
}
