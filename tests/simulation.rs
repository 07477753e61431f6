//! The seeded simulation: once, whatever happens. `DUES_SIMULATION_SEEDS=N` plays N seeds in place of the usual number.

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dues::clock::Clock;
use dues::simulation::campaign::Campaign;
use dues::simulation::{Broken, Plan, Which, smallest};
use support::postgres::Cluster;

/// Seeds of each world in an ordinary run.
const SEEDS: u64 = 26;
/// What they come to at least.
const MONTHS: u64 = 25_000;
const FAULTS: u64 = 50_000;
/// A run that fails is made smaller for so long.
const SHRINK_FOR: Duration = Duration::from_secs(60);

/// One campaign after the other, so that what is printed of their time means something.
static CORES: Mutex<()> = Mutex::new(());

fn alone() -> impl Drop {
    struct Alone(Duration, #[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);
    impl Drop for Alone {
        fn drop(&mut self) {
            println!("it took {} s", (Clock::system().since_boot() - self.0).as_secs());
        }
    }
    let cores = CORES.lock().unwrap_or_else(PoisonError::into_inner);
    Alone(Clock::system().since_boot(), cores)
}

fn seeds() -> u64 {
    std::env::var("DUES_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn every_period_is_charged_once_whatever_happens() {
    let _alone = alone();
    let plans: Vec<Plan> =
        (1..=seeds()).flat_map(|seed| [Plan::of_seed(seed, Which::A), Plan::of_seed(seed, Which::B)]).collect();
    let campaign = Campaign::play(&plans, 2).unwrap();
    println!("{} runs, {} subscription-months, {} faults", campaign.runs, campaign.months, campaign.faults);
    for (name, count) in &campaign.counts {
        println!("{count:9}  {name}");
    }
    if let Some((plan, report)) = &campaign.failed {
        println!("{plan}: {:#?}", report.breaches);
        let (plan, report) = smallest(plan, SHRINK_FOR).unwrap();
        for line in &report.story {
            println!("{line}");
        }
        panic!("{plan:?}\n{:#?}", report.breaches);
    }
    assert_eq!(campaign.never_seen(), Vec::<&str>::new(), "paths that were never taken");
    // Who asks for fewer seeds wants a shorter run, which proves less.
    if seeds() >= SEEDS {
        assert!(campaign.months >= MONTHS, "{} subscription-months", campaign.months);
        assert!(campaign.faults >= FAULTS, "{} faults", campaign.faults);
    }
}

#[test]
fn the_same_seed_plays_the_same_run() {
    let _alone = alone();
    for seed in [3, 4, 6, 7] {
        for world in [Which::A, Which::B] {
            let plan = Plan { subscriptions: 12, months: 1, ..Plan::of_seed(seed, world) };
            let (one, other) = (plan.play(false).unwrap(), plan.play(false).unwrap());
            assert_eq!(one.hash, other.hash, "seed {seed} in world {world:?}");
            assert_eq!(one.counts, other.counts);
        }
    }
}

/// The checkers bite: dues with one thing done wrong is caught within a few seeds.
#[test]
fn a_broken_protocol_is_caught() {
    let _alone = alone();
    for broken in Broken::ALL {
        // Each in the world whose other layer does not save it.
        let world = if broken == Broken::NewKeyOnEachSend { Which::B } else { Which::A };
        let plan = |seed| Plan { broken: Some(broken), ..Plan::of_seed(seed, world) };
        let caught = (1..=5).find_map(|seed| plan(seed).play(false).unwrap().breaches.into_iter().next());
        let breach = caught.unwrap_or_else(|| panic!("{broken:?} was not caught within five seeds"));
        println!("{broken:?}: {breach}");
    }
}

/// The same on PostgreSQL, where daemons really work at once: nothing is repeated by its seed, and every promise is kept.
#[test]
fn three_daemons_at_once_on_postgres_charge_every_period_once() {
    let _alone = alone();
    let plan = |seed, world| Plan {
        subscriptions: 270,
        months: 2,
        daemons: Some(3),
        postgres: Some(Cluster::shared().new_database()),
        ..Plan::of_seed(seed, world)
    };
    let plans: Vec<Plan> = (1..=2).flat_map(|seed| [plan(seed, Which::A), plan(seed, Which::B)]).collect();
    let campaign = Campaign::play(&plans, 4).unwrap();
    println!("{} runs, {} subscription-months, {} faults", campaign.runs, campaign.months, campaign.faults);
    for (name, count) in &campaign.counts {
        println!("{count:9}  {name}");
    }
    if let Some((plan, report)) = &campaign.failed {
        panic!("{plan:?}\n{:#?}", report.breaches);
    }
    assert!(campaign.months >= 2_000, "{} subscription-months", campaign.months);
}
