//! The loop around a verb, the same for all: tick, then wait for a cron line, a bell, a landing answer or the instant the tick named.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::health::Health;
use crate::engine::audit::Audit;
use crate::engine::collect::Collect;
use crate::engine::reconcile::Reconcile;
use crate::engine::{Engine, EngineError, Rules, Tick};

/// A loop comes round at least so often, with or without a bell.
pub(super) const AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// After a tick that failed.
pub(super) const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What the loops share.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    pub health: Arc<Health>,
    pub stop: CancellationToken,
    pub rules: watch::Receiver<Arc<Rules>>,
}

/// A verb as its loop sees it.
pub(super) trait Verb: Send + 'static {
    const NAME: &'static str;

    /// One tick; `launch` is false while the daemon stops.
    fn tick(&mut self, launch: bool) -> impl Future<Output = Result<Tick, EngineError>> + Send;

    /// Waits for requests under way to land; never returns where there is none.
    fn landed(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether requests are under way or wait to be recorded.
    fn is_busy(&mut self) -> bool;

    /// New rules, from a reload.
    fn engine(&mut self) -> &mut Engine;
}

impl Daemon {
    /// Begins the loop of a verb; from now on it must come round.
    pub fn spawn<V: Verb>(&self, tracker: &TaskTracker, verb: V, cron: &Arc<Notify>, bell: &Arc<Notify>) {
        self.health.expects(V::NAME);
        tracker.spawn(self.clone().turn(verb, Arc::clone(cron), Arc::clone(bell)));
    }

    /// Turns a verb until the daemon stops and everything under way is recorded.
    async fn turn<V: Verb>(mut self, mut verb: V, cron: Arc<Notify>, bell: Arc<Notify>) {
        loop {
            if self.rules.has_changed().unwrap_or(false) {
                verb.engine().rules = Arc::clone(&self.rules.borrow_and_update());
            }
            let launching = !self.stop.is_cancelled();
            let ticked = verb.tick(launching).await;
            let mut wait = AT_LEAST_EVERY;
            match ticked {
                Ok(tick) => {
                    self.health.came_round(V::NAME, tick.done);
                    self.health.database_answers();
                    if !launching && !verb.is_busy() {
                        break;
                    }
                    if tick.more {
                        continue;
                    }
                    if let Some(at) = tick.wake_at {
                        let now = verb.engine().clock.now();
                        wait = (at - now).to_std().unwrap_or_default().min(AT_LEAST_EVERY);
                    }
                }
                Err(EngineError::Store { source, .. }) => {
                    self.health.came_round(V::NAME, 0);
                    self.health.database_fails(&source);
                    if !launching && !verb.is_busy() {
                        break;
                    }
                    tokio::time::sleep(AFTER_FAILURE).await;
                    continue;
                }
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if launching => {}
                () = verb.landed() => {}
                () = cron.notified() => {}
                () = bell.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.health.ended(V::NAME);
    }
}

/// `bill`
pub(super) struct BillVerb(Engine);

impl BillVerb {
    pub fn new(engine: Engine) -> Self {
        BillVerb(engine)
    }
}

impl Verb for BillVerb {
    const NAME: &'static str = "bill";
    async fn tick(&mut self, launch: bool) -> Result<Tick, EngineError> {
        if launch { self.0.bill().await } else { Ok(Tick::default()) }
    }
    async fn landed(&mut self) {
        std::future::pending().await
    }
    fn is_busy(&mut self) -> bool {
        false
    }
    fn engine(&mut self) -> &mut Engine {
        &mut self.0
    }
}

/// `dun`
pub(super) struct DunVerb(Engine);

impl DunVerb {
    pub fn new(engine: Engine) -> Self {
        DunVerb(engine)
    }
}

impl Verb for DunVerb {
    const NAME: &'static str = "dun";
    async fn tick(&mut self, launch: bool) -> Result<Tick, EngineError> {
        if launch { self.0.dun().await } else { Ok(Tick::default()) }
    }
    async fn landed(&mut self) {
        std::future::pending().await
    }
    fn is_busy(&mut self) -> bool {
        false
    }
    fn engine(&mut self) -> &mut Engine {
        &mut self.0
    }
}

/// `collect`
pub(super) struct CollectVerb(Collect, Duration, usize);

impl CollectVerb {
    pub fn new(engine: &Engine) -> Self {
        let (linger, enough) = company(engine);
        CollectVerb(Collect::new(engine.clone()), linger, enough)
    }
}

impl Verb for CollectVerb {
    const NAME: &'static str = "collect";
    async fn tick(&mut self, launch: bool) -> Result<Tick, EngineError> {
        self.0.tick(launch).await
    }
    async fn landed(&mut self) {
        if self.0.flights().is_empty() {
            std::future::pending().await
        }
        let _any = self.0.flights().gather(self.1, self.2).await;
    }
    fn is_busy(&mut self) -> bool {
        !self.0.flights().is_empty()
    }
    fn engine(&mut self) -> &mut Engine {
        self.0.engine()
    }
}

/// `reconcile`
pub(super) struct ReconcileVerb(Reconcile, Duration, usize);

impl ReconcileVerb {
    pub fn new(engine: &Engine) -> Self {
        let (linger, enough) = company(engine);
        ReconcileVerb(Reconcile::new(engine.clone()), linger, enough)
    }
}

impl Verb for ReconcileVerb {
    const NAME: &'static str = "reconcile";
    async fn tick(&mut self, launch: bool) -> Result<Tick, EngineError> {
        self.0.tick(launch).await
    }
    async fn landed(&mut self) {
        if self.0.flights().is_empty() {
            std::future::pending().await
        }
        let _any = self.0.flights().gather(self.1, self.2).await;
    }
    fn is_busy(&mut self) -> bool {
        !self.0.flights().is_empty()
    }
    fn engine(&mut self) -> &mut Engine {
        self.0.engine()
    }
}

/// `audit`
pub(super) struct AuditVerb(Audit);

impl AuditVerb {
    pub fn new(engine: &Engine) -> Self {
        AuditVerb(Audit::new(engine.clone()))
    }
}

impl Verb for AuditVerb {
    const NAME: &'static str = "audit";
    async fn tick(&mut self, launch: bool) -> Result<Tick, EngineError> {
        self.0.tick(launch).await
    }
    async fn landed(&mut self) {
        if !self.0.is_busy() {
            std::future::pending().await
        }
        self.0.landed().await;
    }
    fn is_busy(&mut self) -> bool {
        self.0.is_busy()
    }
    fn engine(&mut self) -> &mut Engine {
        self.0.engine()
    }
}

/// How long landed answers wait for company, and for how much of it: half of what flies, so that sending and recording overlap.
fn company(engine: &Engine) -> (Duration, usize) {
    let settings = &engine.rules.engine;
    let half = settings.in_flight.get().min(settings.batch.get()) / 2;
    (settings.record_linger, usize::try_from(half.max(1)).unwrap_or(1))
}
