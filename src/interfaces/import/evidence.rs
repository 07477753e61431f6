//! Evidence: what the gateway says of the first payments that were made elsewhere. Only a captured payment that agrees with its row is
//! any; what could not be looked up is not guessed.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::domain::calendar::local_date;
use crate::engine::hand_over::{Acceptable, HandOver};
use crate::gateway::budget::TokenBucket;
use crate::gateway::outcome::{LookOutcome, Payment, PaymentStatus};
use crate::gateway::payments::Client;

/// Look-ups under way at one time.
const AT_ONCE: usize = 16;
/// After the gateway said that we ask too much, nothing is looked up for so long.
const AFTER_RATE_LIMIT: TimeDelta = TimeDelta::seconds(1);

/// Where first payments are looked up.
#[derive(Debug)]
pub enum Evidence {
    /// At the gateway.
    Gateway(Desk),
    /// Nowhere, as the operator wants it; why. Rows are entered all the same.
    Nowhere(&'static str),
    /// Nowhere, although it should be; why. Rows that need it are rejected.
    Barred(String),
    /// Nowhere yet: every row counts as good, so that nothing is missed by who only counts.
    Presumed,
}

/// The look-ups of one import.
#[derive(Debug)]
pub struct Desk {
    client: Client,
    budget: TokenBucket,
    clock: Clock,
    /// Once our key is refused, every further look-up would be.
    refused: Option<u16>,
}

impl Desk {
    /// Look-ups by `client`, at most `budget` of them a second.
    pub fn new(client: Client, budget: TokenBucket, clock: Clock) -> Self {
        Desk { client, budget, clock, refused: None }
    }

    /// What became of each of these payments, by id.
    pub async fn look(&mut self, ids: Vec<String>) -> BTreeMap<String, LookOutcome> {
        let mut found = BTreeMap::new();
        let mut waiting = ids.into_iter().peekable();
        while waiting.peek().is_some() {
            let granted = match self.refused {
                Some(_) => AT_ONCE,
                None => self.grant().await,
            };
            let mut under_way = JoinSet::new();
            for id in waiting.by_ref().take(granted) {
                if let Some(status) = self.refused {
                    found.insert(id, LookOutcome::OurFault { status });
                    continue;
                }
                let (client, meter) = self.client.metered();
                under_way.spawn(async move {
                    let outcome = client.payment(&id).await;
                    (id, outcome, meter.reads())
                });
            }
            while let Some(looked) = under_way.join_next().await {
                // A look-up that panicked leaves its row without an answer, which is no evidence.
                let Ok((id, outcome, reads)) = looked else { continue };
                // The code of a declined payment is a read of its own, for which none was granted.
                let now = self.clock.now();
                self.budget.debit(now, reads.made.saturating_sub(1));
                if reads.rate_limited {
                    self.budget.pause_until(now + AFTER_RATE_LIMIT);
                }
                if let LookOutcome::OurFault { status } = &outcome {
                    self.refused = Some(*status);
                }
                found.insert(id, outcome);
            }
        }
        found
    }

    async fn grant(&mut self) -> usize {
        loop {
            let now = self.clock.now();
            let most = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
            let granted = usize::try_from(self.budget.take(now, most)).unwrap_or_default();
            if granted > 0 {
                return granted;
            }
            let wait = self.budget.next_at(now).and_then(|next| (next - now).to_std().ok()).unwrap_or_default();
            tokio::time::sleep(wait).await;
        }
    }
}

/// The source that the payment tells, where it is evidence for the row.
///
/// # Errors
/// Why it is none, fit for an operator.
pub fn judge(
    hand_over: &HandOver,
    accepted: &Acceptable,
    outcome: Option<&LookOutcome>,
) -> Result<Option<String>, String> {
    match outcome {
        Some(LookOutcome::Seen(payment)) => agrees(hand_over, accepted, payment),
        Some(LookOutcome::NotFound) => Err("first_payment_id is not known to the gateway".to_owned()),
        Some(LookOutcome::OurFault { status }) => later(&format!("the gateway refuses our key: HTTP {status}")),
        Some(LookOutcome::RateLimited) => later("the gateway limits our rate"),
        Some(LookOutcome::NoConclusion { reason, .. }) => later(&reason.to_string()),
        None => later("no answer"),
    }
}

/// The verdict on a row that may be good another time.
pub fn later(why: &str) -> Result<Option<String>, String> {
    Err(format!("first_payment_id could not be looked up ({why}); import the rejects file again later"))
}

fn agrees(hand_over: &HandOver, accepted: &Acceptable, payment: &Payment) -> Result<Option<String>, String> {
    match &payment.status {
        PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded => {}
        other => return Err(format!("first_payment_id is {}, not Captured", other.word())),
    }
    // The payment's own reference is the shop's name for the payment, not for the subscription, and may be anything.
    if payment.subscription.as_ref().is_some_and(|subscription| *subscription != hand_over.reference) {
        return Err("first_payment_id was made for another subscription, says its metadata".to_owned());
    }
    // When it was captured the answer does not tell; it was soon after it was asked for.
    if let Some(paid_at) = payment.requested_on
        && accepted.is_paid_by(paid_at)
    {
        return Err(format!(
            "first_payment_id was made on {} and has paid a period that would be charged again at once: give next_charge_on, the first \
             day of the first period that is not paid",
            local_date(&hand_over.zone, paid_at)
        ));
    }
    match &payment.source_id {
        Some(source) if !hand_over.source_id.is_empty() && *source != hand_over.source_id => {
            Err("first_payment_id made another source than source_id".to_owned())
        }
        None if hand_over.source_id.is_empty() => {
            Err("source_id is missing and the payment does not tell it, which its look-up does not promise".to_owned())
        }
        source => Ok(source.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::clock::instant_from_micros;
    use crate::sandbox::{self, HttpRequest, Rule, Sandbox, Script};

    #[tokio::test]
    async fn the_code_of_a_declined_payment_costs_a_read_of_its_own() {
        let clock = Clock::manual(instant_from_micros(1_800_000_000_000_000));
        let settings = sandbox::Settings { settle_after: Duration::ZERO, ..sandbox::Settings::default() };
        let key = settings.secret_key.clone();
        let gateway = Sandbox::new(settings, Script::of([Rule::decline("poor", "20051")]), clock.clone(), 7);
        let answer = gateway.handle(HttpRequest {
            method: crate::gateway::transport::Method::Post,
            path: "/payments",
            authorization: Some("Bearer sk_sbox_simulated"),
            idempotency_key: Some("key"),
            body: br#"{"source": {"type": "id", "id": "src_a"}, "amount": 1100, "currency": "HKD", "payment_type": "Recurring",
                "merchant_initiated": true, "reference": "r", "customer": {"email": "wallet@example.com"},
                "items": [{"name": "Plan", "reference": "plan", "unit_price": 1100, "quantity": 1}]}"#,
        });
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("it is JSON");
        let id = body["id"].as_str().expect("it has an id").to_owned();
        clock.advance(Duration::from_secs(1));
        let now = clock.now();
        let budget = TokenBucket::new(NonZeroU32::new(10));
        let mut desk = Desk::new(Client::new(gateway.in_process(), &key), budget, clock);
        let found = desk.look(vec![id]).await;
        assert!(matches!(found.values().next(), Some(LookOutcome::Seen(it)) if it.status == PaymentStatus::Declined));
        // The burst held one token, and two reads were made.
        assert_eq!(desk.budget.next_at(now), Some(now + Duration::from_millis(200)));
    }
}
