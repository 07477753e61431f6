//! A payment source: the reusable wallet reference that a first Recurring payment gave.

use crate::domain::word::{IllegalEvent, words};

words! {
    /// Where a source stands.
    SourceState is a "state of a source" {
        /// Named by the gateway before the customer approved.
        Provisional = "provisional",
        /// Its first payment was captured.
        Active = "active",
        /// The customer withdrew it in the wallet.
        Revoked = "revoked",
        /// Its first payment was never captured.
        Failed = "failed",
    }
}

words! {
    /// What can happen to a source.
    SourceEvent is a "event of a source" {
        /// Its first payment was captured.
        Confirm = "be confirmed",
        /// A decline said that the authorisation is gone.
        Revoke = "be revoked",
        /// Its first payment ended without money.
        Fail = "fail",
    }
}

impl SourceState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalEvent`] where the machine knows no such step.
    pub fn after(self, event: SourceEvent) -> Result<SourceState, IllegalEvent> {
        use SourceEvent as E;
        use SourceState as S;
        let illegal =
            || Err(IllegalEvent { machine: "source", state: self.as_str(), event: event.as_str().to_owned() });
        match (self, event) {
            // A first payment that was given up may be captured late: the wallet did agree.
            (S::Provisional | S::Active | S::Failed, E::Confirm) => Ok(S::Active),
            (S::Provisional | S::Active | S::Revoked, E::Revoke) => Ok(S::Revoked),
            (S::Provisional | S::Failed, E::Fail) => Ok(S::Failed),
            (S::Active | S::Revoked, E::Fail) => illegal(),
            (S::Failed, E::Revoke) | (S::Revoked, E::Confirm) => illegal(),
        }
    }
}
