//! A subscription: an agreement to charge a source on a schedule.

use crate::domain::word::{IllegalEvent, words};

words! {
    /// Where a subscription stands.
    SubscriptionState is a "state of a subscription" {
        /// Its first payment is not captured.
        Incomplete = "incomplete",
        /// The customer let the first payment pass.
        IncompleteExpired = "incomplete_expired",
        /// Before its first paid period.
        Trialing = "trialing",
        /// Charged on schedule.
        Active = "active",
        /// A charge is in dunning; periods go on opening.
        PastDue = "past_due",
        /// Dunning ended or the source is gone; periods are skipped.
        Unpaid = "unpaid",
        /// Stopped for a while; periods are skipped.
        Paused = "paused",
        /// Ended by a decision.
        Canceled = "canceled",
        /// Ended by its own terms.
        Completed = "completed",
    }
}

words! {
    /// What can happen to a subscription.
    SubscriptionEvent is a "event of a subscription" {
        /// The first payment was captured, or the trial is over.
        Activate = "be activated",
        /// The first payment expired or was refused.
        LetPass = "expire incomplete",
        /// A charge went into dunning.
        FallBehind = "fall behind",
        /// Nothing is in dunning any more.
        Recover = "recover",
        /// Dunning ended with `suspend`, or the source was revoked.
        Suspend = "be suspended",
        /// An operator paused it.
        Pause = "be paused",
        /// The pause ended.
        Resume = "be resumed",
        /// Ended by a decision.
        Cancel = "be canceled",
        /// Ended by its own terms.
        Complete = "be completed",
    }
}

impl SubscriptionState {
    /// The states in which a period that begins gets a row, billed or skipped.
    pub const OPENS_PERIODS: &[SubscriptionState] = &[
        SubscriptionState::Trialing,
        SubscriptionState::Active,
        SubscriptionState::PastDue,
        SubscriptionState::Unpaid,
        SubscriptionState::Paused,
    ];

    /// Whether a charge of it may be sent.
    pub fn is_chargeable(self) -> bool {
        match self {
            SubscriptionState::Incomplete
            | SubscriptionState::Trialing
            | SubscriptionState::Active
            | SubscriptionState::PastDue
            | SubscriptionState::Unpaid => true,
            SubscriptionState::IncompleteExpired
            | SubscriptionState::Paused
            | SubscriptionState::Canceled
            | SubscriptionState::Completed => false,
        }
    }

    /// Whether nothing is owed any more of what was not paid.
    pub fn has_ended(self) -> bool {
        !self.is_chargeable() && self != SubscriptionState::Paused
    }

    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalEvent`] where the machine knows no such step.
    pub fn after(self, event: SubscriptionEvent) -> Result<SubscriptionState, IllegalEvent> {
        use SubscriptionEvent as E;
        use SubscriptionState as S;
        let illegal =
            || Err(IllegalEvent { machine: "subscription", state: self.as_str(), event: event.as_str().to_owned() });
        match (self, event) {
            (S::Incomplete | S::IncompleteExpired | S::Trialing, E::Activate) => Ok(S::Active),
            (S::Incomplete, E::LetPass) => Ok(S::IncompleteExpired),
            (S::Active | S::PastDue | S::Trialing, E::FallBehind) => Ok(S::PastDue),
            (S::PastDue | S::Unpaid | S::Active, E::Recover) => Ok(S::Active),
            (S::Active | S::PastDue | S::Trialing | S::Unpaid, E::Suspend) => Ok(S::Unpaid),
            (S::Active | S::PastDue, E::Pause) => Ok(S::Paused),
            (S::Paused, E::Resume) => Ok(S::Active),
            (
                S::Incomplete | S::IncompleteExpired | S::Trialing | S::Active | S::PastDue | S::Unpaid | S::Paused,
                E::Cancel,
            ) => Ok(S::Canceled),
            (S::Trialing | S::Active | S::PastDue | S::Unpaid | S::Paused, E::Complete) => Ok(S::Completed),
            // Ended is ended: a late answer changes the charge, never the agreement.
            (S::Canceled | S::Completed, _) => illegal(),
            (S::Incomplete | S::IncompleteExpired | S::Trialing, _) => illegal(),
            (S::Active | S::PastDue | S::Unpaid | S::Paused, _) => illegal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SubscriptionEvent as E, SubscriptionState as S};

    #[test]
    fn who_is_not_paused_and_has_not_ended_is_charged() {
        let charged: Vec<S> = S::ALL.iter().copied().filter(|it| it.is_chargeable()).collect();
        assert_eq!(charged, [S::Incomplete, S::Trialing, S::Active, S::PastDue, S::Unpaid]);
        let ended: Vec<S> = S::ALL.iter().copied().filter(|it| it.has_ended()).collect();
        assert_eq!(ended, [S::IncompleteExpired, S::Canceled, S::Completed]);
    }

    #[test]
    fn an_ended_subscription_stays_ended() {
        for state in [S::Canceled, S::Completed] {
            assert!(!state.is_chargeable());
            for &event in E::ALL {
                assert!(state.after(event).is_err(), "{state} {event}");
            }
        }
    }

    #[test]
    fn cancel_ends_every_subscription_that_has_not_ended() {
        for &state in S::ALL {
            let ended = matches!(state, S::Canceled | S::Completed);
            assert_eq!(state.after(E::Cancel).is_err(), ended, "{state}");
        }
    }
}
