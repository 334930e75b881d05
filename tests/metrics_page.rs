//! What Prometheus reads.

use crate::util::Server;
use std::collections::HashSet;

/// The page for Prometheus, read by its rules.
pub(crate) struct Metrics(Vec<(String, f64)>);

impl Metrics {
    pub(crate) fn of(server: &Server) -> Self {
        let (status, text) = server.get("/metrics");
        assert!(status.contains("200"));
        let mut samples: Vec<(String, f64)> = Vec::new();
        let mut families = HashSet::new();
        let (mut family, mut kind) = ("", "");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                (family, kind) = rest.split_once(' ').expect(line);
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
                assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
                assert!(families.insert(family), "{family} comes in one piece");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').expect(line);
                let name = series.split('{').next().unwrap();
                let stem = match kind {
                    "histogram" => ["_bucket", "_sum", "_count"]
                        .iter()
                        .find_map(|suffix| name.strip_suffix(suffix))
                        .expect(line),
                    _ => name,
                };
                assert_eq!(stem, family, "{line}");
                samples.push((series.to_owned(), value.parse().expect(line)));
            }
        }
        let different: HashSet<&String> = samples.iter().map(|(series, _)| series).collect();
        assert_eq!(different.len(), samples.len(), "each series once");
        Metrics(samples)
    }

    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        let found = self.0.iter().find(|(have, _)| have == series);
        found.map(|(_, value)| *value)
    }

    #[track_caller]
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.get(series).unwrap_or_else(|| panic!("no {series}"))
    }

    #[cfg(feature = "streams")]
    pub(crate) fn consumer(&self, name: &str, stream: &str, consumer: &str) -> Option<f64> {
        self.get(&format!(
            "midge_consumer_{name}{{stream=\"{stream}\",consumer=\"{consumer}\"}}"
        ))
    }

    #[cfg(feature = "streams")]
    pub(crate) fn count(&self, start: &str) -> usize {
        self.0
            .iter()
            .filter(|(series, _)| series.starts_with(start))
            .count()
    }
}
