//! Calls into parts of a system that may wait for a person, or for ever.

use std::sync::mpsc;
use std::time::Duration;

use super::Fault;

/// How long one operation of any rung may take: what works answers in milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Waits for the answer, and no longer. A call that never ends keeps its thread, which ends with the process.
#[cfg_attr(not(any(test, target_os = "macos")), expect(dead_code, reason = "Linux's rungs bound themselves"))]
pub(super) fn bounded<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let (answer, answered) = mpsc::sync_channel(1);
    std::thread::spawn(move || answer.send(call()));
    let gone = |_| Fault::Failing("does not answer in time".into());
    answered.recv_timeout(PATIENCE).map_err(gone)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_never_ends_is_given_up_on_in_time() {
        assert_eq!(bounded(|| Ok(1)), Ok(1));
        let (_held, never) = mpsc::channel::<()>();
        let started = std::time::Instant::now();
        let outcome = bounded(move || never.recv().map_err(|_| Fault::Absent(String::new())));
        assert!(matches!(outcome, Err(Fault::Failing(_))));
        assert!(started.elapsed() >= PATIENCE && started.elapsed() < PATIENCE * 3);
    }
}
