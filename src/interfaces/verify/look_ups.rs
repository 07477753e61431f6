//! Look-ups of many references: so many under way at once, and so many a second, as the budget grants.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;

use chrono::TimeDelta;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::gateway::budget::TokenBucket;
use crate::gateway::outcome::LookUpOutcome;
use crate::gateway::payments::Client;

/// Look-ups under way at one time.
const AT_ONCE: usize = 16;
/// A look-up that gave no conclusion is made so often before it is let be.
const TRIES: u32 = 3;
/// How long nothing is asked after the gateway limited our rate.
const PAUSE: TimeDelta = TimeDelta::seconds(2);
/// While the gateway limits our rate, a look-up is put off so often.
const PUT_OFF: u32 = 30;

/// The gateway takes no request of ours: every further one would be refused too.
#[derive(Debug, thiserror::Error)]
#[error("the gateway refuses our key: HTTP {status}; the comparison ended there, check the secret key and gateway.url")]
pub struct Refused {
    status: u16,
}

/// Who looks up.
#[derive(Debug)]
pub struct LookUps {
    client: Client,
    per_second: Option<NonZeroU32>,
    budget: TokenBucket,
    clock: Clock,
}

/// A reference that is to be looked up.
#[derive(Debug)]
struct Wanted {
    number: i64,
    reference: String,
    tries: u32,
    put_off: u32,
}

impl LookUps {
    /// Look-ups by `client`, so many a second at most.
    pub fn new(client: Client, per_second: Option<NonZeroU32>, clock: Clock) -> Self {
        LookUps { client, per_second, budget: TokenBucket::new(per_second), clock }
    }

    /// So many a second at most from now on.
    pub(super) fn keep_to(&mut self, per_second: Option<NonZeroU32>) {
        if self.per_second != per_second {
            self.per_second = per_second;
            self.budget = TokenBucket::new(per_second);
        }
    }

    /// What the gateway lists under each of these references, by the number that came with it.
    ///
    /// # Errors
    /// [`Refused`].
    pub(super) async fn look(
        &mut self,
        references: Vec<(i64, String)>,
    ) -> Result<BTreeMap<i64, LookUpOutcome>, Refused> {
        let wanted = |(number, reference)| Wanted { number, reference, tries: 0, put_off: 0 };
        let mut waiting: VecDeque<Wanted> = references.into_iter().map(wanted).collect();
        let mut under_way = JoinSet::new();
        let mut found = BTreeMap::new();
        loop {
            while under_way.len() < AT_ONCE && self.budget.available(self.clock.now()) > 0 {
                let Some(wanted) = waiting.pop_front() else { break };
                self.budget.take(self.clock.now(), 1);
                let (client, meter) = self.client.metered();
                under_way.spawn(async move {
                    let outcome = client.payments_by_reference(&wanted.reference).await;
                    (wanted, outcome, meter.reads().made)
                });
            }
            if under_way.is_empty() {
                if waiting.is_empty() {
                    return Ok(found);
                }
                self.wait().await;
                continue;
            }
            // A look-up that panicked leaves its reference without an answer, which is told as not compared.
            let Some(Ok((mut wanted, outcome, reads))) = under_way.join_next().await else { continue };
            self.budget.debit(self.clock.now(), reads.saturating_sub(1));
            match outcome {
                LookUpOutcome::OurFault { status } => return Err(Refused { status }),
                LookUpOutcome::RateLimited if wanted.put_off < PUT_OFF => {
                    wanted.put_off += 1;
                    self.budget.pause_until(self.clock.now() + PAUSE);
                    waiting.push_back(wanted);
                }
                LookUpOutcome::NoConclusion { .. } if wanted.tries + 1 < TRIES => {
                    wanted.tries += 1;
                    waiting.push_back(wanted);
                }
                outcome => {
                    found.insert(wanted.number, outcome);
                }
            }
        }
    }

    async fn wait(&self) {
        let now = self.clock.now();
        let wait = self.budget.next_at(now).and_then(|next| (next - now).to_std().ok()).unwrap_or_default();
        tokio::time::sleep(wait).await;
    }
}

/// Why there is no list.
pub(super) fn why(outcome: Option<&LookUpOutcome>) -> String {
    match outcome {
        Some(LookUpOutcome::NoConclusion { reason, .. }) => reason.to_string(),
        Some(LookUpOutcome::RateLimited) => "the gateway limits our rate (HTTP 429)".to_owned(),
        Some(LookUpOutcome::OurFault { status }) => format!("the gateway refuses our key: HTTP {status}"),
        Some(LookUpOutcome::Listed(_)) | None => "no answer".to_owned(),
    }
}
