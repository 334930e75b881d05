//! Time zones, as the files of the system's database describe them.
//!
//! Schedules lie ahead: of each zone what is kept are the changes that are
//! listed from [`KEPT_FROM`] on, and the rule for the time after them. Leap
//! seconds are not known to anybody here, so zones that have them are none.

use super::zone_rule::Rule;
use crate::order::in_order;
use std::sync::Arc;

/// The start of 2026 in seconds since 1970. Who asks for an earlier time is
/// told what held then.
const KEPT_FROM: i64 = 1_767_225_600;

/// How far a clock is ahead of UTC, and when that changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone {
    /// What holds first, in seconds.
    first: i32,
    /// From when on what holds, in order.
    changes: Vec<(i64, i32)>,
    /// What holds after the last of them, if it goes on changing.
    rule: Option<Rule>,
}

impl Zone {
    /// Reads a file of the system's database (TZif). `None` if it is none, or
    /// counts leap seconds.
    pub fn parse(file: &[u8]) -> Option<Zone> {
        let mut header = Header::read(file)?;
        let mut rest = file.get(HEADER_LEN..)?;
        let mut time_len = 4;
        if header.version > 0 {
            rest = rest.get(header.data_len(4)?..)?;
            header = Header::read(rest)?;
            rest = rest.get(HEADER_LEN..)?;
            time_len = 8;
        }
        if header.leaps > 0 {
            return None;
        }
        let times = rest.get(..header.times.checked_mul(time_len)?)?;
        let kinds = rest.get(times.len()..times.len() + header.times)?;
        let types = rest.get(times.len() + header.times..)?;
        let offset = |kind: usize| -> Option<i32> {
            let bytes = types.get(kind * TYPE_LEN..)?.first_chunk()?;
            (kind < header.types).then_some(i32::from_be_bytes(*bytes))
        };
        let mut zone = Zone {
            first: offset(0)?,
            ..Zone::default()
        };
        for (time, kind) in times.chunks_exact(time_len).zip(kinds) {
            let at = match time.first_chunk() {
                Some(long) => i64::from_be_bytes(*long),
                None => i64::from(i32::from_be_bytes(*time.first_chunk()?)),
            };
            let offset = offset(usize::from(*kind))?;
            if at < KEPT_FROM {
                zone.first = offset;
            } else {
                zone.changes.push((at, offset));
            }
        }
        let footer = rest.get(header.data_len(time_len)?..).unwrap_or_default();
        let text = footer
            .strip_prefix(b"\n")
            .and_then(|rest| rest.strip_suffix(b"\n"));
        if header.version > 0
            && let Some(text) = text.filter(|text| !text.is_empty())
        {
            zone.rule = Some(Rule::parse(text)?);
        }
        Some(zone)
    }

    /// How many seconds its clock is ahead of UTC at a time, in seconds since
    /// 1970.
    pub(crate) fn offset(&self, at: i64) -> i64 {
        let passed = self.changes.partition_point(|(from, _)| *from <= at);
        if passed == self.changes.len()
            && let Some(rule) = &self.rule
            && at >= KEPT_FROM
        {
            return rule.offset(at);
        }
        let last = passed.checked_sub(1).map(|last| self.changes[last].1);
        i64::from(last.unwrap_or(self.first))
    }
}

/// All zones that the system knows.
#[derive(Debug, Clone, Default)]
pub struct Zones {
    /// By name.
    zones: Vec<(Box<str>, Arc<Zone>)>,
}

impl Zones {
    /// Of names and what they mean. There is always one called `UTC`, and
    /// `Local`, which is the same unless it is given.
    pub fn new(mut zones: Vec<(Box<str>, Arc<Zone>)>) -> Zones {
        for always in ["UTC", "Local"] {
            if !zones.iter().any(|(name, _)| **name == *always) {
                zones.push((always.into(), Arc::default()));
            }
        }
        let order = in_order(zones.len(), &|a, b| zones[a].0.cmp(&zones[b].0));
        let zones = order.into_iter().map(|at| zones[at].clone()).collect();
        Zones { zones }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Zone> {
        let place = self
            .zones
            .binary_search_by(|(other, _)| (**other).cmp(name));
        place.ok().map(|place| &*self.zones[place].1)
    }
}

const HEADER_LEN: usize = 44;
const TYPE_LEN: usize = 6;

/// What stands at the head of a file, and once more before its longer half.
struct Header {
    version: u8,
    /// Indicators, of which nothing is needed but their number.
    indicators: usize,
    leaps: usize,
    times: usize,
    types: usize,
    letters: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Header> {
        let head: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let number = |at: usize| {
            let word = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            usize::try_from(u32::from_be_bytes(word)).ok()
        };
        if !head.starts_with(b"TZif") {
            return None;
        }
        Some(Header {
            version: head[4],
            indicators: number(20)?.checked_add(number(24)?)?,
            leaps: number(28)?,
            times: number(32)?,
            types: number(36)?,
            letters: number(40)?,
        })
    }

    /// What follows it, where a time takes so many bytes.
    fn data_len(&self, time_len: usize) -> Option<usize> {
        let times = self.times.checked_mul(time_len + 1)?;
        let types = self.types.checked_mul(TYPE_LEN)?;
        let leaps = self.leaps.checked_mul(time_len + 4)?;
        let sum = times.checked_add(types)?.checked_add(leaps)?;
        sum.checked_add(self.letters)?.checked_add(self.indicators)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_api::Timestamp;
    use proptest::prelude::*;

    /// A file with one change in 2030 and a rule after it, as `zic` writes it.
    fn file(rule: &str) -> Vec<u8> {
        let half = |time_len: usize| {
            let mut bytes = b"TZif2".to_vec();
            bytes.resize(20, 0);
            for number in [0, 0, 0, 1, 2, 8u32] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            let at = 1_900_000_000i64.to_be_bytes();
            bytes.extend_from_slice(&at[8 - time_len..]);
            bytes.push(1);
            for (offset, letters) in [(3600i32, 0), (7200, 4)] {
                bytes.extend_from_slice(&offset.to_be_bytes());
                bytes.extend_from_slice(&[0, letters]);
            }
            bytes.extend_from_slice(b"AAA\0BBB\0");
            bytes
        };
        let mut file = half(4);
        file.extend(half(8));
        file.extend_from_slice(format!("\n{rule}\n").as_bytes());
        file
    }

    #[test]
    fn a_zone_is_what_its_file_says() {
        let zone = Zone::parse(&file("<+04>-4")).expect("it is whole");
        assert_eq!(zone.offset(0), 3600);
        assert_eq!(zone.offset(1_899_999_999), 3600);
        // What comes behind the last change is the rule's business.
        assert_eq!(zone.offset(1_900_000_000), 14_400);
        let zone = Zone::parse(&file("")).expect("it is whole");
        assert_eq!(zone.offset(1_900_000_000), 7200);
        assert_eq!(Zone::parse(&file("nonsense")), None);
    }

    #[test]
    fn summer_comes_and_goes() {
        let zone = Zone::parse(&file("CET-1CEST,M3.5.0,M10.5.0/3")).expect("it is whole");
        let at =
            |text: &str| zone.offset(Timestamp::parse(text).expect("a time").0 / 1_000_000_000);
        assert_eq!(at("2031-03-30T00:59:59Z"), 3600);
        assert_eq!(at("2031-03-30T01:00:00Z"), 7200);
        assert_eq!(at("2031-10-26T00:59:59Z"), 7200);
        assert_eq!(at("2031-10-26T01:00:00Z"), 3600);
    }

    #[test]
    fn zones_are_found_by_their_name() {
        let zones = Zones::new(vec![(
            "A/B".into(),
            Arc::new(Zone {
                first: 60,
                ..Zone::default()
            }),
        )]);
        assert_eq!(zones.get("A/B").map(|zone| zone.offset(0)), Some(60));
        assert_eq!(zones.get("UTC").map(|zone| zone.offset(0)), Some(0));
        assert!(zones.get("Local").is_some() && zones.get("a/b").is_none());
    }

    proptest! {
        #[test]
        fn damage_does_no_harm(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            len in any::<prop::sample::Index>(),
        ) {
            let mut file = file("CET-1CEST,M3.5.0,M10.5.0/3");
            let at = at.index(file.len());
            file[at] = byte;
            file.truncate(len.index(file.len()) + 1);
            if let Some(zone) = Zone::parse(&file) {
                zone.offset(2_000_000_000);
            }
        }
    }
}
