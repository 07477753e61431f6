//! One life of the daemon: it starts as `dues run` does, comes round, and works through the time until everything is quiet or it dies.

use std::sync::Arc;

use chrono::TimeDelta;
use secrecy::SecretString;

use super::deaths::Deaths;
use crate::chance::Chance;
use crate::clock::Instant;
use crate::config::Settings;
use crate::engine::audit::Audit;
use crate::engine::collect::Collect;
use crate::engine::reconcile::Reconcile;
use crate::engine::rules::delta;
use crate::engine::{Engine, EngineError, open};
use crate::gateway::transport::Transport;
use crate::simulation::SimulationError;
use crate::simulation::stage::Stage;
use crate::store::Store;
use crate::store::attempts::NextRow;

/// What is due and cannot be done yet is tried again after so long, then after twice as long, up to the longest.
const AGAIN: TimeDelta = TimeDelta::seconds(5);
const LONGEST: TimeDelta = TimeDelta::hours(1);
/// A daemon comes round so often in a time that would be a gap.
const BEATS_IN_A_GAP: i32 = 3;

/// What a life works with.
pub(super) struct Life {
    pub stage: Arc<Stage>,
    pub settings: Settings,
    pub secret_key: SecretString,
    /// The books as the life sees them, with its points in them.
    pub store: Store,
    /// The same without points: for asking what is due, which a cron line and a bell do in production.
    pub aside: Store,
    pub line: Arc<dyn Transport>,
    pub deaths: Arc<Deaths>,
    pub seed: u64,
}

struct Verbs {
    engine: Engine,
    collect: Collect,
    reconcile: Reconcile,
    audit: Audit,
}

impl Life {
    /// Lives until nothing is left to do before `until`.
    pub async fn live(self, until: Instant) -> Result<(), SimulationError> {
        let mut verbs = self.start().await?;
        let (mut beat_at, mut wait) = (self.stage.clock.now(), AGAIN);
        loop {
            let now = self.stage.clock.now();
            if beat_at <= now {
                let beat = verbs.engine.beat().await?;
                self.stage.hears(1, &beat);
                beat_at = now + delta(self.settings.protocol.gap) / BEATS_IN_A_GAP;
            }
            while self.work(&mut verbs, now).await? > 0 {}
            // A request at whose side it died hangs; it does nothing else meanwhile.
            self.deaths.end_if_dead().await;
            let NextRow { bill_at, send_at, look_at, step_at, audit_at } = self.aside.next_of_each().await?;
            let next = [bill_at, send_at, look_at, step_at, audit_at].into_iter().flatten().min();
            match next.filter(|at| *at < until) {
                Some(at) if now < until => {
                    let now = self.stage.clock.now();
                    let is_due = at <= now;
                    self.stage.advance_to(if is_due { now + wait } else { at.min(beat_at) });
                    wait = if is_due { (wait * 2).min(LONGEST) } else { AGAIN };
                }
                _ => return Ok(()),
            }
        }
    }

    async fn start(&self) -> Result<Verbs, SimulationError> {
        let chance = Chance::seeded(self.seed);
        let (store, line) = (self.store.clone(), self.line.clone());
        let engine = open::engine(&self.settings, store, line, &self.secret_key, chance, false).await?;
        engine.take_name(false).await?;
        if self.store.kind() == "sqlite" {
            // The lock on the file proves that the former process is gone.
            engine.store.release_all_leases(engine.clock.now()).await?;
        }
        Ok(Verbs {
            collect: Collect::new(engine.clone()),
            reconcile: Reconcile::new(engine.clone()),
            audit: Audit::new(engine.clone()),
            engine,
        })
    }

    /// Every verb that has something to do now; how many rows were moved.
    async fn work(&self, verbs: &mut Verbs, now: Instant) -> Result<usize, EngineError> {
        let next = self.aside.next_of_each().await.map_err(EngineError::of("look"))?;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let mut done = 0;
        if is_due(next.bill_at) {
            done += verbs.engine.bill().await?.done;
        }
        if is_due(next.step_at) {
            done += verbs.engine.dun().await?.done;
        }
        if is_due(next.send_at) {
            done += verbs.collect.tick(true).await?.done;
            while !verbs.collect.flights().landed().is_empty() {
                done += verbs.collect.tick(true).await?.done;
            }
        }
        if is_due(next.look_at) {
            done += verbs.reconcile.tick(true).await?.done;
            while !verbs.reconcile.flights().landed().is_empty() {
                done += verbs.reconcile.tick(true).await?.done;
            }
        }
        if is_due(next.audit_at) {
            done += verbs.audit.tick(true).await?.done;
            while !verbs.audit.flights().landed().is_empty() {
                done += verbs.audit.tick(true).await?.done;
            }
        }
        Ok(done)
    }
}
