//! `audit`: looks each charge up by its reference again, days and weeks after it was opened and whatever it ended as, so that a payment
//! that the books do not know, or know otherwise, is found. It charges nothing and waits for whatever else wants to read.

use std::num::NonZeroU32;

use crate::engine::flights::Flights;
use crate::engine::gate::Kind;
use crate::engine::observation::{Observation, Seen};
use crate::engine::reconcile::look_up;
use crate::engine::rules::delta;
use crate::engine::{Engine, EngineError, Tick};
use crate::gateway::budget::TokenBucket;
use crate::store::charges::{Audited, ToAuditRow};

/// Look-ups of one audit under way at once.
const IN_FLIGHT: usize = 16;

/// The auditing side of one daemon.
#[derive(Debug)]
pub struct Audit {
    engine: Engine,
    flights: Flights<Option<(ToAuditRow, Observation)>>,
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
    pub fn flights(&mut self) -> &mut Flights<Option<(ToAuditRow, Observation)>> {
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
        let places = IN_FLIGHT.saturating_sub(self.flights.len());
        if !launch || places == 0 {
            return Ok(Tick { done: recorded, ..Tick::default() });
        }
        let now = self.engine.clock.now();
        let wanted = self.pace.available(now).min(u32::try_from(places).unwrap_or(u32::MAX));
        let Some(wanted) = NonZeroU32::new(wanted) else {
            return Ok(Tick { done: recorded, more: false, wake_at: self.pace.next_at(now) });
        };
        let engine = self.engine.clone();
        let mut reads = engine.gate.ask(Kind::Read, wanted.get(), now);
        if reads.requests() == 0 {
            return Ok(Tick { done: recorded, more: false, wake_at: reads.wake_at });
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
                let seen = Seen::Audited(outcome);
                let seen = Observation { attempt_id: row.attempt_id, charge_id: row.id, epoch: row.lease_epoch, seen };
                Some((row, seen))
            });
        }
        let full = used == wanted.get();
        Ok(Tick { done: recorded + leased, more: false, wake_at: self.pace.next_at(now).filter(|_| full) })
    }

    async fn lease(&self, limit: u32) -> Result<Vec<ToAuditRow>, crate::store::StoreError> {
        let mut tx = self.engine.store.begin("audit").await?;
        let now = tx.now().await?;
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
        let seen: Vec<Observation> = landed.iter().map(|(_, seen)| seen.clone()).collect();
        let sends = engine.gate.ask(Kind::Write, 0, engine.clock.now());
        engine.settle(&seen, sends).await?;
        // The next age is written after what was found, so that a crash in between looks once more.
        let (ages, now) = (&engine.rules.audit.ages, engine.clock.now());
        let done: Vec<Audited> = landed
            .iter()
            .filter(|(_, seen)| seen.seen.concludes())
            .map(|(row, _)| {
                // A fence may have brought this one forward: what is next goes by age, not by how many there were.
                let next = ages.iter().map(|age| row.opened_at + delta(*age)).find(|at| *at > now);
                Audited { charge_id: row.id, audit_at: next }
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
