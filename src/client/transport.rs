//! The bytes between a client and a server.
//!
//! One thread reads while any one writes: a socket lets both go on at once.

use crate::Error;
use crate::deadline::Deadline;
use crate::url::Url;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Addresses of a name that are tried, so that one which leads nowhere costs
/// a few timeouts at most.
const ADDRESSES_MAX: usize = 4;

/// A connected socket, with TLS over it or without.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: TcpStream,
    #[cfg(feature = "tls")]
    session: Option<crate::tls::Session>,
}

/// A write that stopped midway.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Bytes that were taken before.
    pub(crate) written: usize,
    pub(crate) error: io::Error,
}

impl Transport {
    /// Connects to the first address of a host that answers. A server that
    /// takes nothing for so long is given up later on.
    pub(crate) fn open(url: &Url, timeout: Duration, deadline: &Deadline) -> Result<Self, Error> {
        let stream = connect(&url.host, url.port, deadline)?;
        let set = |stream: &TcpStream| {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(timeout))
        };
        set(&stream).map_err(Error::Connect)?;
        Ok(Transport {
            stream,
            #[cfg(feature = "tls")]
            session: None,
        })
    }

    /// From here on with TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn secure(
        &mut self,
        host: &str,
        options: &crate::Options,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let session = crate::tls::Session::start(&mut self.stream, host, options, deadline)?;
        self.session = Some(session);
        Ok(())
    }

    #[cfg(feature = "tls")]
    fn read_some(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.session {
            Some(session) => session.read(&self.stream, buffer),
            None => (&self.stream).read(buffer),
        }
    }

    #[cfg(feature = "tls")]
    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.session {
            Some(session) => session.write(&self.stream, bytes),
            None => (&self.stream).write(bytes),
        }
    }

    #[cfg(not(feature = "tls"))]
    fn read_some(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.stream).read(buffer)
    }

    #[cfg(not(feature = "tls"))]
    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.stream).write(bytes)
    }

    /// Reads some bytes; none at the end. Without a time it waits for ever.
    pub(crate) fn read(&self, buffer: &mut [u8], left: Option<Duration>) -> io::Result<usize> {
        loop {
            if left.is_some() {
                self.stream.set_read_timeout(left)?;
            }
            match self.read_some(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// From now on a read waits for as long as it takes.
    pub(crate) fn wait_long(&self) -> io::Result<()> {
        self.stream.set_read_timeout(None)
    }

    /// Writes all of it.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Broken> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.write_some(rest) {
                Ok(0) => {
                    let error = ErrorKind::WriteZero.into();
                    return Err(Broken { written, error });
                }
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken { written, error }),
            }
        }
        Ok(())
    }

    /// Ends it for readers and writers. An error would say that it has ended.
    pub(crate) fn shut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn connect(host: &str, port: u16, deadline: &Deadline) -> Result<TcpStream, Error> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    let addresses = (host, port).to_socket_addrs().map_err(Error::Connect)?;
    for address in addresses.take(ADDRESSES_MAX) {
        let left = deadline.left().ok_or(Error::Timeout)?;
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Error::Connect(last))
}

/// Whether this means no more than that the time is over, or that the call
/// should be made again.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
