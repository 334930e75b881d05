//! The requests that take a backup: what they ask, what they answer.
//!
//! | subject | asks |
//! |---|---|
//! | `$MIDGE.API.BACKUP` | to begin one |
//! | `$MIDGE.API.BACKUP.NEXT` | for a piece of it; `id`, `chunk` from 0 on |
//! | `$MIDGE.API.BACKUP.STOP` | to let go of one; `id` |
//!
//! The answer to `NEXT` is not JSON but the bytes themselves, with the header
//! [`CHUNK`], by which they are told from a refusal. A chunk without bytes
//! says that there are no more.

use super::error::ApiError;
use super::json::{self, Known, Strictness};

/// The header of a chunk: its number.
pub const CHUNK: &str = "Midge-Chunk";

/// Which request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupKind {
    /// `BACKUP`
    Begin,
    /// `BACKUP.NEXT`
    Next,
    /// `BACKUP.STOP`
    Stop,
}

impl BackupKind {
    /// By the subject of the request.
    pub fn of_subject(subject: &[u8]) -> Option<BackupKind> {
        Some(match subject.strip_prefix(b"$MIDGE.API.BACKUP")? {
            b"" => BackupKind::Begin,
            b".NEXT" => BackupKind::Next,
            b".STOP" => BackupKind::Stop,
            _ => return None,
        })
    }

    /// The type of its answer.
    pub fn response_type(self) -> &'static str {
        match self {
            BackupKind::Begin => "io.midge.api.v1.backup_response",
            BackupKind::Next => "io.midge.api.v1.backup_next_response",
            BackupKind::Stop => "io.midge.api.v1.backup_stop_response",
        }
    }

    /// An answer that says no.
    pub fn refusal(self, error: &ApiError) -> Vec<u8> {
        error.refusal(self.response_type())
    }
}

/// The errors of these requests, in the range of those about dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupError {
    /// 20011: what is wrong with the request.
    BadRequest(String),
    /// 20012
    OneUnderWay,
    /// 20013
    NoSuchBackup,
    /// 20014
    OutOfTurn,
    /// 20015: what the store says.
    Failed(String),
    /// 20016
    Unavailable,
    /// 20017
    Stopping,
    /// 20018
    NotTheirs,
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> ApiError {
        let (code, err_code, description) = match error {
            BackupError::BadRequest(text) => (400, 20011, text.into()),
            BackupError::OneUnderWay => (409, 20012, "another backup is under way".into()),
            BackupError::NoSuchBackup => (
                404,
                20013,
                "there is no such backup; one that is not asked for is let go of".into(),
            ),
            BackupError::OutOfTurn => (
                400,
                20014,
                "chunks come one after the other; only the last can be asked for again".into(),
            ),
            BackupError::Failed(text) => (500, 20015, text.into()),
            BackupError::Unavailable => (503, 20016, "streams are temporarily unavailable".into()),
            BackupError::Stopping => (503, 20017, "the server stops".into()),
            BackupError::NotTheirs => (
                403,
                20018,
                "it is of the streams of all accounts: the system account may ask for it".into(),
            ),
        };
        ApiError::new(code, err_code, description)
    }
}

/// What a request says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupRequest {
    /// Which backup.
    pub id: u64,
    /// Which chunk of it.
    pub chunk: u64,
}

impl BackupRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 20011 with what is wrong.
    pub fn from_json(body: &[u8]) -> Result<BackupRequest, BackupError> {
        let mut asked = BackupRequest::default();
        let read = json::read(body, Strictness::Strict, &mut |key, value| {
            match key {
                "id" => asked.id = json::uint(key, &value)?,
                "chunk" => asked.chunk = json::uint(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        });
        match read {
            Ok(()) => Ok(asked),
            Err(error) => Err(BackupError::BadRequest(error.into_description())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_mistakes_are_named() {
        let asked = BackupRequest::from_json(b"{\"id\":7,\"chunk\":2}");
        assert_eq!(asked, Ok(BackupRequest { id: 7, chunk: 2 }));
        assert_eq!(BackupRequest::from_json(b""), Ok(BackupRequest::default()));
        for body in ["{\"id\":-1}", "{\"chunks\":1}", "[]"] {
            let refused = BackupRequest::from_json(body.as_bytes());
            assert!(matches!(refused, Err(BackupError::BadRequest(_))), "{body}");
        }
    }

    #[test]
    fn a_subject_names_a_request() {
        let of = |subject: &str| BackupKind::of_subject(subject.as_bytes());
        assert_eq!(of("$MIDGE.API.BACKUP"), Some(BackupKind::Begin));
        assert_eq!(of("$MIDGE.API.BACKUP.NEXT"), Some(BackupKind::Next));
        assert_eq!(of("$MIDGE.API.BACKUP.STOP"), Some(BackupKind::Stop));
        assert_eq!(of("$MIDGE.API.BACKUPS"), None);
        assert_eq!(of("$MIDGE.API.VERIFY"), None);
    }
}
