//! `collect`: leases created attempts whose time has come, commits `sending`, posts them, and records the answers.

use crate::clock::Instant;
use crate::engine::flights::{Flights, places};
use crate::engine::gate::Kind;
use crate::engine::observation::{Observation, Seen};
use crate::engine::reconcile::look_up;
use crate::engine::rules::delta;
use crate::engine::settle::Settled;
use crate::engine::{Engine, EngineError, Tick};
use crate::store::attempts::Lease;

/// The sending side of one daemon. Its requests under way live here between ticks; dropping it is a crash.
#[derive(Debug)]
pub struct Collect {
    engine: Engine,
    flights: Flights<Option<Observation>>,
    charge_id: Option<i64>,
}

/// What is under this daemon's lease now.
#[derive(Debug, Default)]
struct Leased {
    /// So many were due; those for which no token was left stay as they are.
    found: u32,
    taken: usize,
    /// When there may be another token; none where there is one now.
    more_at: Option<Instant>,
    settled: Settled,
}

impl Collect {
    /// For every charge.
    pub fn new(engine: Engine) -> Self {
        Collect { flights: Flights::new(&engine.clock), engine, charge_id: None }
    }

    /// For one charge alone: what `dues subscribe` needs.
    pub fn of_charge(engine: Engine, charge_id: i64) -> Self {
        Collect { flights: Flights::new(&engine.clock), engine, charge_id: Some(charge_id) }
    }

    /// What it works with; a reload changes its rules.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Requests under way and answers not yet recorded.
    pub fn flights(&mut self) -> &mut Flights<Option<Observation>> {
        &mut self.flights
    }

    /// Records what has landed, then, unless the daemon is stopping, sends what the budget and the circuit grant.
    ///
    /// # Errors
    /// [`EngineError::Store`]: nothing was sent that is not committed, and answers that could not be recorded are kept.
    pub async fn tick(&mut self, launch: bool) -> Result<Tick, EngineError> {
        let recorded = self.record(launch).await?;
        let sent = if launch { self.send().await? } else { Tick::default() };
        Ok(Tick { done: recorded + sent.done, ..sent })
    }

    async fn send(&mut self) -> Result<Tick, EngineError> {
        let engine = self.engine.clone();
        let settings = &engine.rules.engine;
        let (at_most, wake_at) = match places(self.flights.len(), settings.in_flight, settings.batch) {
            0 => return Ok(Tick::default()),
            places => engine.gate.could_grant(Kind::Write, places, engine.clock.now()),
        };
        if at_most == 0 {
            return Ok(Tick { wake_at, ..Tick::default() });
        }
        let Leased { found, taken, more_at, settled } = self.lease(at_most).await?;
        self.launch(settled);
        // There may be more that is due: what was found is as much as could go, or more than there were tokens left for.
        let full = found == at_most || u32::try_from(taken).is_ok_and(|taken| taken < found);
        let turn_at = engine.gate.comes_round_at(engine.clock.now());
        Ok(Tick {
            done: taken,
            more: full && more_at.is_none(),
            wake_at: more_at.filter(|_| full).into_iter().chain(turn_at).min(),
        })
    }

    async fn record(&mut self, may_send: bool) -> Result<usize, EngineError> {
        let landed = self.flights.landed();
        let (count, seen) = (landed.len(), landed.iter().flatten().cloned().collect::<Vec<_>>());
        if count == 0 {
            return Ok(0);
        }
        // A look-up that found nothing clears its attempt to be sent; while stopping it stays created instead.
        let wanted =
            if may_send { seen.iter().filter(|it| matches!(it.seen, Seen::LookedUp { .. })).count() } else { 0 };
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let settled = self.engine.settle(&seen, wanted).await?;
        self.flights.recorded(count);
        let Some(settled) = settled else { return Ok(0) };
        self.launch(settled);
        Ok(count)
    }

    /// Claims, leases and clears in one transaction: what needs no look-up is `sending` when it commits. A token is taken for what was found
    /// alone: one that is held while the books are asked is kept from an attempt that was looked up meanwhile and could go.
    async fn lease(&self, at_most: u32) -> Result<Leased, EngineError> {
        let engine = &self.engine;
        let work = async {
            let mut tx = engine.store.begin("lease to send").await?;
            let now = tx.now().await?;
            let standing = engine.standing(&mut tx, now).await?;
            let at_most = at_most.min(standing.at_most.unwrap_or(u32::MAX));
            // While collecting is stopped nothing is claimed; but somebody waits for the first payment that is asked for alone.
            if at_most == 0 || standing.closed || standing.braked && self.charge_id.is_none() {
                tx.commit().await?;
                return Ok(Leased::default());
            }
            let lease = Lease {
                owner: &engine.node,
                now,
                until: now + delta(engine.rules.protocol.lease),
                charge_id: self.charge_id,
                limit: at_most,
            };
            let mut rows = tx.claim_to_send(&lease).await?;
            let found = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            let sends = engine.gate.ask(Kind::Write, found, engine.clock.now());
            let more_at = sends.wake_at;
            rows.truncate(usize::try_from(sends.requests()).unwrap_or(usize::MAX));
            if rows.is_empty() {
                tx.commit().await?;
                return Ok(Leased { found, more_at, ..Leased::default() });
            }
            let due: Vec<Observation> = rows
                .iter()
                .map(|row| Observation {
                    attempt_id: row.id,
                    charge_id: row.charge_id,
                    epoch: row.lease_epoch,
                    seen: Seen::Due,
                })
                .collect();
            let mut settled = engine.settle_within(tx, now, standing, &due, sends).await?;
            // The lease was written with the decision, under the next epoch.
            settled.epochs = rows.iter().map(|row| (row.id, (row.charge_id, row.lease_epoch + 1))).collect();
            Ok(Leased { found, taken: rows.len(), more_at, settled })
        };
        work.await.map_err(EngineError::of("collect"))
    }

    fn launch(&mut self, settled: Settled) {
        for cleared in settled.cleared {
            self.flights.launch(cleared.post(self.engine.clone()));
        }
        for (attempt_id, reference) in settled.look_first {
            let Some((charge_id, epoch)) = settled.epochs.get(&attempt_id).copied() else { continue };
            let engine = self.engine.clone();
            self.flights.launch(async move {
                Some(Observation { attempt_id, charge_id, epoch, seen: look_up(&engine, &reference, None).await })
            });
        }
    }
}
