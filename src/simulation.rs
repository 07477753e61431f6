//! The seeded simulation: the production engine and the production client on a real SQLite file and the sandbox, in virtual time, with
//! every fault that can be drawn from a seed, and checkers that see a broken promise. The same seed plays the same run, byte for byte.
//!
//! A run is a [`Plan`]; what it came to is a [`Report`]. Many runs at once are a [`campaign`].

pub mod campaign;
pub mod crash_points;

mod broken;
mod checkers;
mod crowd;
mod daemons;
mod faults;
mod gateway;
mod incidents;
mod oaths;
mod points;
mod run;
mod shrink;
mod stage;
mod story;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::EngineError;
use crate::engine::beat::BeatError;
use crate::store::StoreError;

pub use broken::Broken;
pub use faults::{Kind, Kinds};
pub use shrink::smallest;
pub use stage::Breach;
pub use world::Which;

/// What keeps a run from being played.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// Its own settings are wrong.
    #[error("the settings of the simulation are wrong: {0}")]
    Settings(String),
    /// The directory of its database cannot be made or removed.
    #[error("the directory of the simulation's database cannot be used")]
    Directory(#[source] std::io::Error),
    /// The books, outside of any fault that was drawn.
    #[error("the books of the simulation failed")]
    Store(#[from] StoreError),
    /// The engine, where no fault was drawn.
    #[error("the engine of the simulation failed")]
    Engine(#[from] EngineError),
    /// A daemon could not come round.
    #[error("a daemon of the simulation could not come round")]
    Beat(#[from] BeatError),
    /// No runtime could be made.
    #[error("the simulation has no runtime")]
    Runtime(#[source] std::io::Error),
}

/// What to play.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Draws everything.
    pub seed: u64,
    /// Which layer of the protocol is broken.
    pub world: Which,
    /// How many subscriptions.
    pub subscriptions: u32,
    /// For how many months of thirty days faults strike.
    pub months: u32,
    /// How many daemons; none: drawn from the seed.
    pub daemons: Option<usize>,
    /// Which faults strike.
    pub kinds: Kinds,
    /// What dues does wrong.
    pub broken: Option<Broken>,
    /// The URL of an empty PostgreSQL database, on which daemons work at the same time; none: a SQLite file, and they take turns.
    pub postgres: Option<String>,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The hash of its story.
    pub hash: u64,
    /// Subscription-months under faults.
    pub months: u64,
    /// Faults that struck.
    pub faults: u64,
    /// What was counted.
    pub counts: BTreeMap<&'static str, u64>,
    /// Promises that were broken: none, if all is well.
    pub breaches: Vec<Breach>,
    /// What led to it, where the story was kept.
    pub story: Vec<String>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, world, subscriptions, months, kinds, .. } = self;
        write!(f, "seed {seed} in world {world:?}, {subscriptions} subscriptions, {months} months, ")?;
        write!(f, "{} daemons, faults: {kinds}", self.daemons())
    }
}

impl Plan {
    /// A run of the usual size, drawn from its seed.
    pub fn of_seed(seed: u64, world: Which) -> Plan {
        Plan {
            seed,
            world,
            subscriptions: 100 + u32::try_from(seed.wrapping_mul(37) % 121).unwrap_or_default(),
            months: 2 + u32::try_from(seed % 3).unwrap_or_default(),
            daemons: None,
            kinds: Kinds::all(),
            broken: None,
            postgres: None,
        }
    }

    /// Plays it on a runtime of its own. With `keep_story` the report of a failure tells what led to it.
    ///
    /// # Errors
    /// [`SimulationError`]: the run could not be played. A broken promise is no error but stands in the report.
    pub fn play(&self, keep_story: bool) -> Result<Report, SimulationError> {
        let mut builder = if self.postgres.is_some() {
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        let runtime = builder.worker_threads(2).enable_all().build().map_err(SimulationError::Runtime)?;
        runtime.block_on(async { run::Run::begin(self, keep_story).await?.play().await })
    }

    /// How many daemons there are.
    fn daemons(&self) -> usize {
        // Half the worlds have one daemon, the others two or three.
        self.daemons.unwrap_or([1, 2, 1, 3][usize::try_from(self.seed % 4).unwrap_or_default()])
    }

    /// Freezing needs somebody who polls by hand.
    fn kinds(&self) -> Kinds {
        if self.postgres.is_some() { self.kinds.without(Kind::Pause) } else { self.kinds }
    }

    fn database_in(&self, directory: &Path) -> String {
        self.postgres.clone().unwrap_or_else(|| format!("sqlite:{}", directory.join("dues.db").display()))
    }

    /// An empty directory in memory, where there is such a place.
    fn fresh_directory(&self) -> Result<PathBuf, SimulationError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = parent.join(format!("dues-simulation-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).map_err(SimulationError::Directory)?;
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::campaign::Campaign;
    use super::*;

    /// The simulation as a unit test: a few small worlds in a few seconds, which is what planted faults are held against one by one.
    #[test]
    fn a_few_small_worlds_keep_every_promise() {
        let small = |seed, world| Plan { subscriptions: 24, months: 1, ..Plan::of_seed(seed, world) };
        let plans: Vec<Plan> = (1..=4).flat_map(|seed| [small(seed, Which::A), small(seed, Which::B)]).collect();
        let campaign = Campaign::play(&plans, 2).unwrap();
        let breaches = campaign.failed.map(|(plan, report)| (plan.to_string(), report.breaches));
        assert_eq!(breaches, None);
    }
}
