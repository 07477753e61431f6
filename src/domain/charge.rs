//! A charge: what a subscription owes for one billing period.

use crate::domain::word::{IllegalEvent, words};

words! {
    /// Where a charge stands.
    ChargeState is a "state of a charge" {
        /// Open; its attempt is not sent yet.
        Due = "due",
        /// An attempt is on the wire or its outcome is open.
        Collecting = "collecting",
        /// The money was taken.
        Paid = "paid",
        /// Declined; waits for the next dunning step.
        Retrying = "retrying",
        /// Declined, and no step is left.
        Uncollectible = "uncollectible",
        /// No longer owed: canceled or forgiven.
        Void = "void",
        /// Waits for a person: the catch-up rule held it back.
        Held = "held",
        /// Not owed, for the reason in the row.
        Skipped = "skipped",
        /// A person must look at it.
        InReview = "in_review",
    }
}

words! {
    /// What can happen to a charge.
    ChargeEvent is a "event of a charge" {
        /// Its attempt goes on the wire, or a pending payment was adopted.
        Send = "be sent",
        /// Its first attempt is proven not sent.
        GiveBackFirst = "be given back",
        /// A later attempt is proven not sent.
        GiveBackRetry = "be given back for its retry",
        /// A payment was captured.
        Pay = "be paid",
        /// Declined, and a dunning step is left.
        Retry = "be retried",
        /// Declined, and no step is left.
        GiveUp = "be given up",
        /// A person must look.
        Review = "be reviewed",
        /// No longer owed.
        Void = "be voided",
        /// A person released it.
        Release = "be released",
        /// A person decided not to bill it.
        Skip = "be skipped",
    }
}

words! {
    /// Why a period is not billed.
    SkipReason is a "reason to skip a period" {
        /// The catch-up rule.
        CatchUp = "catch_up",
        /// The subscription was unpaid.
        Unpaid = "unpaid",
        /// The subscription was paused.
        Paused = "paused",
    }
}

impl ChargeState {
    /// Whether money may still come of it by itself.
    pub fn is_open(self) -> bool {
        match self {
            ChargeState::Due | ChargeState::Collecting | ChargeState::Retrying | ChargeState::InReview => true,
            ChargeState::Paid
            | ChargeState::Uncollectible
            | ChargeState::Void
            | ChargeState::Held
            | ChargeState::Skipped => false,
        }
    }

    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalEvent`] where the machine knows no such step.
    pub fn after(self, event: ChargeEvent) -> Result<ChargeState, IllegalEvent> {
        use ChargeEvent as E;
        use ChargeState as S;
        let illegal =
            || Err(IllegalEvent { machine: "charge", state: self.as_str(), event: event.as_str().to_owned() });
        match (self, event) {
            (S::Due | S::Collecting | S::Retrying | S::InReview, E::Send) => Ok(S::Collecting),
            (S::Due | S::Collecting | S::Retrying | S::InReview | S::Uncollectible, E::Pay) => Ok(S::Paid),
            (S::Due | S::Collecting | S::Retrying | S::InReview | S::Uncollectible, E::Retry) => Ok(S::Retrying),
            (S::Due | S::Collecting | S::Retrying | S::InReview, E::GiveUp) => Ok(S::Uncollectible),
            (S::Due | S::Collecting | S::Retrying | S::InReview, E::Review) => Ok(S::InReview),
            (S::Due | S::Collecting | S::Retrying | S::InReview | S::Held | S::Uncollectible, E::Void) => Ok(S::Void),
            (S::Collecting, E::GiveBackFirst) => Ok(S::Due),
            (S::Collecting, E::GiveBackRetry) => Ok(S::Retrying),
            (S::Held, E::Release) => Ok(S::Due),
            (S::Held, E::Skip) => Ok(S::Skipped),
            (S::Paid, E::Pay) => Ok(S::Paid),
            // Money that came although we had let go of the claim is a fact; settle opens a review case beside it.
            (S::Void, E::Pay) => Ok(S::Paid),
            // So is money that books which were set back, or lost, took for a period that they did not bill again.
            (S::Held | S::Skipped, E::Pay) => Ok(S::Paid),
            (S::Due | S::Collecting | S::Retrying | S::InReview, _) => illegal(),
            (S::Held | S::Paid | S::Void | S::Uncollectible | S::Skipped, _) => illegal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ChargeEvent as E, ChargeState as S};

    #[test]
    fn money_may_still_come_by_itself_of_what_is_open_alone() {
        let open: Vec<S> = S::ALL.iter().copied().filter(|it| it.is_open()).collect();
        assert_eq!(open, [S::Due, S::Collecting, S::Retrying, S::InReview]);
    }

    #[test]
    fn paid_is_never_lost() {
        for &event in E::ALL {
            assert!(matches!(S::Paid.after(event), Ok(S::Paid) | Err(_)), "{event}");
        }
    }

    #[test]
    fn a_skipped_period_is_never_charged() {
        for &event in E::ALL {
            // That it was paid before, by books that were lost, is a fact and no charge.
            assert_eq!(S::Skipped.after(event).is_ok(), event == E::Pay, "{event}");
        }
    }

    #[test]
    fn only_a_person_moves_a_held_charge_or_money_that_was_taken() {
        for &event in E::ALL {
            let person = matches!(event, E::Release | E::Skip | E::Void);
            assert_eq!(S::Held.after(event).is_ok(), person || event == E::Pay, "{event}");
        }
    }
}
