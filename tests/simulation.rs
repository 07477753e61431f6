//! The seeded simulation: once, whatever happens. `DUES_SIMULATION_SEEDS=N` plays N seeds in place of the usual number.

use dues::simulation::campaign::Campaign;
use dues::simulation::{Broken, Plan, Which, smallest};

/// Seeds of each world in an ordinary run.
const SEEDS: u64 = 20;

fn seeds() -> u64 {
    std::env::var("DUES_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn every_period_is_charged_once_whatever_happens() {
    let plans: Vec<Plan> =
        (1..=seeds()).flat_map(|seed| [Plan::of_seed(seed, Which::A), Plan::of_seed(seed, Which::B)]).collect();
    let campaign = Campaign::play(&plans, 2).unwrap();
    println!("{} runs, {} subscription-months, {} faults", campaign.runs, campaign.months, campaign.faults);
    for (name, count) in &campaign.counts {
        println!("{count:9}  {name}");
    }
    if let Some((plan, _)) = &campaign.failed {
        let (plan, report) = smallest(plan).unwrap();
        for line in &report.story {
            println!("{line}");
        }
        panic!("{plan:?}\n{:#?}", report.breaches);
    }
    assert_eq!(campaign.never_seen(), Vec::<&str>::new(), "paths that were never taken");
}

#[test]
fn the_same_seed_plays_the_same_run() {
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
    for broken in Broken::ALL {
        // Each in the world whose other layer does not save it.
        let world = if broken == Broken::NewKeyOnEachSend { Which::B } else { Which::A };
        let plan = |seed| Plan { broken: Some(broken), ..Plan::of_seed(seed, world) };
        let caught = (1..=5).find_map(|seed| plan(seed).play(false).unwrap().breaches.into_iter().next());
        let breach = caught.unwrap_or_else(|| panic!("{broken:?} was not caught within five seeds"));
        println!("{broken:?}: {breach}");
    }
}
