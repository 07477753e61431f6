//! The script: rules that say who gets which outcome, delay or fault. Pure values; a file of them is read in `file`, and which
//! rule speaks when is decided in `cast`.

pub(super) mod cast;
mod file;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;

pub use file::ScriptError;

/// Rules in order. Where several match, the first that speaks about the question at hand is obeyed.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The rules.
    pub rules: Vec<Rule>,
}

impl Script {
    /// A script of these rules.
    pub fn of(rules: impl IntoIterator<Item = Rule>) -> Self {
        Script { rules: rules.into_iter().collect() }
    }
}

/// One rule: when it speaks, and what it gives.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What errors and readers call it.
    pub name: String,
    /// All of these must hold.
    pub when: When,
    /// What happens then.
    pub gives: Effect,
}

/// Conditions; an absent one always holds.
#[derive(Debug, Clone, Default)]
pub struct When {
    /// Which requests a fault meets. Outcomes and lags are asked for when a payment is made, whatever stands here.
    pub on: On,
    /// The customer's e-mail address.
    pub customer: Option<String>,
    /// The source's id.
    pub source: Option<String>,
    /// How the payment's reference begins.
    pub reference_prefix: Option<String>,
    /// The amount, in minor units.
    pub amount_minor: Option<i64>,
    /// The merchant's own subscription reference, `metadata.subscription`.
    pub subscription: Option<String>,
    /// From this instant on.
    pub from: Option<Instant>,
    /// Before this instant.
    pub until: Option<Instant>,
    /// Every so many of the requests for which all of the above holds: the third, the sixth …
    pub every: Option<u64>,
    /// So many times in a thousand, by the seeded dice.
    pub per_mille: Option<u16>,
    /// At most this many times.
    pub times: Option<u64>,
}

/// The requests a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum On {
    /// Reads.
    Get,
    /// Writes.
    #[default]
    Post,
    /// Both.
    Any,
}

/// What a rule gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// How a payment ends, and when.
    Settle {
        /// How; none: as without the rule.
        outcome: Option<Outcome>,
        /// How long after the request; none: `settle_after` of the settings.
        after: Option<Duration>,
    },
    /// From when the payment can be seen.
    Lag {
        /// How long a look-up by reference does not find it; none: as in the settings.
        lookup: Option<Duration>,
        /// How long `GET /payments/{id}` does not find it; none: as in the settings.
        read: Option<Duration>,
    },
    /// What goes wrong with the exchange.
    Fault(Fault),
}

/// How a payment ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The money is taken. A first payment is thereby approved without a customer.
    Capture,
    /// Refused with this response code.
    Decline(String),
    /// The customer went back.
    Cancel,
    /// Nobody acted in time.
    Expire,
    /// It never ends.
    Pending,
}

/// What goes wrong with one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Never processed, no answer.
    LostRequest,
    /// Processed, no answer.
    LostResponse,
    /// Not processed, answered with this 5xx.
    ErrorBefore(u16),
    /// Processed, the key not saved, answered with this 5xx: a resend charges again.
    ErrorAfter(u16),
    /// Processed; the answer takes this long, and the key is in flight meanwhile.
    Slow(Duration),
    /// Processed, answered with JSON that breaks off.
    TruncatedBody,
    /// Processed, answered with a page of HTML.
    HtmlBody,
    /// Processed, answered with 50 MB.
    Huge,
    /// Reads show this in place of the status.
    Status(String),
    /// 401, as after a change of the key.
    Unauthorised,
    /// 403 without a body, as where this may not be done with our key.
    Forbidden,
    /// 429, as over the rate limit.
    RateLimited,
}

impl Rule {
    /// A rule that always speaks.
    pub fn new(name: &str, gives: Effect) -> Self {
        Rule { name: name.to_owned(), when: When::default(), gives }
    }

    /// A rule that declines payments with `code`.
    pub fn decline(name: &str, code: &str) -> Self {
        Rule::outcome(name, Outcome::Decline(code.to_owned()))
    }

    /// A rule that ends payments with `outcome`, at the usual time.
    pub fn outcome(name: &str, outcome: Outcome) -> Self {
        Rule::new(name, Effect::Settle { outcome: Some(outcome), after: None })
    }

    /// A rule that does harm to writes; see [`Rule::on`].
    pub fn fault(name: &str, fault: Fault) -> Self {
        let on = if matches!(fault, Fault::Status(_)) { On::Get } else { On::Post };
        Rule::new(name, Effect::Fault(fault)).on(on)
    }

    /// The same for these requests only.
    #[must_use]
    pub fn on(mut self, on: On) -> Self {
        self.when.on = on;
        self
    }

    /// The same for references that begin so.
    #[must_use]
    pub fn for_reference(mut self, prefix: &str) -> Self {
        self.when.reference_prefix = Some(prefix.to_owned());
        self
    }

    /// The same for one customer.
    #[must_use]
    pub fn for_customer(mut self, email: &str) -> Self {
        self.when.customer = Some(email.to_owned());
        self
    }

    /// The same for one source.
    #[must_use]
    pub fn for_source(mut self, source_id: &str) -> Self {
        self.when.source = Some(source_id.to_owned());
        self
    }

    /// The same at most `times` times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.when.times = Some(times);
        self
    }

    /// The same for every `every`-th request.
    #[must_use]
    pub fn every(mut self, every: u64) -> Self {
        self.when.every = Some(every);
        self
    }

    /// The same, `per_mille` times in a thousand.
    #[must_use]
    pub fn per_mille(mut self, per_mille: u16) -> Self {
        self.when.per_mille = Some(per_mille);
        self
    }

    /// The same from `from` and before `until`.
    #[must_use]
    pub fn between(mut self, from: Instant, until: Instant) -> Self {
        self.when.from = Some(from);
        self.when.until = Some(until);
        self
    }
}
