//! How the books stand when somebody looks, in the words of the table, and what a life made of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::line::{Deed, Shown};
use crate::store::charges::Filter;
use crate::store::{Store, StoreError};

/// The fences that are read.
const FENCES: u32 = 1_000;

/// A charge, and its attempts in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Charge {
    state: String,
    attempts: Vec<Attempt>,
}

/// An attempt, and how often it may have been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    n: i64,
    state: String,
    sends: i64,
}

/// How the books stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub charges: Vec<Charge>,
    /// The gateway's ids of the payments that the books have.
    pub payments: BTreeSet<String>,
    /// The reasons of the fences that were raised, the oldest first.
    pub fences: Vec<String>,
}

impl Found {
    /// Reads it.
    pub async fn of(store: &Store) -> Result<Found, StoreError> {
        let mut found = Found::default();
        for charge in store.charge_list(&Filter { limit: 10, ..Filter::default() }).await? {
            let attempts = store.attempts_shown([charge.id]).await?;
            let attempts = attempts.into_iter().map(|it| Attempt { n: it.n, state: it.state, sends: it.sends });
            found.charges.push(Charge { state: charge.state, attempts: attempts.collect() });
            found.payments.extend(store.payments_shown(charge.id).await?.into_iter().map(|it| it.gateway_payment_id));
        }
        found.fences = store.fences(FENCES).await?.into_iter().rev().map(|fence| fence.reason).collect();
        Ok(found)
    }

    /// The numbers of the attempts that may have been sent.
    pub fn sent(&self) -> BTreeSet<i64> {
        let attempts = self.charges.iter().flat_map(|charge| &charge.attempts);
        attempts.filter(|attempt| attempt.sends > 0).map(|attempt| attempt.n).collect()
    }

    /// Charge and attempts in one line.
    pub fn describe(&self) -> String {
        let mut line = String::new();
        for Charge { state, attempts } in &self.charges {
            let _never_fails = write!(line, "{}`{state}`", if line.is_empty() { "" } else { "; " });
            for Attempt { n, state, sends } in attempts {
                let _never_fails = write!(line, ", {n} `{state}`");
                if *sends > 0 {
                    let _never_fails = write!(line, " sends {sends}");
                }
            }
        }
        if line.is_empty() { "no charge".to_owned() } else { line }
    }

    /// What a life did that began with these books, ended with `after`, and did this at the gateway.
    pub fn made_of_it(&self, after: &Found, deeds: &[Deed]) -> String {
        let mut said: Vec<(String, u32)> = Vec::new();
        let mut say = |what: String| match said.last_mut() {
            Some((last, times)) if *last == what => *times += 1,
            _ => said.push((what, 1)),
        };
        for reason in after.fences.iter().skip(self.fences.len()) {
            say(format!("raised the fence (`{reason}`)"));
        }
        if self.charges.is_empty() && !after.charges.is_empty() {
            say("opened it".to_owned());
        }
        for deed in deeds {
            say(match deed {
                Deed::Sent { attempt: 1 } => "sent it".to_owned(),
                Deed::Sent { attempt } => format!("sent attempt {attempt}"),
                Deed::SentAgain { attempt: 1 } => "sent it again with its own key".to_owned(),
                Deed::SentAgain { attempt } => format!("sent attempt {attempt} again with its own key"),
                Deed::LookedUp(Shown::Nothing) => "looked it up: nothing".to_owned(),
                Deed::LookedUp(Shown::Known) => "looked it up: nothing new".to_owned(),
                Deed::LookedUp(Shown::New) => "looked it up and adopted the payment".to_owned(),
                Deed::Read => "read the payment".to_owned(),
            });
        }
        let said: Vec<String> = said
            .into_iter()
            .map(|(what, times)| if times > 1 { format!("{what} ({times} times)") } else { what })
            .collect();
        if said.is_empty() { "nothing was left to do".to_owned() } else { said.join(", ") }
    }
}
