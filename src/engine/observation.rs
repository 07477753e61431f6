//! What was seen of an attempt, from whichever door it came: the input of settle.

use crate::gateway::outcome::{LookOutcome, LookUpOutcome, Payment, PostOutcome};

/// One thing seen of one attempt.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The attempt.
    pub attempt_id: i64,
    /// Its charge.
    pub charge_id: i64,
    /// The lease under which it was looked at. What a later holder decided is not undone; but a payment that exists is a fact,
    /// whoever saw it.
    pub epoch: i64,
    /// What was seen.
    pub seen: Seen,
}

/// What can be seen of an attempt.
#[derive(Debug, Clone)]
pub enum Seen {
    /// Its time to be sent has come.
    Due,
    /// The answer to its POST.
    Posted(PostOutcome),
    /// A look at its payment.
    Looked(LookOutcome),
    /// A look-up of every payment under its reference.
    LookedUp {
        /// What came.
        outcome: LookUpOutcome,
        /// Whether a look-up of another, later payment found it: proof that look-ups work. None: not asked.
        witness: Option<bool>,
    },
    /// A look-up of every payment under the reference of a charge that is audited.
    Audited(LookUpOutcome),
    /// The request that the books give is no longer the one that was frozen; it was not sent.
    BodyChanged,
}

impl Seen {
    /// The payments that it shows.
    pub(super) fn payments(&self) -> &[Payment] {
        match self {
            Seen::Posted(PostOutcome::Answered(payment) | PostOutcome::AnsweredWrong { payment, .. })
            | Seen::Looked(LookOutcome::Seen(payment)) => std::slice::from_ref(payment),
            Seen::LookedUp { outcome: LookUpOutcome::Listed(payments), .. }
            | Seen::Audited(LookUpOutcome::Listed(payments)) => payments,
            Seen::Due
            | Seen::BodyChanged
            | Seen::Posted(_)
            | Seen::Looked(_)
            | Seen::LookedUp { .. }
            | Seen::Audited(_) => &[],
        }
    }
}
