//! `dun`: opens the next attempt of every dunning case whose step has come. That a case ends is decided where its last decline is
//! settled.

use crate::clock::Instant;
use crate::domain::charge::ChargeState;
use crate::domain::id::ReviewId;
use crate::domain::review::ReviewReason;
use crate::engine::decide::{ABSENT, ASKED};
use crate::engine::{Engine, EngineError, Tick};
use crate::store::changes::{Changes, ChargeChange};
use crate::store::charges::CollectableRow;
use crate::store::journal::Entry;
use crate::store::reviews::NewReview;
use crate::store::{StoreError, parse};

impl Engine {
    /// Opens due retries, one batch.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn dun(&self) -> Result<Tick, EngineError> {
        let done = self.open_retries().await.map_err(EngineError::of("dun"))?;
        if done > 0 {
            self.bells.collect.notify_one();
        }
        let full = usize::try_from(self.rules.engine.batch.get()).is_ok_and(|batch| done == batch);
        Ok(Tick { done, more: full, wake_at: None })
    }

    async fn open_retries(&self) -> Result<usize, StoreError> {
        let mut tx = self.store.begin("dun").await?;
        let now = tx.now().await?;
        if self.doubts_the_clock(now) {
            // A step that were opened now would wait for this clock's future.
            tx.commit().await?;
            return Ok(0);
        }
        let cases = tx.cases_to_step(now, self.rules.engine.batch.get()).await?;
        if cases.is_empty() {
            tx.commit().await?;
            return Ok(0);
        }
        let rows = tx.collectables(cases.iter().map(|case| case.charge_id).collect()).await?;
        let (mut attempts, mut journal, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        let mut aside = Changes::default();
        for row in &rows {
            let Some(case) = cases.iter().find(|case| case.charge_id == row.charge_id) else { continue };
            // A step that no decline of the customer's caused, or that an operator asked for, is not spent.
            let free = matches!(case.reason.as_deref(), Some(ABSENT | ASKED));
            let charged = row.gateway_source_id.as_ref().ok_or("it has no source to charge".to_owned());
            let currency = parse("charges", row.charge_id, "currency", &row.currency).map_err(|it| it.to_string());
            let (source, currency) = match charged.and_then(|source| Ok((source, currency?))) {
                Ok(known) => known,
                Err(why) => {
                    self.set_aside(&mut aside, row, why, now);
                    continue;
                }
            };
            steps.push((case.charge_id, if free { case.steps } else { case.steps + 1 }));
            attempts.push(row.owed(currency).later(&self.rules, source, row.last_n + 1, now));
            journal.push(Entry {
                act: "dunning step",
                subscription_id: Some(row.subscription_id),
                charge_id: Some(row.charge_id),
                attempt_n: Some(row.last_n + 1),
                now: Some("created"),
                ..Entry::default()
            });
        }
        tx.create_attempts(&attempts, now).await?;
        tx.take_steps(&steps).await?;
        tx.write_journal(&self.node, now, &journal).await?;
        self.tell(&tx.apply(aside, &self.node, now).await?);
        tx.commit().await?;
        Ok(cases.len())
    }

    /// A retry that cannot be made is a person's, and no reason to hold up the others.
    fn set_aside(&self, aside: &mut Changes, row: &CollectableRow, why: String, now: Instant) {
        aside.charges.push(ChargeChange {
            id: row.charge_id,
            was: ChargeState::Retrying,
            state: ChargeState::InReview,
            reason: Some(ReviewReason::Contradiction.as_str().to_owned()),
            paid_at: None,
            paid_by: None,
        });
        aside.journal.push(Entry {
            act: "charge",
            subscription_id: Some(row.subscription_id),
            charge_id: Some(row.charge_id),
            was: Some(ChargeState::Retrying.as_str()),
            now: Some(ChargeState::InReview.as_str()),
            detail: Some(why.clone()),
            ..Entry::default()
        });
        aside.reviews.push(NewReview {
            public_id: ReviewId::new(now, self.chance.ten_bytes()),
            reason: ReviewReason::Contradiction,
            subject: row.reference.clone(),
            subscription_id: Some(row.subscription_id),
            charge_id: Some(row.charge_id),
            payment_id: None,
            evidence: format!("its next retry cannot be made: {why}"),
        });
    }
}
