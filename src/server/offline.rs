//! What is done with a store that no server has open, and what is said about
//! one after a look at everything in it.

use midge_engine::{RowKey, RowSink, StoredStreams, StreamId};
use midge_proto::JsonWriter;
pub use midge_store::{BackupError, Compacted, Partial, RestoreError, StoreError, Told};
use midge_store::{BackupLook, Damage, VerifyReport};
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What a look at everything in a store found.
#[derive(Debug)]
pub struct Verified {
    report: VerifyReport,
    names: Vec<(StreamId, String)>,
}

/// Looks at everything in a store: pages, rows, blocks, records.
///
/// # Errors
/// [`StoreError`] if there is no store under the path, or it is in use, or
/// cannot be read. Damage is no error.
pub fn verify(path: &Path, told: Told<'_>) -> Result<Verified, StoreError> {
    let mut names = Names::default();
    let report = midge_store::verify_into(path, &mut names, told)?;
    Ok(names.of(report))
}

/// Takes in what the streams are called.
#[derive(Default)]
struct Names(StoredStreams);

impl RowSink for Names {
    fn row(&mut self, key: RowKey, value: &[u8]) {
        if matches!(key, RowKey::Stream(_)) {
            self.0.row(key, value);
        }
    }

    fn damaged(&mut self, _: RowKey) {}
}

impl Names {
    fn of(&self, report: VerifyReport) -> Verified {
        let names = self.0.names().map(|(id, name)| (id, name.to_owned()));
        Verified {
            report,
            names: names.collect(),
        }
    }
}

/// A look at a backup while it comes.
#[derive(Default)]
pub struct BackupCheck {
    look: BackupLook,
    names: Names,
}

/// What a backup holds.
#[derive(Debug)]
pub struct BackupContent {
    /// What a look at all of it found.
    pub verified: Verified,
    /// When it was made.
    pub taken: SystemTime,
}

impl BackupCheck {
    /// Looks at the next bytes.
    ///
    /// # Errors
    /// [`BackupError`], where they are not what was written.
    pub fn look(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.look.look(bytes, &mut self.names)
    }

    /// What was found, now that there are no more bytes.
    ///
    /// # Errors
    /// [`BackupError`], where the end is missing.
    pub fn finish(self) -> Result<BackupContent, BackupError> {
        let taken = since_1970(self.look.taken());
        let verified = self.names.of(self.look.finish()?);
        Ok(BackupContent { verified, taken })
    }
}

fn since_1970(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// Looks at all of a backup and, if a path is given, makes a store of it
/// there. Damage that was there when the backup was made is restored with it
/// and told.
///
/// # Errors
/// [`RestoreError`] if it cannot be read, is not what was written, or the
/// store cannot be made; and if there is something under the path.
pub fn restore(
    from: &Path,
    to: Option<&Path>,
    told: Told<'_>,
) -> Result<BackupContent, RestoreError> {
    let mut names = Names::default();
    let restored = midge_store::restore(from, to, &mut names, told)?;
    Ok(BackupContent {
        verified: names.of(restored.report),
        taken: since_1970(restored.taken),
    })
}

/// Gives back the room that a store does not use.
///
/// # Errors
/// As for [`verify`], and for damage that is in the way.
pub fn compact(path: &Path, told: Told<'_>) -> Result<Compacted, StoreError> {
    midge_store::compact(path, told)
}

/// What was got out of a store.
#[derive(Debug)]
pub struct Recovered(midge_store::Recovered);

/// Copies what is whole in a store to a new one. The file stays as it is.
///
/// # Errors
/// As for [`verify`], and if there is something under the other path.
pub fn recover(from: &Path, to: &Path) -> Result<Recovered, StoreError> {
    midge_store::recover(from, to).map(Recovered)
}

impl Recovered {
    /// Nothing is missing, as far as can be told.
    pub fn is_whole(&self) -> bool {
        self.0.is_complete && self.0.lost_records == 0 && self.0.damaged_rows == 0
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recovered(found) = self;
        write!(
            f,
            "{} in {}, {}",
            count(found.records, "message"),
            count(found.blocks, "block"),
            count(found.rows, "row")
        )?;
        if found.lost_records > 0 || found.damaged_rows > 0 {
            write!(
                f,
                "; lost to damage: {}, {}",
                count(found.lost_records, "message"),
                count(found.damaged_rows, "row")
            )?;
        }
        if !found.is_complete {
            f.write_str("; a part could not be found, there may have been more")?;
        }
        Ok(())
    }
}

impl Verified {
    /// Everything was looked at and is as it was written.
    pub fn is_sound(&self) -> bool {
        self.report.is_sound()
    }

    /// As one JSON object.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(&self.report, |id| self.name_of(id))
    }

    fn name_of(&self, id: StreamId) -> Option<&str> {
        let mut names = self.names.iter();
        let found = names.find(|(stream, _)| *stream == id);
        found.map(|(_, name)| name.as_str())
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        for damage in &report.damage {
            let name = self.name_of(damage.stream);
            writeln!(f, "{}", describe(damage, name))?;
        }
        let unlisted = report.damaged.saturating_sub(report.damage.len() as u64);
        if unlisted > 0 {
            writeln!(f, "and {unlisted} more")?;
        }
        if report.pages_are_sound == Some(false) {
            writeln!(f, "some pages of the file are not as they were written")?;
        }
        if let Some(why) = &report.stopped_by {
            writeln!(f, "stopped early: {why}")?;
        }
        write!(
            f,
            "{}, {} in {} of {}, {}: ",
            count(self.names.len() as u64, "stream"),
            count(report.records, "message"),
            count(report.blocks, "block"),
            count(report.bytes, "byte"),
            count(report.rows, "row")
        )?;
        if report.is_sound() {
            f.write_str("everything is as it was written")
        } else {
            write!(f, "{} damaged", report.damaged)
        }
    }
}

/// So many of something.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Damage in words, with the stream's name where that is known.
pub(crate) fn describe(damage: &Damage, name: Option<&str>) -> String {
    let Some(name) = name else {
        return damage.to_string();
    };
    match (damage.first.0, damage.last.0) {
        (_, 0) => format!("stream {name}: {}", damage.kind),
        (first, last) if first == last => {
            format!("stream {name}, sequence {first}: {}", damage.kind)
        }
        (first, last) => format!(
            "stream {name}, sequences {first} to {last}: {}",
            damage.kind
        ),
    }
}

/// A report as one JSON object.
pub(crate) fn to_json<'a>(
    report: &'a VerifyReport,
    name: impl Fn(StreamId) -> Option<&'a str>,
) -> Vec<u8> {
    let mut json = JsonWriter::new();
    json.open_object();
    json.string_field("type", "io.midge.api.v1.verify_response");
    json.bool_field("is_sound", report.is_sound());
    for (key, value) in [
        ("rows", report.rows),
        ("blocks", report.blocks),
        ("records", report.records),
        ("bytes", report.bytes),
        ("damaged", report.damaged),
    ] {
        json.uint_field(key, value);
    }
    json.key("damage");
    json.open_array();
    for damage in &report.damage {
        json.open_object();
        json.uint_field("stream_id", damage.stream.0.into());
        if let Some(name) = name(damage.stream) {
            json.string_field("stream", name);
        }
        // Without these it is not about certain messages.
        if damage.last.0 > 0 {
            json.uint_field("first_seq", damage.first.0);
            json.uint_field("last_seq", damage.last.0);
        }
        json.key("what");
        json.display(&damage.kind);
        json.close_object();
    }
    json.close_array();
    if let Some(sound) = report.pages_are_sound {
        json.bool_field("pages_are_sound", sound);
    }
    if let Some(why) = &report.stopped_by {
        json.string_field("stopped_by", why);
    }
    json.close_object();
    json.into_bytes()
}
