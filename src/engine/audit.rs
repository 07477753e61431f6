//! `audit`: looks each charge up by its reference again, days and weeks after it was opened and whatever it ended as, so that a payment
//! that the books do not know, or know otherwise, is found. It charges nothing and waits for whatever else wants to read.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use crate::clock::Instant;
use crate::engine::decide::{is_open, took_money};
use crate::engine::flights::Flights;
use crate::engine::gate::Kind;
use crate::engine::observation::{Observation, Seen};
use crate::engine::reconcile::look_up;
use crate::engine::rules::delta;
use crate::engine::{Engine, EngineError, Tick};
use crate::gateway::budget::TokenBucket;
use crate::gateway::outcome::LookUpOutcome;
use crate::store::charges::{Audited, ToAuditRow};
use crate::store::{StoreError, parse};

/// Look-ups of one audit under way at once.
const IN_FLIGHT: usize = 16;

/// What audits have come to since this process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditFigures {
    /// Look-ups whose answer was recorded.
    pub look_ups: u64,
    /// Review cases that they opened, and charges that they moved: what the books did not have right.
    pub differences: u64,
    /// When the last answer was recorded; none before the first.
    pub last_at: Option<Instant>,
}

/// The same, while it is counted.
#[derive(Debug, Default)]
pub struct AuditCount(Mutex<AuditFigures>);

impl AuditCount {
    /// What stands there now.
    pub fn figures(&self) -> AuditFigures {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, look_ups: usize, differences: usize, now: Instant) {
        let count = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        figures.look_ups = figures.look_ups.saturating_add(count(look_ups));
        figures.differences = figures.differences.saturating_add(count(differences));
        figures.last_at = Some(now);
    }
}

/// The auditing side of one daemon.
#[derive(Debug)]
pub struct Audit {
    engine: Engine,
    flights: Flights<Option<(ToAuditRow, LookUpOutcome)>>,
    pace: TokenBucket,
}

impl Audit {
    /// At the pace that the rules name.
    pub fn new(engine: Engine) -> Self {
        let pace = TokenBucket::new(Some(engine.rules.audit.reads_per_second));
        Audit { flights: Flights::new(&engine.clock), engine, pace }
    }

    /// What it works with; a reload changes its rules.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Look-ups under way, and what they brought and nobody has recorded.
    pub fn flights(&mut self) -> &mut Flights<Option<(ToAuditRow, LookUpOutcome)>> {
        &mut self.flights
    }

    /// Whether there are any.
    pub fn is_busy(&self) -> bool {
        !self.flights.is_empty()
    }

    /// Waits for look-ups to land.
    pub async fn landed(&mut self) {
        let linger = self.engine.rules.engine.record_linger;
        self.flights.gather(linger, IN_FLIGHT / 2).await;
    }

    /// Records what has landed, then, unless the daemon is stopping, looks up what is to be audited.
    ///
    /// # Errors
    /// [`EngineError::Store`]; what could not be recorded is kept.
    pub async fn tick(&mut self, launch: bool) -> Result<Tick, EngineError> {
        let recorded = self.record().await?;
        let looked = if launch { self.look().await? } else { Tick::default() };
        Ok(Tick { done: recorded + looked.done, ..looked })
    }

    async fn look(&mut self) -> Result<Tick, EngineError> {
        let places = IN_FLIGHT.saturating_sub(self.flights.len());
        if places == 0 {
            return Ok(Tick::default());
        }
        let now = self.engine.clock.now();
        let wanted = self.pace.available(now).min(u32::try_from(places).unwrap_or(u32::MAX));
        let Some(wanted) = NonZeroU32::new(wanted) else {
            return Ok(Tick { wake_at: self.pace.next_at(now), ..Tick::default() });
        };
        let engine = self.engine.clone();
        let mut reads = engine.gate.ask(Kind::Read, wanted.get(), now);
        if reads.requests() == 0 {
            return Ok(Tick { wake_at: reads.wake_at, ..Tick::default() });
        }
        let rows = self.lease(reads.requests()).await.map_err(EngineError::of("audit"))?;
        let leased = rows.len();
        let used = u32::try_from(leased).unwrap_or(u32::MAX);
        reads.keep(used);
        reads.used();
        self.pace.take(now, used);
        for row in rows {
            let engine = self.engine.clone();
            self.flights.launch(async move {
                let Seen::LookedUp { outcome, .. } = look_up(&engine, &row.reference, None).await else { return None };
                Some((row, outcome))
            });
        }
        let full = used == wanted.get();
        Ok(Tick { done: leased, more: false, wake_at: self.pace.next_at(now).filter(|_| full) })
    }

    async fn lease(&self, limit: u32) -> Result<Vec<ToAuditRow>, StoreError> {
        let mut tx = self.engine.store.begin("audit").await?;
        let now = tx.now().await?;
        if self.engine.doubts_the_clock(now) {
            tx.commit().await?;
            return Ok(Vec::new());
        }
        let rows = tx.charges_to_audit(now, now + delta(self.engine.rules.protocol.lease), limit).await?;
        tx.commit().await?;
        Ok(rows)
    }

    async fn record(&mut self) -> Result<usize, EngineError> {
        let landed = self.flights.landed();
        let (count, landed) = (landed.len(), landed.iter().flatten().cloned().collect::<Vec<_>>());
        if count == 0 {
            return Ok(0);
        }
        let engine = self.engine.clone();
        let stand_ins = engine.stand_in(&landed).await.map_err(EngineError::of("audit"))?;
        let seen: Vec<Observation> = landed
            .iter()
            .filter_map(|(row, outcome)| {
                let attempt_id = row.attempt_id.or_else(|| stand_ins.get(&row.id).copied())?;
                let seen = Seen::Audited(outcome.clone());
                Some(Observation { attempt_id, charge_id: row.id, epoch: row.lease_epoch.unwrap_or_default(), seen })
            })
            .collect();
        let Some(settled) = engine.settle(&seen, 0).await? else {
            self.flights.recorded(count);
            return Ok(0);
        };
        let look_ups = landed.iter().filter(|(_, outcome)| matches!(outcome, LookUpOutcome::Listed(_))).count();
        if look_ups > 0 {
            engine.audited.note(look_ups, settled.differences, engine.clock.now());
        }
        // The next age is written after what was found, so that a crash in between looks once more.
        let (ages, now) = (&engine.rules.audit.ages, engine.clock.now());
        let done: Vec<Audited> = landed
            .iter()
            .filter(|(_, outcome)| matches!(outcome, LookUpOutcome::Listed(_)))
            // Where a payment was found for which nothing could stand in, as somebody else has just opened an attempt, it is looked up again.
            .filter(|(row, outcome)| {
                row.attempt_id.is_some() || stand_ins.contains_key(&row.id) || !shows_money(outcome)
            })
            .map(|(row, _)| {
                // A fence may have brought this one forward: what is next goes by age, not by how many there were. What was not billed
                // is looked up after a fence alone.
                let is_billed = row.attempt_id.is_some() || stand_ins.contains_key(&row.id);
                let ages = if is_billed { ages.as_slice() } else { &[] };
                let next = ages.iter().map(|age| row.opened_at + delta(*age)).find(|at| *at > now);
                Audited { charge_id: row.id, leased_until: row.leased_until, audit_at: next }
            })
            .collect();
        let work = async {
            let mut tx = engine.store.begin("audited").await?;
            tx.note_audits(&done).await?;
            tx.commit().await
        };
        work.await.map_err(EngineError::of("audit"))?;
        self.flights.recorded(count);
        Ok(count)
    }
}

impl Engine {
    /// An attempt for each charge that was never billed here and of which the gateway has a payment that took money or may: it was never
    /// sent by these books, so it stands as absent until what was found is settled. Its id by charge.
    async fn stand_in(&self, landed: &[(ToAuditRow, LookUpOutcome)]) -> Result<BTreeMap<i64, i64>, StoreError> {
        let unbilled = landed.iter().filter(|(row, outcome)| row.attempt_id.is_none() && shows_money(outcome));
        let charge_ids: Vec<i64> = unbilled.map(|(row, _)| row.id).collect();
        if charge_ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut tx = self.store.begin("stand in").await?;
        let now = tx.now().await?;
        if self.doubts_the_clock(now) {
            tx.commit().await?;
            return Ok(BTreeMap::new());
        }
        let rows = tx.collectables(charge_ids).await?;
        let mut attempts = Vec::new();
        // Somebody may have opened an attempt meanwhile: then the next audit finds the charge with it.
        for row in rows.iter().filter(|row| row.last_n == 0) {
            let currency = parse("charges", row.charge_id, "currency", &row.currency)?;
            // The body is never sent; where nothing can be charged any more, it says so.
            let source = row.gateway_source_id.as_deref().unwrap_or("none");
            attempts.push(row.owed(currency).later(&self.rules, source, 1, now));
        }
        let ids: Vec<i64> = attempts.iter().map(|it| it.charge_id).collect();
        tx.create_attempts(&attempts, now).await?;
        let stand_ins = tx.never_to_be_sent(ids, now).await?;
        tx.commit().await?;
        Ok(stand_ins.into_iter().collect())
    }
}

/// Whether a payment was found that took money, or still may.
fn shows_money(outcome: &LookUpOutcome) -> bool {
    matches!(outcome, LookUpOutcome::Listed(payments) if payments.iter().any(|it| took_money(it) || is_open(it)))
}
