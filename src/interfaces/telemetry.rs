//! Where log lines go, and how they look: the systemd journal with its fields, text on standard error, or JSON lines there.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

use tracing::Subscriber;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::config::{Log, LogFormat};

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not understood.
    #[error("log.filter is not understood; write a level, and levels by module, such as \"info,sqlx=warn\"")]
    Filter(#[source] ParseError),
    /// The journal was demanded and is not there.
    #[error("the systemd journal cannot be opened, but log.format is \"journal\"; write \"auto\" or \"text\"")]
    Journal(#[source] std::io::Error),
    /// Telemetry was started twice in one process.
    #[error("logging was already started")]
    AlreadyStarted(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// What was found around the process when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    /// Standard error is connected to the journal.
    pub journal: bool,
    /// Standard error is a terminal whose user did not refuse colour.
    pub colour: bool,
}

impl Surroundings {
    /// Looks at `JOURNAL_STREAM`, `NO_COLOR` and standard error.
    pub fn of_this_process() -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Surroundings {
            journal: std::env::var_os("JOURNAL_STREAM").is_some_and(|stream| is_standard_error(&stream)),
            colour: std::io::stderr().is_terminal() && !no_colour,
        }
    }
}

/// Starts logging for the whole process.
///
/// # Errors
/// [`TelemetryError`]; with `auto` a journal that cannot be opened is none, because text on standard error reaches it as well.
pub fn start(log: &Log, surroundings: Surroundings) -> Result<(), TelemetryError> {
    let filter: Targets = log.filter.parse().map_err(TelemetryError::Filter)?;
    let layer = match (log.format, surroundings.journal) {
        (LogFormat::Journal, _) => journal().map_err(TelemetryError::Journal)?,
        (LogFormat::Auto, true) => journal().unwrap_or_else(|_| text(surroundings.colour)),
        (LogFormat::Auto, false) | (LogFormat::Text, _) => text(surroundings.colour),
        (LogFormat::Json, _) => json(),
    };
    let subscriber = Registry::default().with(layer.with_filter(filter));
    tracing::subscriber::set_global_default(subscriber).map_err(TelemetryError::AlreadyStarted)
}

type Lines<S> = Box<dyn Layer<S> + Send + Sync>;

fn journal<S: Subscriber + for<'a> LookupSpan<'a>>() -> std::io::Result<Lines<S>> {
    Ok(Box::new(tracing_journald::layer()?.with_syslog_identifier("dues".to_owned())))
}

// A line that cannot be written is dropped without a word in both: complaining on a closed standard error would panic.

fn text<S: Subscriber + for<'a> LookupSpan<'a>>(colour: bool) -> Lines<S> {
    Box::new(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour).log_internal_errors(false))
}

fn json<S: Subscriber + for<'a> LookupSpan<'a>>() -> Lines<S> {
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).log_internal_errors(false);
    Box::new(layer.json().flatten_event(true))
}

/// Whether a stream, named by device and inode, is standard error. A child that redirected it inherits the variable all the same.
fn is_standard_error(stream: &OsStr) -> bool {
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|metadata| stream.to_str() == Some(&format!("{}:{}", metadata.dev(), metadata.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(format: LogFormat, filter: &str) -> Log {
        Log { format, filter: filter.to_owned() }
    }

    #[test]
    fn a_stream_that_is_not_standard_error_is_not_the_journal() {
        let metadata = std::fs::metadata("/proc/self/fd/2").unwrap();
        let own = format!("{}:{}", metadata.dev(), metadata.ino());
        assert!(is_standard_error(OsStr::new(&own)));
        for other in ["", "0:0", "8", "journal"] {
            assert!(!is_standard_error(OsStr::new(other)), "{other}");
        }
    }

    #[test]
    fn a_filter_that_is_not_understood_stops_the_start() {
        let surroundings = Surroundings { journal: false, colour: false };
        let refused = start(&log(LogFormat::Text, "loud=9"), surroundings);
        assert!(matches!(refused, Err(TelemetryError::Filter(_))), "{refused:?}");
    }

    #[test]
    fn logging_starts_once() {
        let surroundings = Surroundings { journal: true, colour: false };
        assert!(start(&log(LogFormat::Auto, "info,sqlx=warn"), surroundings).is_ok(), "auto works without a journal");
        let again = start(&log(LogFormat::Json, "info"), surroundings);
        assert!(matches!(again, Err(TelemetryError::AlreadyStarted(_))), "{again:?}");
    }
}
