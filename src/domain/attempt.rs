//! An attempt: one try to collect a charge, at most one payment at the gateway, one idempotency key.

use crate::domain::word::{IllegalEvent, words};

words! {
    /// Where an attempt stands.
    AttemptState is a "state of an attempt" {
        /// The intent is committed; certainly not sent.
        Created = "created",
        /// May be on the wire.
        Sending = "sending",
        /// The gateway gave a payment id; the outcome is open.
        Pending = "pending",
        /// Sent, and nothing proves what became of it.
        Unknown = "unknown",
        /// The money was taken.
        Captured = "captured",
        /// The wallet refused.
        Declined = "declined",
        /// The customer canceled on the wallet's page.
        Canceled = "canceled",
        /// Never completed in time.
        Expired = "expired",
        /// The gateway refused the request; certainly not charged.
        Rejected = "rejected",
        /// Proven never to have arrived.
        Absent = "absent",
        /// Another payment for the same period was adopted.
        Superseded = "superseded",
        /// Taken back before it was sent.
        Withdrawn = "withdrawn",
    }
}

words! {
    /// What can happen to an attempt.
    AttemptEvent is a "event of an attempt" {
        /// `sending` was committed.
        Send = "be sent",
        /// Proven not sent.
        GiveBack = "be given back",
        /// The answer or its proof was lost.
        Lose = "become unknown",
        /// A payment of it is known and open.
        Pend = "be pending",
        /// A payment of it was captured.
        Capture = "be captured",
        /// A payment of it was declined.
        Decline = "be declined",
        /// A payment of it was canceled.
        Cancel = "be canceled",
        /// A payment of it expired.
        Expire = "expire",
        /// The request was refused.
        Reject = "be rejected",
        /// Look-ups have proven that it never arrived.
        FindAbsent = "be found absent",
        /// Another payment was adopted.
        Supersede = "be superseded",
        /// Taken back.
        Withdraw = "be withdrawn",
    }
}

impl AttemptState {
    /// The states of which a charge may have one attempt at most.
    pub const LIVE: &[AttemptState] =
        &[AttemptState::Created, AttemptState::Sending, AttemptState::Unknown, AttemptState::Pending];

    /// Whether this attempt may still lead to a payment that we wait for.
    pub fn is_live(self) -> bool {
        Self::LIVE.contains(&self)
    }

    /// Whether a payment of it may exist whose outcome is open.
    pub fn is_on_the_wire(self) -> bool {
        self.is_live() && self != AttemptState::Created
    }

    /// The state after `event`. A later truth is accepted: declined may turn captured, absent may turn up.
    ///
    /// # Errors
    /// [`IllegalEvent`] where the protocol knows no such step.
    pub fn after(self, event: AttemptEvent) -> Result<AttemptState, IllegalEvent> {
        use AttemptEvent as E;
        use AttemptState as S;
        let illegal =
            || Err(IllegalEvent { machine: "attempt", state: self.as_str(), event: event.as_str().to_owned() });
        let answer = match event {
            E::Pend => Some(S::Pending),
            E::Capture => Some(S::Captured),
            E::Decline => Some(S::Declined),
            E::Cancel => Some(S::Canceled),
            E::Expire => Some(S::Expired),
            E::Send | E::GiveBack | E::Lose | E::Reject | E::FindAbsent | E::Supersede | E::Withdraw => None,
        };
        match (self, event) {
            (S::Created, E::Send) => Ok(S::Sending),
            (S::Created, E::Withdraw) => Ok(S::Withdrawn),
            (S::Created, E::Supersede) => Ok(S::Superseded),
            // A restored database looks first and finds the payment of its own attempt.
            (S::Created, _) => answer.map_or_else(illegal, Ok),

            (S::Sending, E::GiveBack) => Ok(S::Created),
            (S::Sending, E::Lose) => Ok(S::Unknown),
            (S::Sending, E::Reject) => Ok(S::Rejected),
            (S::Sending, E::Supersede) => Ok(S::Superseded),
            (S::Sending, _) => answer.map_or_else(illegal, Ok),

            (S::Unknown, E::Send) => Ok(S::Sending),
            (S::Unknown, E::Lose) => Ok(S::Unknown),
            (S::Unknown, E::FindAbsent) => Ok(S::Absent),
            (S::Unknown, E::Supersede) => Ok(S::Superseded),
            (S::Unknown, _) => answer.map_or_else(illegal, Ok),

            // The payment that a person named is not its own, or there is none.
            (S::Pending, E::Lose) => Ok(S::Unknown),
            (S::Pending, _) => answer.map_or_else(illegal, Ok),

            (S::Captured, E::Capture) => Ok(S::Captured),
            (S::Captured, _) => illegal(),

            (S::Declined, E::Decline) => Ok(S::Declined),
            (S::Canceled, E::Cancel) => Ok(S::Canceled),
            (S::Expired, E::Expire) => Ok(S::Expired),
            (S::Declined | S::Canceled | S::Expired, E::Capture) => Ok(S::Captured),
            (S::Declined | S::Canceled | S::Expired, _) => illegal(),

            // Books that were set back took back what they did not know to have been sent.
            (S::Absent | S::Rejected | S::Withdrawn, _) => answer.map_or_else(illegal, Ok),

            (S::Superseded, _) => illegal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AttemptEvent as E, AttemptState as S};

    #[test]
    fn every_step_of_the_protocol_is_known_and_no_other() {
        let answers = [
            (E::Pend, S::Pending),
            (E::Capture, S::Captured),
            (E::Decline, S::Declined),
            (E::Cancel, S::Canceled),
            (E::Expire, S::Expired),
        ];
        let own: &[(S, E, S)] = &[
            (S::Created, E::Send, S::Sending),
            (S::Created, E::Withdraw, S::Withdrawn),
            (S::Created, E::Supersede, S::Superseded),
            (S::Sending, E::GiveBack, S::Created),
            (S::Sending, E::Lose, S::Unknown),
            (S::Sending, E::Reject, S::Rejected),
            (S::Sending, E::Supersede, S::Superseded),
            (S::Unknown, E::Send, S::Sending),
            (S::Unknown, E::Lose, S::Unknown),
            (S::Unknown, E::FindAbsent, S::Absent),
            (S::Unknown, E::Supersede, S::Superseded),
            (S::Pending, E::Lose, S::Unknown),
            (S::Captured, E::Capture, S::Captured),
            (S::Declined, E::Decline, S::Declined),
            (S::Declined, E::Capture, S::Captured),
            (S::Canceled, E::Cancel, S::Canceled),
            (S::Canceled, E::Capture, S::Captured),
            (S::Expired, E::Expire, S::Expired),
            (S::Expired, E::Capture, S::Captured),
        ];
        let answered = [S::Created, S::Sending, S::Unknown, S::Pending, S::Absent, S::Rejected, S::Withdrawn];
        for &state in S::ALL {
            for &event in E::ALL {
                let wanted =
                    own.iter().find(|(from, by, _)| (*from, *by) == (state, event)).map(|(_, _, to)| *to).or_else(
                        || answers.iter().find(|(by, _)| *by == event && answered.contains(&state)).map(|(_, to)| *to),
                    );
                assert_eq!(state.after(event).ok(), wanted, "{state} {event}");
            }
        }
    }

    #[test]
    fn what_is_on_the_wire_is_what_lives_and_may_have_been_sent() {
        let on_the_wire = [S::Sending, S::Unknown, S::Pending];
        for &state in S::ALL {
            assert_eq!(state.is_on_the_wire(), on_the_wire.contains(&state), "{state}");
            assert_eq!(state.is_live(), state == S::Created || on_the_wire.contains(&state), "{state}");
        }
    }

    #[test]
    fn what_may_have_been_sent_is_never_created_again_but_by_proof() {
        for &state in S::ALL {
            for &event in E::ALL {
                if state.after(event) == Ok(S::Created) {
                    assert_eq!((state, event), (S::Sending, E::GiveBack));
                }
            }
        }
    }
}
