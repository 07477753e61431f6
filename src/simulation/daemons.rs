//! The daemons of a world, and how they take turns. A daemon's work is one future, polled by hand: while it waits for the database
//! nobody else is polled; at a point outside a transaction it may hand over, freeze or die, and then its future is kept, or dropped.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::SecretString;

use super::points::{Points, Standing};
use super::stage::Stage;
use super::wire::Wire;
use crate::chance::Chance;
use crate::clock::Instant;
use crate::config::Settings;
use crate::engine::audit::Audit;
use crate::engine::beat::BeatError;
use crate::engine::collect::Collect;
use crate::engine::flights::Flights;
use crate::engine::reconcile::Reconcile;
use crate::engine::rules::delta;
use crate::engine::{Engine, EngineError, Tick, open};
use crate::store::Store;

/// A loop that is to come round comes round no sooner, as on a machine that has other work.
const SOONEST: TimeDelta = TimeDelta::milliseconds(250);
/// The verbs of a turn.
const VERBS: u64 = 6;
/// A daemon comes round so often in a time that would be a gap.
const BEATS_IN_A_GAP: i32 = 2;

/// What a daemon works with between its turns.
pub(super) struct Verbs {
    engine: Engine,
    collect: Collect,
    reconcile: Reconcile,
    audit: Audit,
    greetings: Flights<()>,
    /// When it is greeted again, where it has not answered.
    greet_at: Instant,
}

/// What a turn came to.
#[derive(Debug, Default)]
pub(super) struct Turned {
    /// Rows that it moved.
    pub done: usize,
    /// Verbs that failed: they come round again soon.
    pub failed: Due,
    /// When sending or looking is worth another try.
    pub wake_at: Option<Instant>,
}

pub(super) type Work = Pin<Box<dyn Future<Output = Worked> + Send>>;

/// What is left of a daemon when its work is done; none of its verbs where it could not start.
pub(super) type Worked = (Option<Verbs>, Turned);

/// What the daemon was last seen doing.
enum State {
    Down {
        until: Instant,
    },
    Idle(Box<Verbs>),
    Working(Work),
    /// Only while it is moved from one to the other.
    Between,
}

/// One daemon.
pub(super) struct Daemon {
    pub number: usize,
    pub points: Arc<Points>,
    pub wire: Arc<Wire>,
    /// When it comes round by itself next; none: when something is due.
    pub again_at: Option<Instant>,
    /// Which of its verbs then do.
    again: Due,
    /// When it comes round to its heartbeat next.
    beat_at: Instant,
    state: State,
    starts: u64,
}

/// What every daemon is started with.
pub(super) struct Ground {
    pub stage: Arc<Stage>,
    pub settings: Settings,
    pub store: Store,
    pub secret_key: SecretString,
    pub seed: u64,
    pub alone: bool,
    /// Where marks are kept that no backup of the books brings back.
    pub outside: PathBuf,
}

/// Which verbs have something to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub bill: bool,
    pub collect: bool,
    pub reconcile: bool,
    pub dun: bool,
    pub audit: bool,
    pub beat: bool,
}

impl Due {
    pub const ALL: Due = Due { bill: true, collect: true, reconcile: true, dun: true, audit: true, beat: true };

    /// What either has to do.
    pub fn and(self, other: Due) -> Due {
        Due {
            bill: self.bill || other.bill,
            collect: self.collect || other.collect,
            reconcile: self.reconcile || other.reconcile,
            dun: self.dun || other.dun,
            audit: self.audit || other.audit,
            beat: self.beat || other.beat,
        }
    }

    pub fn any(self) -> bool {
        self.bill || self.collect || self.reconcile || self.dun || self.audit || self.beat
    }
}

impl Daemon {
    pub fn new(number: usize, points: Arc<Points>, wire: Arc<Wire>, starts_at: Instant) -> Self {
        Daemon {
            number,
            points,
            wire,
            again_at: None,
            again: Due::ALL,
            beat_at: starts_at,
            state: State::Down { until: starts_at },
            starts: 0,
        }
    }

    /// Starts its process where it is time, or gives it a turn for what is due.
    pub fn begin(&mut self, ground: &Ground, due: Due, now: Instant, order: u64) {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Down { until } if until <= now => {
                self.starts += 1;
                self.points.revive();
                ground.stage.tell(format_args!("daemon {} starts", self.number));
                (self.again_at, self.again) = (Some(now), Due::ALL);
                self.state = State::Working(self.start(ground));
            }
            State::Idle(verbs) => {
                let again = self.again_at.is_some_and(|at| at <= now);
                let due = Due { beat: self.beat_at <= now, ..due };
                let answered = self.wire.gateway.has_answer(self.number, now);
                let due = if again { due.and(self.again) } else { due };
                if !due.any() && !answered {
                    self.state = State::Idle(verbs);
                    return;
                }
                self.again_at = self.again_at.filter(|at| *at > now);
                if due.beat {
                    self.beat_at = now + delta(ground.settings.protocol.gap) / BEATS_IN_A_GAP;
                }
                self.state = State::Working(Box::pin(turn(*verbs, self.wire.clone(), due, answered, order)));
            }
            other => self.state = other,
        }
    }

    fn start(&self, ground: &Ground) -> Work {
        let settings = Settings {
            installation: crate::config::Installation {
                node: format!("node-{}", self.number),
                high_water_file: ground.outside.join(format!("sends-{}", self.number)).display().to_string(),
                ..ground.settings.installation.clone()
            },
            ..ground.settings.clone()
        };
        let store = ground.store.with_hook(self.points.clone());
        let (wire, key, alone) = (self.wire.clone(), ground.secret_key.clone(), ground.alone);
        let chance = Chance::seeded(ground.seed ^ (self.starts << 8) ^ self.number as u64);
        Box::pin(async move {
            let started = async {
                let engine = open::engine(&settings, store, wire, &key, chance, false).await;
                let engine = engine.map_err(EngineError::of("start"))?;
                engine.steady.await_gateway();
                engine.steady.expect_rounds(engine.clock.since_boot());
                engine.take_name(false).await?;
                if alone {
                    // The lock on the file proves that the former process is gone.
                    let released = engine.store.release_all_leases(engine.clock.now()).await;
                    released.map_err(EngineError::of("start"))?;
                }
                Ok::<_, BeatError>(engine)
            };
            match started.await {
                Ok(engine) => {
                    let verbs = Verbs {
                        collect: Collect::new(engine.clone()),
                        reconcile: Reconcile::new(engine.clone()),
                        audit: Audit::new(engine.clone()),
                        greetings: Flights::new(&engine.clock),
                        greet_at: engine.clock.now(),
                        engine,
                    };
                    (Some(verbs), Turned { done: 1, ..Turned::default() })
                }
                Err(_) => (None, Turned::default()),
            }
        })
    }

    /// It comes round no later than that.
    pub fn beat_by(&mut self, at: Instant) {
        self.beat_at = self.beat_at.min(at);
    }

    /// It is ended, whatever it was at, and started again then.
    pub fn end(&mut self, until: Instant) {
        self.state = State::Down { until };
        self.wire.gateway.forget(self.number);
    }

    /// When it wants to be asked again by itself.
    pub fn next_at(&self, now: Instant) -> Option<Instant> {
        let own = match &self.state {
            State::Down { until } => Some(*until),
            State::Working(_) => match self.points.standing() {
                Standing::Frozen(until) => Some(until),
                _ => Some(now),
            },
            State::Idle(_) | State::Between => Some(self.again_at.map_or(self.beat_at, |at| at.min(self.beat_at))),
        };
        own.map(|at| at.max(now))
    }

    /// Whether it can be polled now.
    fn is_runnable(&self, now: Instant) -> bool {
        matches!(self.state, State::Working(_))
            && match self.points.standing() {
                Standing::AtWork | Standing::Yields => true,
                Standing::Frozen(until) => until <= now,
                Standing::Dead => false,
            }
    }

    /// Polls its work once. Ready: it rests, or is frozen or dead.
    fn poll(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<Option<Turned>> {
        let State::Working(work) = &mut self.state else { return Poll::Ready(None) };
        let polled = work.as_mut().poll(context);
        if self.points.standing() == Standing::Dead {
            self.die(now);
            return Poll::Ready(Some(Turned { done: 1, ..Turned::default() }));
        }
        match polled {
            Poll::Ready(worked) => Poll::Ready(Some(self.rest(worked, now))),
            Poll::Pending if self.points.standing() == Standing::AtWork => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        }
    }

    /// Its work, for somebody else to poll; what it comes to goes to [`Daemon::rest`], its death to [`Daemon::die`].
    pub fn take_work(&mut self) -> Option<Work> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Working(work) => Some(work),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Its work is done.
    pub fn rest(&mut self, worked: Worked, now: Instant) -> Turned {
        match worked {
            (Some(verbs), turned) => {
                self.state = State::Idle(Box::new(verbs));
                if turned.failed.any() {
                    (self.again_at, self.again) = (Some(now + TimeDelta::seconds(1)), turned.failed);
                } else if let Some(at) = turned.wake_at {
                    let at = at - self.wire.stage.ahead();
                    self.again_at = Some(at.max(now + SOONEST));
                    self.again = Due { collect: true, reconcile: true, audit: true, ..Due::default() };
                }
                turned
            }
            (None, turned) => {
                self.state = State::Down { until: now + TimeDelta::seconds(2) };
                turned
            }
        }
    }

    /// Everything in its memory is gone; its requests go on without it.
    pub fn die(&mut self, now: Instant) {
        let chance = &self.wire.chance;
        let seconds = match chance.below(10) {
            0..7 => 1 + chance.below(60),
            7..9 => 60 + chance.below(1_800),
            _ => 1_800 + chance.below(6 * 3_600),
        };
        self.state = State::Down { until: now + TimeDelta::seconds(i64::try_from(seconds).unwrap_or_default()) };
        self.wire.gateway.forget(self.number);
    }
}

/// Lets every daemon work until each of them rests, is frozen, or is dead. What their turns came to, together.
pub(super) async fn work(daemons: &mut [Daemon], chance: &Chance, now: Instant) -> Turned {
    let mut all = Turned::default();
    let mut active: Option<usize> = None;
    poll_fn(|context| {
        loop {
            let runnable: Vec<usize> = (0..daemons.len()).filter(|it| daemons[*it].is_runnable(now)).collect();
            if runnable.is_empty() {
                return Poll::Ready(());
            }
            // Whoever waits for the database goes on waiting; a hand-over draws the next.
            let next = active
                .filter(|it| runnable.contains(it))
                .unwrap_or_else(|| runnable[usize::try_from(chance.below(runnable.len() as u64)).unwrap_or_default()]);
            active = Some(next);
            match daemons[next].poll(context, now) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(turned) => {
                    active = None;
                    if let Some(turned) = turned {
                        all.done += turned.done;
                    }
                }
            }
        }
    })
    .await;
    all
}

/// One turn: the verbs that have something to do, in a drawn order, as their loops would come round.
async fn turn(mut verbs: Verbs, wire: Arc<Wire>, due: Due, answered: bool, order: u64) -> (Option<Verbs>, Turned) {
    let mut turned = Turned::default();
    greet(&mut verbs, &mut turned);
    for place in 0..VERBS {
        let verb = (order + place) % VERBS;
        let ticked = match verb {
            0 if due.bill => verbs.engine.bill().await,
            1 if due.dun => verbs.engine.dun().await,
            2 if due.collect || answered => collect(&mut verbs.collect).await,
            3 if due.reconcile || answered => reconcile(&mut verbs.reconcile).await,
            4 if due.audit || answered && verbs.audit.is_busy() => audit(&mut verbs.audit).await,
            5 if due.beat => {
                match verbs.engine.beat().await {
                    Ok(beat) => {
                        turned.done += usize::from(beat.raised.is_some());
                        wire.stage.hears(wire.daemon, &beat);
                    }
                    // No reason to stop: it comes round again.
                    Err(_) => turned.failed.beat = true,
                }
                continue;
            }
            _ => continue,
        };
        match ticked {
            Ok(tick) => {
                turned.done += tick.done;
                turned.wake_at = [turned.wake_at, tick.wake_at].into_iter().flatten().min();
            }
            Err(_) => match verb {
                0 => turned.failed.bill = true,
                1 => turned.failed.dun = true,
                2 => turned.failed.collect = true,
                3 => turned.failed.reconcile = true,
                _ => turned.failed.audit = true,
            },
        }
    }
    (Some(verbs), turned)
}

/// Greets the gateway where there is need, as a daemon does beside its loops.
fn greet(verbs: &mut Verbs, turned: &mut Turned) {
    let (landed, now) = (verbs.greetings.landed().len(), verbs.engine.clock.now());
    verbs.greetings.recorded(landed);
    let Some(again) = verbs.engine.greets_again() else { return };
    turned.done += landed;
    if verbs.greetings.is_empty() && verbs.greet_at <= now {
        let engine = verbs.engine.clone();
        verbs.greetings.launch(async move {
            engine.greet().await;
        });
        verbs.greet_at = now + delta(again);
    }
    turned.wake_at = Some(verbs.greet_at.max(now + SOONEST));
}

/// Ticks until nothing lands any more at this instant.
async fn collect(collect: &mut Collect) -> Result<Tick, EngineError> {
    let mut last = collect.tick(true).await?;
    while collect.flights().gather(Duration::ZERO, usize::MAX).await {
        let tick = collect.tick(true).await?;
        last = Tick { done: last.done + tick.done, ..tick };
    }
    Ok(last)
}

/// The same of the auditing side.
async fn audit(audit: &mut Audit) -> Result<Tick, EngineError> {
    let mut last = audit.tick(true).await?;
    while audit.flights().gather(Duration::ZERO, usize::MAX).await {
        let tick = audit.tick(true).await?;
        last = Tick { done: last.done + tick.done, ..tick };
    }
    Ok(last)
}

/// The same of the looking side.
async fn reconcile(reconcile: &mut Reconcile) -> Result<Tick, EngineError> {
    let mut last = reconcile.tick(true).await?;
    while reconcile.flights().gather(Duration::ZERO, usize::MAX).await {
        let tick = reconcile.tick(true).await?;
        last = Tick { done: last.done + tick.done, ..tick };
    }
    Ok(last)
}
