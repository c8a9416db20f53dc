//! What the system says of a process: its processor time and its memory (proc(5)).

use std::fs;
use std::process::Child;
use std::time::Duration;

use hallpass_model::time::Timestamp;

use crate::Failure;

/// Seconds of processor time that the process has used so far, all its threads, in user and system mode.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let ticks =
        cpu_ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?).ok_or("no processor time in /proc")?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// MiB of memory that the process holds now (VmRSS).
pub(crate) fn rss_mib(pid: u32) -> Result<f64, Failure> {
    let kib = rss_kib(&fs::read_to_string(format!("/proc/{pid}/status"))?).ok_or("no VmRSS in /proc")?;
    Ok(kib as f64 / 1024.0)
}

/// A process that ends with what holds it.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What time it is.
#[expect(
    clippy::disallowed_methods,
    reason = "the server that is measured has the machine's clock, and no other"
)]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Waits.
#[expect(
    clippy::disallowed_methods,
    reason = "what is measured here is real time, which no test clock can move"
)]
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    // The command's name may hold anything, spaces and parentheses too; it ends at the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11); // state is field 3, utime 14, stime 15
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 7 0 0 0 120 34 0 0 20 0 3 0 99 1000 200";
        assert_eq!(cpu_ticks(stat), Some(154));
    }

    #[test]
    fn memory_is_read_in_kib() {
        assert_eq!(rss_kib("Name:\thallpass\nVmRSS:\t   20480 kB\nThreads:\t4\n"), Some(20480));
    }

    #[test]
    fn this_process_has_used_some_of_both() {
        assert!(rss_mib(std::process::id()).unwrap() > 0.5);
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
    }
}
