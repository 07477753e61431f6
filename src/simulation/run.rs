//! One run: a world, its daemons and its gateway, taken through the true time from one instant at which something happens to the
//! next, with faults to the end of the months, then without until everything is quiet.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;

use super::checkers;
use super::crowd::work_together;
use super::daemons::{Daemon, Due, Ground, work};
use super::gateway::Gateway;
use super::incidents::{self, Bears, Copy, Incident};
use super::oaths::Oaths;
use super::points::Points;
use super::stage::Stage;
use super::wire::{Wire, note};
use super::world::{Act, World};
use super::{Plan, Report, SimulationError, Which};
use crate::chance::Chance;
use crate::clock::Instant;
use crate::config::{self, Sources};
use crate::engine::rules::delta;
use crate::engine::{cancel, open};
use crate::sandbox::{self, Sandbox, Script};
use crate::store::attempts::NextRow;
use crate::store::standings::StandingRow;

/// After the faults the world lives on so long: through dunning, long pendings and the looks of the patient.
const CALM: TimeDelta = TimeDelta::days(25);
/// The shortest wait for what is due and cannot be done yet, and the longest.
const SHORTEST_WAIT: TimeDelta = TimeDelta::seconds(5);
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(5);
/// A period that fell due so lately is audited once more.
const AUDITED_FOR: TimeDelta = TimeDelta::days(13);
/// Turns at one instant before a run is given up.
const MOST_TURNS: usize = 10_000;

/// Everything of one run.
pub(super) struct Run {
    plan: Plan,
    stage: Arc<Stage>,
    world: Arc<World>,
    gateway: Arc<Gateway>,
    ground: Ground,
    daemons: Vec<Daemon>,
    /// Draws turns and their order.
    chance: Chance,
    acts: Vec<Act>,
    incidents: Vec<(Instant, Incident)>,
    /// What people did since the books were copied last.
    done_since_copy: Vec<Act>,
    wait: TimeDelta,
    /// When an operator who saw the hold has read it all.
    acknowledge_at: Option<Instant>,
    /// When each verb has something to do next, as the books said when nothing moved any more.
    next: [Option<Instant>; 5],
    directory: PathBuf,
}

/// The streams of chance, so that leaving out one kind of fault moves the others little.
#[derive(Clone, Copy)]
enum Stream {
    World = 1,
    Turns = 2,
    Wire = 3,
    Points = 4,
    Ids = 5,
    Setup = 6,
    Incidents = 7,
}

fn stream(seed: u64, stream: Stream) -> u64 {
    (seed ^ ((stream as u64) << 56)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Run {
    /// Draws the world and hands the subscriptions over.
    pub async fn begin(plan: &Plan, keep_story: bool) -> Result<Run, SimulationError> {
        let directory = plan.fresh_directory()?;
        let mut world =
            World::draw(plan, &plan.database_in(&directory), &Chance::seeded(stream(plan.seed, Stream::World)));
        let stage = Arc::new(Stage::new(world.begins, plan.kinds(), keep_story));
        let settings = config::load(&Sources::of_flags(world.settings.clone()))
            .map_err(|faults| SimulationError::Settings(faults.to_string()))?
            .settings;
        let bears = Bears {
            alone: plan.daemons() == 1 && plan.postgres.is_none(),
            look_ups: plan.world == Which::A,
            gap: delta(settings.protocol.gap),
        };
        let incidents = Chance::seeded(stream(plan.seed, Stream::Incidents));
        world.incidents = incidents::draw(world.begins, world.ends, bears, &incidents);
        let gateway_settings = sandbox::Settings { key_life: world.key_life, ..sandbox::Settings::default() };
        let secret_key = gateway_settings.secret_key.clone();
        let script = Script::of(world.rules.clone());
        let sandbox = Sandbox::new(gateway_settings, script, stage.clock.clone(), stream(plan.seed, Stream::Ids));
        let store = open::books(&settings, &stage.wall).await?;
        let setup = Chance::seeded(stream(plan.seed, Stream::Setup));
        let engine = open::engine(&settings, store.clone(), sandbox.in_process(), &secret_key, setup, true).await?;
        let mut accepted = Vec::new();
        for member in &world.members {
            let acceptable = engine.acceptable(member.hand_over.clone());
            accepted.push(acceptable.map_err(|refusal| SimulationError::Settings(refusal.to_string()))?);
        }
        engine.hand_over(&accepted).await?;
        drop(engine);
        let world = Arc::new(world);
        let gateway = Arc::new(Gateway::new(sandbox));
        let number_of_daemons = plan.daemons();
        let ground = Ground {
            stage: Arc::clone(&stage),
            settings,
            store,
            secret_key,
            seed: stream(plan.seed, Stream::Ids),
            alone: number_of_daemons == 1 && plan.postgres.is_none(),
            outside: directory.clone(),
        };
        let takes_turns = number_of_daemons > 1 && plan.postgres.is_none();
        let daemons = (1..=number_of_daemons).map(|number| {
            let place = (number as u64) << 48;
            let points = stream(plan.seed, Stream::Points) ^ place;
            let points = Arc::new(Points::new(Arc::clone(&stage), points, number, takes_turns));
            let wire = Arc::new(Wire {
                stage: Arc::clone(&stage),
                world: Arc::clone(&world),
                gateway: Arc::clone(&gateway),
                points: Arc::clone(&points),
                chance: Arc::new(Chance::seeded(stream(plan.seed, Stream::Wire) ^ place)),
                daemon: number,
                broken: plan.broken,
            });
            Daemon::new(number, points, wire, stage.clock.now())
        });
        Ok(Run {
            plan: plan.clone(),
            daemons: daemons.collect(),
            acts: world.acts.clone(),
            incidents: world.incidents.clone(),
            done_since_copy: Vec::new(),
            next: [None; 5],
            acknowledge_at: None,
            chance: Chance::seeded(stream(plan.seed, Stream::Turns)),
            wait: SHORTEST_WAIT,
            stage,
            world,
            gateway,
            ground,
            directory,
        })
    }

    /// Plays it to its end, or to the first broken promise.
    pub async fn play(mut self) -> Result<Report, SimulationError> {
        let (ends, quiet) = (self.world.ends, self.world.ends + CALM);
        self.until(ends).await?;
        if !self.stage.is_broken() {
            self.stage.tell(format_args!("from here on nothing goes wrong any more"));
            self.stage.calm();
            for member in &self.world.members {
                // What has ended already cannot be ended again, which is fine.
                let name = &member.hand_over.reference;
                let _ended = cancel::cancel(&self.ground.store, name, true, "the simulation ends", "simulation").await;
            }
            self.until(quiet).await?;
        }
        if !self.stage.is_broken() {
            checkers::at_the_end(&self.stage, &self.world, &self.gateway, &self.ground.store).await?;
        }
        checkers::count_the_journal(&self.stage, &self.ground.store).await?;
        let report = self.report();
        self.ground.store.close().await;
        std::fs::remove_dir_all(&self.directory).map_err(SimulationError::Directory)?;
        Ok(report)
    }

    async fn until(&mut self, until: Instant) -> Result<(), SimulationError> {
        loop {
            self.at_this_instant().await?;
            let now = self.stage.clock.now();
            if now >= until || self.stage.is_broken() {
                return Ok(());
            }
            let next = self.next_instant(now).min(until);
            self.stage.advance_to(next);
        }
    }

    /// Everything that happens now: arrivals at the gateway, what people do, and the daemons' turns until nothing moves.
    async fn at_this_instant(&mut self) -> Result<(), SimulationError> {
        let now = self.stage.clock.now();
        for done in self.gateway.arrive(now) {
            note(&self.stage, &done);
        }
        while self.acts.first().is_some_and(|act| act.at <= now) {
            let act = self.acts.remove(0);
            self.done_since_copy.push(act.clone());
            self.stage.tell(format_args!("{} cancels, at period end: {}", act.reference, act.at_period_end));
            let canceled =
                cancel::cancel(&self.ground.store, &act.reference, act.at_period_end, "left", "operator").await;
            self.stage.count("canceled in the middle", u64::from(canceled.is_ok()));
        }
        while self.incidents.first().is_some_and(|(at, _)| *at <= now) {
            let (_, incident) = self.incidents.remove(0);
            self.befall(incident, now).await?;
        }
        self.operate(now).await?;
        self.stage.count("instants", 1);
        for _ in 0..MOST_TURNS {
            self.stage.count("rounds of turns", 1);
            let due = self.look(now).await?;
            for daemon in &mut self.daemons {
                // Loops come round when they come round: not every daemon is there for everything.
                let (late, order) = (self.chance.below(4) == 0, self.chance.below(4));
                let due = if late && !self.ground.alone { Due::default() } else { due };
                daemon.begin(&self.ground, due, now, order);
            }
            let turned = if self.plan.postgres.is_some() {
                work_together(&mut self.daemons, now).await
            } else {
                work(&mut self.daemons, &self.chance, now).await
            };
            checkers::after_a_step(&self.stage, &self.gateway);
            if self.stage.is_broken() {
                return Ok(());
            }
            if turned.done > 0 {
                self.wait = SHORTEST_WAIT;
            } else {
                return Ok(());
            }
        }
        self.stage.broken("work at one instant ends", None, format!("{MOST_TURNS} turns, and still something moves"));
        Ok(())
    }

    /// Something befalls the books or the clock.
    async fn befall(&mut self, incident: Incident, now: Instant) -> Result<(), SimulationError> {
        let (kind, strikes) = (incident.kind(), self.stage.knows(incident.kind()));
        if !strikes {
            return Ok(());
        }
        match incident {
            Incident::BackUp => {
                self.stage.tell(format_args!("the books are copied"));
                self.done_since_copy.clear();
                self.with_closed_books(now, |copy| copy.take()).await?;
            }
            Incident::Restore { with_mark } => {
                self.stage.tell(format_args!("the books are set back to the copy, and the mark: {with_mark}"));
                self.stage.strikes(kind);
                self.with_closed_books(now, |copy| copy.put_back(with_mark)).await?;
                self.gateway.swear(Oaths::forget_all);
                self.stage.lifted();
                self.acknowledge_at = None;
            }
            Incident::Jump(by) => {
                self.stage.tell(format_args!("the clock on the wall jumps by {} s", by.num_seconds()));
                self.stage.strikes(kind);
                self.stage.wall.jump(by);
                for daemon in &mut self.daemons {
                    let seconds = i64::try_from(self.chance.below(1_800)).unwrap_or_default();
                    daemon.beat_by(now + TimeDelta::seconds(seconds));
                }
            }
            Incident::Flip => {
                if let Some(reference) = self.given_up(now).await? {
                    self.stage.tell(format_args!("gateway: {reference} is captured after all"));
                    self.stage.strikes(kind);
                }
            }
        }
        Ok(())
    }

    /// Ends the daemon, lets something happen to the books, and has the daemon started after a while.
    async fn with_closed_books(
        &mut self,
        now: Instant,
        happens: impl FnOnce(&Copy) -> std::io::Result<()>,
    ) -> Result<(), SimulationError> {
        for daemon in &mut self.daemons {
            let minutes = [1, 5, 30, 180][usize::try_from(self.chance.below(4)).unwrap_or_default()];
            daemon.end(now + TimeDelta::minutes(minutes));
        }
        self.ground.store.close().await;
        happens(&Copy::of(&self.directory)).map_err(SimulationError::Directory)?;
        self.ground.store = open::books(&self.ground.settings, &self.stage.wall).await?;
        Ok(())
    }

    /// Overturns the last refusal of a period that was given up and that an audit will still look at; its reference.
    async fn given_up(&self, now: Instant) -> Result<Option<String>, SimulationError> {
        let standings = self.ground.store.standings().await?;
        let lately = |row: &StandingRow| {
            let due_at = self.world.due_at(&row.subscription, row.period_index);
            due_at.is_some_and(|at| at > now - AUDITED_FOR)
        };
        let given_up = |row: &&StandingRow| row.state == "uncollectible" && row.live == 0 && lately(row);
        let found: Vec<&StandingRow> = standings.iter().filter(given_up).collect();
        let Some(row) = found.get(usize::try_from(self.chance.below(found.len().max(1) as u64)).unwrap_or_default())
        else {
            return Ok(None);
        };
        let payments = self.gateway.sandbox.payments_of(&row.reference);
        let refused = payments.iter().all(|it| it.status == crate::sandbox::Status::Declined);
        let Some(last) = payments.last().filter(|_| refused && !self.gateway.is_on_the_way(&row.reference)) else {
            return Ok(None);
        };
        Ok(self.gateway.sandbox.overturn(&last.id).then(|| row.reference.clone()))
    }

    /// What an operator does: reads for some hours what a hold says, then lifts it.
    async fn operate(&mut self, now: Instant) -> Result<(), SimulationError> {
        if let Some(reason) = self.stage.held()
            && self.acknowledge_at.is_none()
        {
            let minutes = i64::try_from(60 + self.chance.below(11 * 60)).unwrap_or_default();
            self.stage.tell(format_args!("the books are held ({reason}); an operator reads for {minutes} minutes"));
            self.acknowledge_at = Some(now + TimeDelta::minutes(minutes));
        }
        if self.stage.held().is_none() {
            self.acknowledge_at = None;
        }
        if self.acknowledge_at.is_some_and(|at| at <= now) {
            if self.stage.ahead() > TimeDelta::zero() {
                // He sees that the clock is wrong, and lets it be set right.
                self.acknowledge_at = Some(now + TimeDelta::hours(1));
                return Ok(());
            }
            self.acknowledge_at = None;
            // What he finds missing in the books is entered again first.
            for act in &self.done_since_copy {
                let (name, at_end) = (&act.reference, act.at_period_end);
                let _again = cancel::cancel(&self.ground.store, name, at_end, "left", "operator").await;
            }
            let mut tx = self.ground.store.begin("acknowledge").await?;
            let fences = tx.acknowledge_fences("operator", "read it", self.stage.wall.now()).await?;
            tx.commit().await?;
            self.stage.lifted();
            self.stage.tell(format_args!("the operator acknowledges {fences} fences"));
        }
        Ok(())
    }

    /// Reads what is due in the books.
    async fn look(&mut self, now: Instant) -> Result<Due, SimulationError> {
        let ahead = self.stage.ahead();
        let NextRow { bill_at, send_at, look_at, step_at, audit_at } = self.ground.store.next_of_each().await?;
        let next = [bill_at, send_at, look_at, step_at, audit_at].map(|at| at.map(|at| at - ahead));
        let [bill_at, send_at, look_at, step_at, audit_at] = next;
        self.next = next;
        let is = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        Ok(Due {
            bill: is(bill_at),
            collect: is(send_at),
            reconcile: is(look_at),
            dun: is(step_at),
            audit: is(audit_at),
            beat: false,
        })
    }

    /// The next instant at which anything happens, after everything that happens now was done.
    fn next_instant(&mut self, now: Instant) -> Instant {
        let mut next: Option<Instant> = self.gateway.next_at(now);
        let mut sooner = |at: Instant| next = Some(next.map_or(at, |known| known.min(at)));
        for daemon in &self.daemons {
            if let Some(at) = daemon.next_at(now) {
                sooner(at);
            }
        }
        if let Some(act) = self.acts.first() {
            sooner(act.at);
        }
        if let Some((at, _)) = self.incidents.first() {
            sooner(*at);
        }
        if let Some(at) = self.acknowledge_at {
            sooner(at);
        }
        for at in self.next.into_iter().flatten() {
            sooner(if at > now { at } else { now + self.wait });
            if at <= now {
                self.wait = (self.wait * 2).min(LONGEST_WAIT);
            }
        }
        next.unwrap_or(Instant::MAX_UTC).max(now + TimeDelta::microseconds(1))
    }

    fn report(&self) -> Report {
        let breaches = self.stage.breaches();
        let mut subjects = Vec::new();
        for breach in &breaches {
            subjects.extend(breach.subject.clone());
        }
        let counts = self.stage.counts();
        Report {
            seed: self.plan.seed,
            hash: self.stage.hash(),
            months: u64::from(self.plan.subscriptions) * u64::from(self.plan.months),
            faults: counts.get("faults").copied().unwrap_or_default(),
            counts,
            story: if breaches.is_empty() { Vec::new() } else { self.stage.story_about(&subjects) },
            breaches,
        }
    }
}
