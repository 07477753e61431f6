//! What is played: ways in which the gateway and the books make a charge hard, each small enough to die at every point of it.

use std::time::Duration;

use super::deaths::{POST, Place, Point};
use crate::sandbox::{Effect, Fault, Rule};

/// When the daemon of most scenarios starts: ten seconds before the period begins.
const BEFORE_THE_PERIOD: &str = "2026-01-20T01:59:50Z";

/// One course of a single charge.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What it is called in the table.
    pub title: &'static str,
    /// What happens in it when nobody dies.
    pub story: &'static str,
    /// When the daemon starts whose points are played.
    pub(super) begins: &'static str,
    /// What went before.
    pub(super) prelude: Prelude,
    /// What the gateway does.
    pub(super) rules: fn() -> Vec<Rule>,
    /// Settings.
    pub(super) flags: &'static [(&'static str, &'static str)],
    /// From where on points are played. What comes before is the same as in the first scenario.
    pub(super) from: From,
}

/// What went before the daemon whose points are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prelude {
    /// A daemon that was stopped in good time.
    Nothing,
    /// A daemon that died on this side of its first POST.
    Died(Place),
    /// A daemon that charged; then the books were set back to before that, while what stands outside them was not.
    SetBack,
}

/// From where on points are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Start,
    Post,
}

impl From {
    /// The number of the first point that is played.
    pub fn first(self, points: &[Point]) -> usize {
        match self {
            From::Start => 0,
            From::Post => points.iter().position(|point| point.name == POST).unwrap_or_default(),
        }
    }
}

/// No gap is seen in them, and daemons come round rarely.
const QUIET: &[(&str, &str)] = &[("protocol.gap", "366d"), ("audit.ages", ""), LOOKS];
const AUDITED: &[(&str, &str)] = &[("protocol.gap", "366d"), ("audit.ages", "1h"), LOOKS];
const WATCHED: &[(&str, &str)] = &[("protocol.gap", "10m"), ("audit.ages", ""), LOOKS];
/// Fewer looks than by default: each has the same points.
const LOOKS: (&str, &str) = ("protocol.lookup_after", "0s, 2m");

const USUAL: Scenario = Scenario {
    title: "",
    story: "",
    begins: BEFORE_THE_PERIOD,
    prelude: Prelude::Nothing,
    rules: Vec::new,
    flags: QUIET,
    from: From::Post,
};

impl Scenario {
    /// Every one.
    pub const ALL: [Scenario; 10] = [
        Scenario {
            title: "A charge, from the start of the daemon to the audit",
            story: "The daemon starts, the period begins, the charge is opened, sent, pending, read as captured after 75 s, and looked \
                    up again after an hour.",
            flags: AUDITED,
            from: From::Start,
            ..USUAL
        },
        Scenario {
            title: "Pending for long",
            story: "The wallet takes three minutes: the payment is read twice.",
            rules: || {
                let after = Some(Duration::from_mins(3));
                vec![Rule::new("slow", Effect::Settle { outcome: None, after })]
            },
            ..USUAL
        },
        Scenario {
            title: "The answer is lost",
            story: "The gateway makes the payment and the answer does not arrive; look-ups show the payment after a minute.",
            rules: || vec![lag(60), Rule::fault("lost", Fault::LostResponse).times(1)],
            ..USUAL
        },
        Scenario {
            title: "The request is lost",
            story: "The request never reaches the gateway. Look-ups find nothing for 15 minutes; it is sent again with its own key.",
            rules: || vec![Rule::fault("lost", Fault::LostRequest).times(1)],
            ..USUAL
        },
        Scenario {
            title: "A decline, and the second attempt",
            story: "The wallet is empty; the next attempt is opened a day later, looked up first, sent, and captured.",
            rules: || vec![Rule::decline("empty", "20051").times(1)],
            ..USUAL
        },
        Scenario {
            title: "An error after the effect",
            story: "The gateway makes the payment, answers 502 and forgets the key: a resend would charge again. Look-ups show the \
                    payment after a minute and a half.",
            rules: || vec![lag(90), Rule::fault("hidden", Fault::ErrorAfter(502)).times(1)],
            ..USUAL
        },
        Scenario {
            title: "A start after a death before the request went out",
            story: "The daemon before died with `sending` committed and nothing sent.",
            prelude: Prelude::Died(Place::Call),
            from: From::Start,
            ..USUAL
        },
        Scenario {
            title: "A start after a death before the answer was heard",
            story: "The daemon before died when the gateway had made the payment.",
            prelude: Prelude::Died(Place::Called),
            from: From::Start,
            ..USUAL
        },
        Scenario {
            title: "A start after fourteen hours",
            story: "No daemon came round for longer than `protocol.gap`: the start raises the fence, and what is due is looked up before \
                    it is sent.",
            begins: "2026-01-20T16:00:00Z",
            flags: WATCHED,
            from: From::Start,
            ..USUAL
        },
        Scenario {
            title: "Books that were set back by minutes",
            story: "A daemon charged, then the books lost that, as a fail-over may: the mark outside them tells, the start raises the \
                    fence, and the look-up before the send adopts the payment.",
            prelude: Prelude::SetBack,
            flags: WATCHED,
            from: From::Start,
            ..USUAL
        },
    ];
}

fn lag(seconds: u64) -> Rule {
    Rule::new("seen late", Effect::Lag { lookup: Some(Duration::from_secs(seconds)), read: None })
}
