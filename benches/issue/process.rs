//! CPU and memory of the process that is measured, as the kernel counts them.

use std::fs;

/// A running process.
#[derive(Clone, Debug)]
pub(crate) struct Process(pub u32);

/// Clock ticks a second, as Linux reports CPU time to user space.
const TICKS: f64 = 100.0;

impl Process {
    /// CPU seconds used so far, user and system, all threads.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("the process runs");
        // Fields after the command name, which may hold spaces and ends with the last parenthesis.
        let fields: Vec<&str> = stat[stat.rfind(')').expect("a command") + 2..].split(' ').collect();
        let ticks = |field: usize| fields[field].parse::<f64>().expect("a count of ticks");
        (ticks(11) + ticks(12)) / TICKS
    }

    /// Resident memory in MiB: now, and at most so far.
    pub(crate) fn resident_mib(&self) -> (f64, f64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("the process runs");
        let size = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a size");
            line.split_whitespace().nth(1).expect("a size").parse::<f64>().expect("kilobytes") / 1024.0
        };
        (size("VmRSS:"), size("VmHWM:"))
    }
}

/// CPU seconds of this process, to the nanosecond.
pub(crate) fn own_cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
