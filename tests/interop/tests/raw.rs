//! A bare connection, for what the client would not send or does not show.

use std::net::Ipv4Addr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{PATIENCE, Server};

pub struct Raw(BufReader<TcpStream>);

impl Raw {
    /// Connects, with the given options besides a quiet, lenient protocol.
    pub async fn connect(server: &Server, options: &str) -> Raw {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port()))
            .await
            .expect("the server accepts");
        let mut raw = Raw(BufReader::new(stream));
        let info = raw.line().await.expect("a greeting");
        assert!(info.starts_with("INFO "), "not a greeting: {info:?}");
        raw.send(format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false{options}}}\r\n"
        ))
        .await;
        raw.settle().await;
        raw
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.0.get_mut().write_all(bytes.as_ref()))
            .await
            .expect("the server reads in time")
            .expect("the server reads");
    }

    /// The next line without its end, or nothing when the server has closed the connection.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.0.read_line(&mut line))
            .await
            .expect("a line in time");
        // A reset is as much an end as an orderly close.
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(
                line.strip_suffix("\r\n")
                    .expect("a line that ends in CRLF")
                    .to_owned(),
            ),
        }
    }

    /// The next line that is about what the test did, not housekeeping.
    pub async fn answer(&mut self) -> Option<String> {
        loop {
            let line = self.line().await?;
            if line == "PING" {
                self.send("PONG\r\n").await;
            } else if !line.starts_with("INFO ") {
                return Some(line);
            }
        }
    }

    /// Reads to the end of the connection, and gives back how many bytes came.
    pub async fn count_to_end(&mut self) -> usize {
        let mut buffer = vec![0; 64 * 1024];
        let mut total = 0;
        loop {
            let read = timeout(PATIENCE, self.0.read(&mut buffer))
                .await
                .expect("the connection ends in time");
            match read {
                Ok(0) | Err(_) => return total,
                Ok(count) => total += count,
            }
        }
    }

    /// Waits until the server has handled all that was sent.
    pub async fn settle(&mut self) {
        self.send("PING\r\n").await;
        let answer = self.answer().await;
        assert_eq!(answer.as_deref(), Some("PONG"));
    }
}
