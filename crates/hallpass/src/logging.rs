//! The server's log: lines on standard error, for people or as JSON. It may be lost; the ledger may not.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{LogFormat, LogLevel};

/// Starts logging for the life of the process.
pub(crate) fn start(level: LogLevel, format: LogFormat) {
    let own = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    // SECURITY: libraries are heard only when something is wrong: below that they log addresses, headers and
    // statements, which never belong in a log of ours.
    let filter = Targets::new()
        .with_default(LevelFilter::from_level(own.min(Level::WARN)))
        .with_target("hallpass", own);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // Only a second start in one process could fail here, and its lines go to the first.
    let _ = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
}
