//! How a command fails: a chain of causes as one line, an exit code for the shell, and with --json an object whose kind a program can
//! go by.

use serde_json::{Value, json};

use super::exit;
use crate::config;
use crate::domain::word::words;
use crate::engine::asked::AskError;
use crate::engine::begin::BeginError;
use crate::engine::cancel::CancelError;
use crate::engine::erase::EraseError;
use crate::engine::greet::Untimely;
use crate::engine::lift::LiftError;
use crate::engine::pause::PauseError;
use crate::interfaces::verify::CompareError;
use crate::store::StoreError;

/// The config is wrong; the faults say where.
#[derive(Debug, thiserror::Error)]
#[error("the config is wrong:\n{0}")]
pub struct WrongConfig(pub String);

/// The command line lacks something that clap cannot know of.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(pub &'static str);

/// What was asked for does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(pub String);

words! {
    /// What a program tells failures apart by. Words are added, never changed.
    Kind is a "kind of failure" {
        /// The command line is wrong.
        Usage = "usage",
        /// The config or the secret key is wrong, or not that of these books.
        Config = "config",
        /// What was asked for does not exist.
        NotFound = "not_found",
        /// As things stand in the books, or by the clock, it may not be done.
        Refused = "refused",
        /// The database could not be opened, read or written.
        Database = "database",
        /// The gateway answered, and refuses.
        GatewayRefused = "gateway_refused",
        /// The gateway did not answer.
        GatewayAway = "gateway_away",
        /// Anything else; the message says what.
        Failed = "failed",
    }
}

impl Kind {
    /// The kind of an error, by the first of its chain that tells.
    pub fn of(error: &anyhow::Error) -> Kind {
        error.chain().find_map(Kind::of_cause).unwrap_or(Kind::Failed)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Kind> {
        if let Some(store) = cause.downcast_ref::<StoreError>() {
            return Some(match store {
                StoreError::Url(_) => Kind::Config,
                _ if store.is_of_other_books() => Kind::Config,
                _ => Kind::Database,
            });
        }
        let by_type = [
            (cause.is::<WrongConfig>() || cause.is::<config::secret::SecretError>(), Kind::Config),
            (cause.is::<NotFound>(), Kind::NotFound),
            (cause.is::<WrongUsage>(), Kind::Usage),
            (matches!(cause.downcast_ref(), Some(Untimely::Silent)), Kind::GatewayAway),
            (matches!(cause.downcast_ref(), Some(Untimely::Wrong(_))), Kind::Refused),
            (matches!(cause.downcast_ref(), Some(CompareError::Refused(_))), Kind::GatewayRefused),
            (is_an_acts_refusal(cause), Kind::Refused),
        ];
        by_type.into_iter().find_map(|(is_it, kind)| is_it.then_some(kind))
    }

    /// The exit code of such a failure.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => exit::USAGE,
            Kind::Config => exit::CONFIG,
            Kind::NotFound => exit::NOT_FOUND,
            Kind::Refused | Kind::Database | Kind::GatewayRefused | Kind::GatewayAway | Kind::Failed => exit::FAILED,
        }
    }
}

/// Whether an act of an operator was not done for a reason other than books that failed.
fn is_an_acts_refusal(cause: &(dyn std::error::Error + 'static)) -> bool {
    let begun = matches!(cause.downcast_ref(), Some(error) if !matches!(error, BeginError::Engine(_)));
    let asked = matches!(cause.downcast_ref(), Some(error) if !matches!(error, AskError::Engine(_)));
    let paused = matches!(cause.downcast_ref(), Some(error) if !matches!(error, PauseError::Engine(_)));
    let canceled = matches!(cause.downcast_ref(), Some(error) if !matches!(error, CancelError::Engine(_)));
    let lifted = matches!(cause.downcast_ref(), Some(error) if !matches!(error, LiftError::Engine(_)));
    let erased = matches!(cause.downcast_ref(), Some(error) if !matches!(error, EraseError::Engine(_)));
    begun || asked || paused || canceled || lifted || erased
}

/// An error and its causes in one line. Some libraries repeat a cause in the text above it, or end it with an empty line; it is told
/// once, and without that.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        let cause = cause.trim_end();
        if text.is_empty() {
            cause.clone_into(&mut text);
        } else if !text.ends_with(cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The exit code of an error.
pub fn code_of(error: &anyhow::Error) -> u8 {
    Kind::of(error).exit_code()
}

/// What --json prints of a failure, on one line.
pub fn document(kind: Kind, message: &str) -> Value {
    json!({ "error": { "kind": kind.as_str(), "message": message, "exit_code": kind.exit_code() } })
}

/// Prints a failure: its text on standard error, and with --json its document on standard output. The exit code to end with.
pub fn print(error: &anyhow::Error, as_json: bool) -> u8 {
    let kind = Kind::of(error);
    let text = told(error);
    if as_json {
        // Standard output that fails too leaves the text on standard error.
        drop(super::output::line(&document(kind, &text).to_string()));
    }
    super::output::remark(&text);
    kind.exit_code()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;
    use crate::engine::EngineError;

    #[test]
    fn a_cause_is_told_once_and_without_an_empty_line() {
        let refused = || std::io::Error::from_raw_os_error(111);
        let repeats = anyhow::Error::new(refused()).context(format!("no connection: {}", refused()));
        assert_eq!(
            told(&repeats.context("nothing was read")),
            format!("nothing was read: no connection: {}", refused())
        );
        assert_eq!(told(&anyhow::anyhow!("b\n").context("a")), "a: b");
    }

    #[test]
    fn a_program_tells_failures_apart() {
        let database = || StoreError::Moved { table: "charges" };
        let engine = || EngineError::of("ask")(database());
        let pinned = StoreError::Pinned {
            what: "url",
            configured: "https://a.example".into(),
            pinned: "https://b.example".into(),
        };
        for (error, kind, code) in [
            (anyhow::anyhow!("odd"), Kind::Failed, 1),
            (anyhow::Error::new(database()).context("nothing was read"), Kind::Database, 1),
            (AskError::Engine(engine()).into(), Kind::Database, 1),
            (AskError::Clock.into(), Kind::Refused, 1),
            (AskError::Moved("chg_1".into()).into(), Kind::Refused, 1),
            (PauseError::Clock.into(), Kind::Refused, 1),
            (LiftError::RaisedMeanwhile.into(), Kind::Refused, 1),
            (Untimely::Silent.into(), Kind::GatewayAway, 1),
            (Untimely::Engine(engine()).into(), Kind::Database, 1),
            (pinned.into(), Kind::Config, 78),
            (WrongConfig("faults".into()).into(), Kind::Config, 78),
            (anyhow::Error::new(NotFound("gone".into())).context("looking"), Kind::NotFound, 4),
            (WrongUsage("say which").into(), Kind::Usage, 2),
        ] {
            assert_eq!((Kind::of(&error), code_of(&error)), (kind, code), "{error:?}");
        }
        let text = document(Kind::GatewayAway, "no answer").to_string();
        assert_eq!(text, r#"{"error":{"exit_code":1,"kind":"gateway_away","message":"no answer"}}"#);
    }

    #[test]
    fn the_help_and_the_readme_name_every_kind() {
        let help = Cli::command().get_after_help().map(ToString::to_string).unwrap_or_default();
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap_or_default();
        for kind in Kind::ALL {
            assert!(help.contains(&format!(" {kind}")), "{kind} is not in `dues --help`");
            assert!(readme.contains(&format!("`{kind}`")), "{kind} is not in README.md");
        }
    }
}
