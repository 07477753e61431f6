//! Every point at which a process may die on the charging path, played one by one: the daemon dies there, the next one starts on what
//! was left behind, and in the end the books are held against the gateway's. Unlike in the seeded simulation nothing is drawn.
//!
//! A [`Scenario`] is the course of one charge. [`play`] plays it on a [`Ground`], once without a death to count its points, then once
//! for each of them. A death is the end of everything the process had: its work, its memory, its connections.

mod deaths;
mod found;
mod life;
mod line;
mod scenarios;
pub mod table;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use secrecy::SecretString;

use super::SimulationError;
use super::broken::Broken;
use super::checkers;
use super::faults::Kinds;
use super::gateway::Gateway;
use super::oaths::Oaths;
use super::stage::Stage;
use super::world::World;
use crate::chance::Chance;
use crate::clock::Instant;
use crate::config::{self, Settings, Sources};
use crate::engine::open;
use crate::sandbox::{self, Sandbox, Script};
use crate::store::standings::StandingRow;
use deaths::{Deathless, Deaths, Dies, Point};
use found::Found;
use life::Life;
use line::{Deed, Line};
use scenarios::Prelude;

pub use scenarios::Scenario;

/// When the subscription is handed over.
const HANDED_OVER: &str = "2026-01-15T00:00:00Z";
/// When the daemon before was there last.
const BEFORE: &str = "2026-01-20T01:55:00Z";
/// The day on which the period begins, at 02:00 UTC.
const ANCHOR_ON: &str = "2026-01-20";
/// The end of every scenario: long after the last look at the charge, and before the next period.
const ENDS: &str = "2026-01-25T02:00:00Z";
/// A dead daemon is started again after so long.
const RESTART: TimeDelta = TimeDelta::seconds(5);

/// A database on which a scenario begins again and again.
pub trait Ground {
    /// Which database it is.
    fn name(&self) -> &'static str;
    /// Where the books are now.
    fn url(&self) -> String;
    /// Remembers the books as they are, and the mark outside them; nobody has them open.
    fn keep(&mut self);
    /// Puts them back as they were remembered; the mark too, or not.
    fn put_back(&mut self, with_mark: bool);
    /// Waits until the database knows that the dead process is gone, and has rolled back what it left open.
    fn let_go(&mut self);
    /// Where the daemon keeps its mark outside the books.
    fn mark(&self) -> PathBuf;
}

/// What one death came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    point: Point,
    /// How the books stood afterwards.
    left: String,
    /// Payments that the gateway had by then.
    left_payments: usize,
    /// What the next start did.
    did: String,
    /// Payments that the gateway has in the end.
    payments: usize,
    /// How many of them were captured.
    captured: usize,
    /// Promises that were broken.
    pub breaches: Vec<String>,
    /// Whether the period was charged twice.
    pub doubled: bool,
    /// Whether it was not paid in the end.
    pub lost: bool,
}

/// A scenario that was played on one database.
#[derive(Debug, Clone)]
pub struct Played {
    /// Which database.
    pub database: &'static str,
    /// Which scenario.
    pub scenario: Scenario,
    /// The course without a death, as the table tells it.
    pub undisturbed: String,
    /// A row for each point.
    pub rows: Vec<Row>,
}

/// Makes the books that every scenario begins with: one subscription, and a daemon that was there before.
///
/// # Errors
/// [`SimulationError`].
pub fn set_up(ground: &mut dyn Ground) -> Result<(), SimulationError> {
    let settings = settings(&Scenario::ALL[0], ground)?;
    let mut play = Play::of(&Scenario::ALL[0], &settings, None);
    play.stage.advance_to(instant(HANDED_OVER));
    let settings = play.settings_on(ground);
    runtime()?.block_on(async {
        let store = open::books(&settings, &play.stage.wall).await?;
        let (transport, chance) = (play.gateway.sandbox.in_process(), Chance::seeded(1));
        let engine = open::engine(&settings, store.clone(), transport, &play.secret_key, chance, true).await?;
        let acceptable = engine.acceptable(play.world.members[0].hand_over.clone());
        let acceptable = acceptable.map_err(|refusal| SimulationError::Settings(refusal.to_string()))?;
        engine.hand_over(&[acceptable]).await?;
        store.close().await;
        Ok::<_, SimulationError>(())
    })?;
    play.stage.advance_to(instant(BEFORE));
    play.live(ground, Dies::Never, instant(BEFORE))?;
    ground.keep();
    Ok(())
}

/// Plays a scenario: a row for each of its points. `broken`: dues with one thing done wrong.
///
/// # Errors
/// [`SimulationError`]: it could not be played. A broken promise is no error but stands in its row.
pub fn play(scenario: &Scenario, ground: &mut dyn Ground, broken: Option<Broken>) -> Result<Played, SimulationError> {
    let settings = settings(scenario, ground)?;
    let mut play = Play::begin(scenario, &settings, ground, broken)?;
    let counted = play.live(ground, Dies::Never, instant(ENDS))?;
    let undisturbed = counted.found.made_of_it(&counted.after.clone().unwrap_or_default(), &counted.deeds);
    let mut rows = Vec::new();
    for number in scenario.from.first(&counted.points)..counted.points.len() {
        let mut play = Play::begin(scenario, &settings, ground, broken)?;
        let dead = play.live(ground, Dies::At(number), instant(ENDS))?;
        let point = dead.points.get(number).copied().filter(|point| *point == counted.points[number]);
        let Some(point) = point else {
            return Err(SimulationError::Settings(format!("point {number} of {:?} is not repeated", scenario.title)));
        };
        rows.push(play.start_again(ground, point)?);
    }
    Ok(Played { database: ground.name(), scenario: *scenario, undisturbed, rows })
}

/// One playing of a scenario.
struct Play {
    stage: Arc<Stage>,
    world: Arc<World>,
    gateway: Arc<Gateway>,
    settings: Settings,
    secret_key: SecretString,
    broken: Option<Broken>,
    lives: u64,
}

/// One life of the daemon, after its end.
struct Lived {
    points: Vec<Point>,
    deeds: Vec<Deed>,
    /// The books that it started with.
    found: Found,
    /// The books in the end, unless it died.
    after: Option<Found>,
    /// The charges in the end, unless it died.
    standings: Vec<StandingRow>,
}

impl Play {
    /// The scenario up to the start of the daemon whose points are played.
    fn begin(
        scenario: &Scenario,
        settings: &Settings,
        ground: &mut dyn Ground,
        broken: Option<Broken>,
    ) -> Result<Play, SimulationError> {
        ground.put_back(true);
        let mut play = Play::of(scenario, settings, broken);
        play.stage.advance_to(instant(scenario.begins));
        match scenario.prelude {
            Prelude::Nothing => {}
            Prelude::Died(place) => {
                play.live(ground, Dies::AtPost(place), instant(ENDS))?;
                play.stage.advance_to(play.stage.clock.now() + RESTART);
            }
            Prelude::SetBack => {
                play.live(ground, Dies::Never, instant(ENDS))?;
                ground.put_back(false);
                play.gateway.swear(Oaths::forget_all);
            }
        }
        Ok(play)
    }

    fn of(scenario: &Scenario, settings: &Settings, broken: Option<Broken>) -> Play {
        let stage = Arc::new(Stage::new(instant(HANDED_OVER), Kinds::none(), false));
        let anchor_on = ANCHOR_ON.parse().expect("a literal date");
        let world = Arc::new(World::of_one(instant(HANDED_OVER), instant(ENDS), anchor_on));
        let gateway_settings = sandbox::Settings::default();
        let secret_key = gateway_settings.secret_key.clone();
        let script = Script::of((scenario.rules)());
        let sandbox = Sandbox::new(gateway_settings, script, stage.clock.clone(), 1);
        let gateway = Arc::new(Gateway::new(sandbox));
        Play { stage, world, gateway, settings: settings.clone(), secret_key, broken, lives: 0 }
    }

    fn settings_on(&self, ground: &dyn Ground) -> Settings {
        let mut settings = self.settings.clone();
        settings.database.url = ground.url().into();
        settings
    }

    /// One life on a runtime of its own: when it dies, that ends with everything on it, and the connections are cut.
    fn live(&mut self, ground: &mut dyn Ground, dies: Dies, until: Instant) -> Result<Lived, SimulationError> {
        self.lives += 1;
        let (deaths, settings) = (Arc::new(Deaths::new(dies)), self.settings_on(ground));
        let runtime = runtime()?;
        let lived = runtime.block_on(async {
            let aside = open::books(&settings, &self.stage.wall).await?.with_hook(Arc::new(Deathless));
            let found = Found::of(&aside).await?;
            let line = Arc::new(Line {
                stage: Arc::clone(&self.stage),
                world: Arc::clone(&self.world),
                gateway: Arc::clone(&self.gateway),
                inner: self.gateway.sandbox.in_process(),
                deaths: Arc::clone(&deaths),
                broken: self.broken,
                chance: Chance::seeded(self.lives),
                known: Mutex::new(found.payments.clone()),
                sent: found.sent(),
                deeds: Mutex::default(),
            });
            let life = Life {
                stage: Arc::clone(&self.stage),
                settings,
                secret_key: self.secret_key.clone(),
                store: aside.with_hook(deaths.clone()),
                aside: aside.clone(),
                line: line.clone(),
                deaths: Arc::clone(&deaths),
                seed: self.lives,
            };
            let ended = tokio::select! {
                biased;
                () = deaths.died() => None,
                ended = life.live(until) => Some(ended),
            };
            let mut lived =
                Lived { points: deaths.points(), deeds: line.deeds(), found, after: None, standings: Vec::new() };
            if let Some(ended) = ended {
                ended?;
                lived.after = Some(Found::of(&aside).await?);
                checkers::after_a_step(&self.stage, &self.gateway);
                if until == self.world.ends {
                    checkers::at_the_end(&self.stage, &self.world, &self.gateway, &aside).await?;
                }
                lived.standings = aside.standings().await?;
                aside.close().await;
            }
            Ok::<_, SimulationError>(lived)
        })?;
        drop(runtime);
        if lived.after.is_none() {
            ground.let_go();
        }
        Ok(lived)
    }

    /// The start after a death at `point`, and what came of it.
    fn start_again(mut self, ground: &mut dyn Ground, point: Point) -> Result<Row, SimulationError> {
        let left_payments = self.gateway.sandbox.books().payments.len();
        self.stage.advance_to(self.stage.clock.now() + RESTART);
        let next = self.live(ground, Dies::Never, instant(ENDS))?;
        let theirs = self.gateway.sandbox.books();
        let captures = theirs.captures_by_reference();
        let paid = !next.standings.is_empty() && next.standings.iter().all(|it| it.state == "paid");
        Ok(Row {
            point,
            left: next.found.describe(),
            left_payments,
            did: next.found.made_of_it(&next.after.unwrap_or_default(), &next.deeds),
            payments: theirs.payments.len(),
            captured: theirs.payments.iter().filter(|it| it.captured_minor > 0).count(),
            breaches: self.stage.breaches().iter().map(ToString::to_string).collect(),
            doubled: captures.values().any(|times| *times > 1),
            lost: !paid || captures.is_empty(),
        })
    }
}

fn settings(scenario: &Scenario, ground: &dyn Ground) -> Result<Settings, SimulationError> {
    let (mark, url) = (ground.mark().display().to_string(), ground.url());
    let all = [
        ("installation.name", "crash-points"),
        ("installation.environment", "live"),
        ("installation.node", "node-1"),
        ("installation.high_water_file", &mark),
        ("gateway.url", "https://api.checkout.com"),
        ("gateway.processing_channel_id", "pc_simulatedsimulatedsimulate"),
        ("database.url", &url),
        ("database.max_connections", "1"),
        ("plans.monthly.amount_minor", "12800"),
        ("plans.monthly.currency", "HKD"),
        ("plans.monthly.interval", "month"),
        ("plans.monthly.billing_hour", "10"),
        ("plans.monthly.description", "Monthly"),
    ];
    let all = all.iter().chain(scenario.flags).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let loaded = config::load(&Sources::of_flags(all.collect()));
    loaded.map(|loaded| loaded.settings).map_err(|faults| SimulationError::Settings(faults.to_string()))
}

fn runtime() -> Result<tokio::runtime::Runtime, SimulationError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SimulationError::Runtime)
}

fn instant(text: &str) -> Instant {
    text.parse().expect("a literal instant")
}
