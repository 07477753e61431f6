//! The one path by which an outcome, from whichever door, reaches attempt, charge, subscription, source and journal: read the
//! situation, decide, write, in one transaction. A repeated outcome changes nothing.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::domain::charge::ChargeState;
use crate::domain::id::ReviewId;
use crate::domain::review::ReviewReason;
use crate::domain::subscription::SubscriptionState;
use crate::engine::books::{Books, Decided, Unreadable};
use crate::engine::decide::{decide, rest_of_a_key, took_money};
use crate::engine::desk::Context;
use crate::engine::gate::{Grant, Kind};
use crate::engine::observation::{Observation, Seen};
use crate::engine::post::Cleared;
use crate::engine::rules::delta;
use crate::engine::standing::Standing;
use crate::engine::{Engine, EngineError};
use crate::store::attempts::SendableRow;
use crate::store::changes::Changes;
use crate::store::fences::NewFence;
use crate::store::reviews::{NewReview, OpenedRow};
use crate::store::situations::SituationRow;
use crate::store::{StoreError, Tx};

/// What a set of observations came to.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Attempts whose `sending` is committed.
    pub cleared: Vec<Cleared>,
    /// Attempts that must be looked up before they may be sent, and for which a read was granted, with their references.
    pub look_first: Vec<(i64, String)>,
    /// Charge and fencing token of the rows that were leased in the same transaction.
    pub epochs: BTreeMap<i64, (i64, i64)>,
    /// Review cases that were opened, and charges that stand otherwise than before.
    pub differences: usize,
}

impl Engine {
    /// Settles `observations` in one transaction; at most `sends` attempts are cleared to be sent on the way, for which tokens are asked when
    /// the transaction has begun: nobody waits for the books with them. None while the clock is doubted: they are as good as lost, and what
    /// they showed is looked up when it is right.
    pub(super) async fn settle(
        &self,
        observations: &[Observation],
        sends: u32,
    ) -> Result<Option<Settled>, EngineError> {
        if observations.is_empty() {
            return Ok(Some(Settled::default()));
        }
        let work = async {
            let mut tx = self.store.begin("settle").await?;
            let now = tx.now().await?;
            if self.doubts_the_clock(now) {
                tx.commit().await?;
                return Ok(None);
            }
            // An answer or a look at a known payment sends nothing, and adopts nothing that the books do not know.
            let bears = |it: &Observation| matches!(it.seen, Seen::Due | Seen::LookedUp { .. } | Seen::Audited(_));
            let standing = if sends > 0 || observations.iter().any(bears) {
                self.standing(&mut tx, now).await?
            } else {
                Standing { closed: true, ..Standing::default() }
            };
            let sends = self.gate.ask(Kind::Resend, sends, self.clock.now());
            self.settle_within(tx, now, standing, observations, sends).await.map(Some)
        };
        work.await.map_err(EngineError::of("settle"))
    }

    /// The same in a transaction that has done something already, such as leasing the rows that are observed.
    pub(super) async fn settle_within(
        &self,
        mut tx: Tx,
        now: Instant,
        standing: Standing,
        observations: &[Observation],
        mut sends: Grant<'_>,
    ) -> Result<Settled, StoreError> {
        let mut charge_ids: Vec<i64> = observations.iter().map(|it| it.charge_id).collect();
        charge_ids.sort_unstable();
        charge_ids.dedup();
        let rows = tx.situations(charge_ids.clone()).await?;
        let newer = tx.begun_since(&paid_late(&rows, observations)).await?;
        let allowance = |standing: &Standing| {
            let granted = sends.requests().min(standing.at_most.unwrap_or(u32::MAX));
            if standing.may_send() { granted } else { 0 }
        };
        let since_boot = self.clock.since_boot();
        let mut context = Context {
            rules: &self.rules,
            now,
            stepped_at: self.steady.stepped_at(now, since_boot),
            resend_from: self.steady.rested_from(now, since_boot, rest_of_a_key(&self.rules)),
            allowance: allowance(&standing),
            standing: standing.clone(),
            newer,
            chance: &self.chance,
        };
        let mut decided = decide_all(rows, observations, &mut context);
        let strangers = i64::try_from(decided.strangers.len()).unwrap_or(i64::MAX);
        if strangers > standing.strangers_left && !standing.held {
            // Nothing that was cleared beside them may go: it is decided again, under the hold.
            let detail = format!("the gateway has {}, of which these books know no send", decided.strangers.join(", "));
            let fence = NewFence { reason: "stranger", detail, lost_sends: 0, holds: true };
            self.raise(&mut tx, &fence, now).await?;
            context.standing = Standing { held: true, continuity_from: Some(now), ..standing };
            context.allowance = 0;
            let rows = tx.situations(charge_ids).await?;
            decided = decide_all(rows, observations, &mut context);
        } else if strangers > 0 {
            tx.expect_fewer_strangers(strangers).await?;
        }
        let Decided { mut changes, cleared, mut look_first, warnings, unreadable, strangers: _ } = decided;
        // Given back before a read is asked for: where it was granted as the circuit's probe, the look-up is that probe.
        sends.keep(sends.requests().saturating_sub(context.allowance));
        let looks = self.grant_looks(&mut look_first, &mut changes, now);
        let looks_soon =
            changes.attempts.iter().any(|it| it.state.is_on_the_wire() && it.next_at.is_some_and(|at| at <= now));
        // An attempt that nobody can decide about would be the longest due at every tick, and a batch of them starve the others.
        tx.put_off(&unreadable, now + delta(self.rules.polls.in_review), now).await?;
        let moved = changes.charges.len();
        let opened = tx.apply(changes, &self.node, now).await?;
        self.tell(&opened);
        let sendables = if cleared.is_empty() { Vec::new() } else { tx.sendables(cleared).await? };
        let sent = i64::try_from(sendables.len()).unwrap_or(i64::MAX);
        let mark = self.count_sends(&mut tx, &context.standing, sent, now).await?;
        let references = if look_first.is_empty() { Vec::new() } else { tx.references(look_first).await? };
        // Told before the commit: a process that freezes in it wakes with a lease that another daemon has taken over.
        let committing = self.clock.since_boot();
        tx.commit().await?;
        self.pace.note(sent, now);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        sends.used();
        looks.used();
        if looks_soon {
            self.bells.reconcile.notify_one();
        }
        let clear = |row: SendableRow| Cleared::after_commit(row, committing);
        // The mark outside the books stands on the disk before anything goes out, or nothing goes out.
        let cleared = match mark.map_or(Ok(()), |mark| self.high_water.raise_to(mark)) {
            Ok(()) => sendables.into_iter().map(clear).collect(),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(
                    %error,
                    cause,
                    attempts = sent,
                    "not sent, they are looked up when their lease is over: {error}: {cause}"
                );
                Vec::new()
            }
        };
        Ok(Settled {
            cleared,
            look_first: references.into_iter().map(|row| (row.id, row.reference)).collect(),
            epochs: BTreeMap::new(),
            differences: opened.len() + moved,
        })
    }

    /// Counts what is about to be sent: in the day's plan, and in this daemon's mark, which is given. A plan that was exceeded stops
    /// collecting, for every daemon.
    async fn count_sends(
        &self,
        tx: &mut Tx,
        standing: &Standing,
        sent: i64,
        now: Instant,
    ) -> Result<Option<i64>, StoreError> {
        if let Some(exceeded) = &standing.exceeded
            && tx.brake(exceeded, now).await?
        {
            tracing::error!("collecting is stopped: {exceeded}; see `dues status`, then `dues resume-collecting`");
            let review = NewReview {
                public_id: ReviewId::new(now, self.chance.ten_bytes()),
                reason: ReviewReason::Brake,
                subject: now.date_naive().to_string(),
                subscription_id: None,
                charge_id: None,
                payment_id: None,
                evidence: exceeded.clone(),
            };
            self.tell(&tx.open_reviews(&[review], now).await?);
        }
        tx.count_first_sends(now.date_naive(), &standing.counted()).await?;
        if sent == 0 {
            return Ok(None);
        }
        tx.count_sends(&self.node, &self.process, sent).await.map(Some)
    }

    /// A read for each that must be looked up first. Those for which there is none now are taken out: they stay created, and come
    /// back when there should be one.
    fn grant_looks(&self, look_first: &mut Vec<i64>, changes: &mut Changes, now: Instant) -> Grant<'_> {
        let clock_now = self.clock.now();
        let wanted = u32::try_from(look_first.len()).unwrap_or(u32::MAX);
        let looks = self.gate.ask(Kind::Read, wanted, clock_now);
        let granted = usize::try_from(looks.requests()).unwrap_or(usize::MAX).min(look_first.len());
        let put_off = look_first.split_off(granted);
        if put_off.is_empty() {
            return looks;
        }
        let waits = self.gate.turns(put_off.len(), clock_now);
        let waits: BTreeMap<i64, TimeDelta> = put_off.into_iter().zip(waits).collect();
        for attempt in &mut changes.attempts {
            if let Some(wait) = waits.get(&attempt.id) {
                attempt.next_at = Some(now + *wait);
                attempt.lease_until = now;
            }
        }
        looks
    }
}

impl Engine {
    /// Says in the log which review cases were opened, and rings for the operator.
    pub(super) fn tell(&self, opened: &[OpenedRow]) {
        for opened in opened {
            tracing::error!(
                review.id = opened.public_id,
                review.reason = opened.reason,
                "a person must look ({}): dues review show {}",
                opened.reason,
                opened.public_id
            );
            self.bells.review.notify_one();
        }
    }
}

/// The subscriptions that had expired unpaid, and of which a payment took money after all. There is hardly ever one.
fn paid_late(rows: &[SituationRow], observations: &[Observation]) -> Vec<i64> {
    let expired = rows.iter().filter(|row| row.subscription_state == SubscriptionState::IncompleteExpired.as_str());
    let paid = expired.filter(|row| {
        row.charge_state == ChargeState::Paid.as_str()
            || observations.iter().any(|it| it.charge_id == row.charge_id && it.seen.payments().iter().any(took_money))
    });
    paid.map(|row| row.subscription_id).collect()
}

/// Decides over every observation in turn. A charge that cannot be decided or read is left as it is, and a person is asked: the
/// others go on.
fn decide_all(rows: Vec<SituationRow>, observations: &[Observation], context: &mut Context<'_>) -> Decided {
    let mut books = Books::read(rows);
    let unreadable = std::mem::take(&mut books.unreadable);
    for observation in observations {
        let Some(mut desk) = books.desk(observation.charge_id) else { continue };
        let allowance = context.allowance;
        match decide(&mut desk, context, observation) {
            Ok(()) => books.lay_back(desk),
            Err(illegal) => {
                context.allowance = allowance;
                tracing::error!(
                    charge.id = desk.charge.public_id,
                    attempt.id = observation.attempt_id,
                    error = %illegal,
                    "an outcome does not fit the books: {illegal}; the charge is left as it was, run dues verify"
                );
                if let Some(mut desk) = books.desk(observation.charge_id) {
                    desk.set_aside(context, observation.attempt_id, &illegal);
                    books.lay_back(desk);
                }
            }
        }
    }
    let mut decided = books.decided(context.now);
    for Unreadable { charge_id, charge_public_id, subscription_id, why } in unreadable {
        tracing::error!(charge.id = charge_public_id, error = %why, "a row cannot be read, its charge is put off: {why}");
        decided.unreadable.push(charge_id);
        decided.changes.reviews.push(NewReview {
            public_id: ReviewId::new(context.now, context.chance.ten_bytes()),
            reason: ReviewReason::Unreadable,
            subject: charge_public_id,
            subscription_id: Some(subscription_id),
            charge_id: Some(charge_id),
            payment_id: None,
            evidence: why.to_string(),
        });
    }
    decided
}
