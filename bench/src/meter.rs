//! The clocks of one measurement: the wall's, the server's processor time,
//! and the generator's own, which shows whether it was in the way.

use std::io;
use std::time::{Duration, Instant};

use crate::figures::{Metric, Sample};
use crate::proc;

/// Clocks that run.
pub(crate) struct Meter {
    pid: u32,
    begun: Instant,
    server: Duration,
    load: Duration,
}

/// What the clocks showed in the end, in seconds.
pub(crate) struct Reading {
    wall: f64,
    server: f64,
    load: f64,
}

impl Meter {
    /// Starts the clocks for the server of that process id.
    pub(crate) fn start(pid: u32) -> io::Result<Self> {
        Ok(Meter {
            pid,
            server: proc::cpu(pid)?,
            load: proc::cpu(std::process::id())?,
            begun: Instant::now(),
        })
    }

    /// Stops the clocks.
    pub(crate) fn stop(&self) -> io::Result<Reading> {
        let wall = self.begun.elapsed();
        let server = proc::cpu(self.pid)? - self.server;
        let load = proc::cpu(std::process::id())? - self.load;
        Ok(Reading {
            wall: wall.as_secs_f64(),
            server: server.as_secs_f64(),
            load: load.as_secs_f64(),
        })
    }
}

impl Reading {
    /// The figures for that many messages handled meanwhile.
    pub(crate) fn sample(&self, messages: u64) -> Sample {
        let messages = messages as f64;
        Sample::from([
            (Metric::Rate, messages / self.wall),
            (Metric::CpuPerMillion, self.server / messages * 1e6),
            (Metric::ServerCores, self.server / self.wall),
            (Metric::LoadCores, self.load / self.wall),
        ])
    }
}

/// Adds the memory of the server as it is now.
pub(crate) fn add_memory(sample: &mut Sample, pid: u32) -> io::Result<()> {
    let memory = proc::memory(pid)?;
    sample.insert(Metric::Resident, memory.resident as f64);
    sample.insert(Metric::Peak, memory.peak as f64);
    Ok(())
}
