//! The kinds of faults, how often each strikes, and which of them a run knows.

use std::fmt;

/// A kind of fault. How often it strikes is spelled out below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Kind {
    LostRequest,
    LostAnswer,
    ExecutedLate,
    SlowAnswer,
    DeliveredTwice,
    DuplicateAnswered,
    ErrorBefore,
    ErrorAfter,
    ErrorAfterLost,
    RateLimited,
    Garbage,
    Refused,
    KeyRefused,
    Outage,
    LookUpsDown,
    LookUpLag,
    LongPending,
    BooksBusy,
    StatementFails,
    CommitRefused,
    CommitAnswerLost,
    Crash,
    Pause,
    Restore,
    ClockJump,
    StatusFlip,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 26] = [
        Kind::LostRequest,
        Kind::LostAnswer,
        Kind::ExecutedLate,
        Kind::SlowAnswer,
        Kind::DeliveredTwice,
        Kind::DuplicateAnswered,
        Kind::ErrorBefore,
        Kind::ErrorAfter,
        Kind::ErrorAfterLost,
        Kind::RateLimited,
        Kind::Garbage,
        Kind::Refused,
        Kind::KeyRefused,
        Kind::Outage,
        Kind::LookUpsDown,
        Kind::LookUpLag,
        Kind::LongPending,
        Kind::BooksBusy,
        Kind::StatementFails,
        Kind::CommitRefused,
        Kind::CommitAnswerLost,
        Kind::Crash,
        Kind::Pause,
        Kind::Restore,
        Kind::ClockJump,
        Kind::StatusFlip,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::LostRequest => "request lost",
            Kind::LostAnswer => "answer lost",
            Kind::ExecutedLate => "executed after we gave up",
            Kind::SlowAnswer => "slow answer",
            Kind::DeliveredTwice => "delivered twice",
            Kind::DuplicateAnswered => "the duplicate's refusal answered",
            Kind::ErrorBefore => "5xx before the effect",
            Kind::ErrorAfter => "5xx after the effect",
            Kind::ErrorAfterLost => "5xx after the effect, lost",
            Kind::RateLimited => "rate limited",
            Kind::Garbage => "unreadable answer",
            Kind::Refused => "connection refused",
            Kind::KeyRefused => "secret key refused",
            Kind::Outage => "outage",
            Kind::LookUpsDown => "look-ups down",
            Kind::LookUpLag => "look-up lag",
            Kind::LongPending => "pending for long",
            Kind::BooksBusy => "books busy",
            Kind::StatementFails => "statement fails",
            Kind::CommitRefused => "commit refused",
            Kind::CommitAnswerLost => "commit's answer lost",
            Kind::Crash => "crash",
            Kind::Pause => "pause",
            Kind::Restore => "books restored",
            Kind::ClockJump => "clock jumped",
            Kind::StatusFlip => "declined turned captured",
        }
    }

    /// How often it strikes in 100,000 chances: of a write on the wire, a read there, or a point in a daemon's work.
    pub(super) fn rate(self) -> Rate {
        let (write, read, point) = match self {
            Kind::LostRequest => (2_500, 1_500, 0),
            Kind::LostAnswer => (3_500, 1_000, 0),
            Kind::ExecutedLate => (1_800, 0, 0),
            Kind::SlowAnswer => (3_000, 1_500, 0),
            Kind::DeliveredTwice => (3_500, 0, 0),
            Kind::DuplicateAnswered => (2_000, 0, 0),
            Kind::ErrorBefore => (2_000, 1_500, 0),
            Kind::ErrorAfter => (2_500, 0, 0),
            Kind::ErrorAfterLost => (1_000, 0, 0),
            Kind::RateLimited => (1_200, 1_500, 0),
            Kind::Garbage => (2_500, 2_000, 0),
            Kind::Refused => (1_500, 1_500, 0),
            Kind::BooksBusy => (0, 0, 350),
            Kind::StatementFails => (0, 0, 80),
            Kind::CommitRefused => (0, 0, 350),
            Kind::CommitAnswerLost => (0, 0, 350),
            Kind::Crash => (0, 0, 50),
            Kind::Pause => (0, 0, 60),
            // These come as episodes, with the payment, or as incidents.
            Kind::KeyRefused
            | Kind::Outage
            | Kind::LookUpsDown
            | Kind::LookUpLag
            | Kind::LongPending
            | Kind::Restore
            | Kind::ClockJump
            | Kind::StatusFlip => (0, 0, 0),
        };
        Rate { write, read, point }
    }
}

/// See [`Kind::rate`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub write: u64,
    pub read: u64,
    pub point: u64,
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// Every kind.
    pub fn all() -> Self {
        Kinds(Kind::ALL.iter().fold(0, |set, kind| set | (1 << *kind as u32)))
    }

    /// No kind.
    pub fn none() -> Self {
        Kinds(0)
    }

    /// The same without one.
    #[must_use]
    pub fn without(self, kind: Kind) -> Self {
        Kinds(self.0 & !(1 << kind as u32))
    }

    /// Whether one is in it.
    pub fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Kind::as_str).collect();
        f.write_str(if words.is_empty() { "none" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}
