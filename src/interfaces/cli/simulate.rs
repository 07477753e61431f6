//! `dues simulate`: the proof that a period is charged once, for people: seeded worlds full of faults, and checkers.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::{Ground, exit, output};
use crate::simulation::campaign::Campaign;
use crate::simulation::{Kinds, Plan, Which, smallest};

/// Arguments of `dues simulate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything in it is simulated: the engine is the real one, on a real SQLite file; gateway, time and faults are drawn \
    from the seed. A run that breaks a promise is made as small as possible, and its story printed.\n\n\
    Examples:\n  dues simulate --faults --seed 7\n  dues simulate --faults --seeds 500 --world a\n  dues simulate --seed 7 --subscriptions 20 --months 6"
)]
pub struct Args {
    /// Draws everything: the same seed plays the same run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds to play, counted from --seed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seeds: u64,
    /// Lets faults strike: lost answers, crashes, a database that fails, a gateway that is away
    #[arg(long)]
    faults: bool,
    /// How many subscriptions; drawn from the seed where none is given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscriptions: Option<u32>,
    /// For how many months; drawn from the seed where none is given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=120))]
    months: Option<u32>,
    /// How many daemons share the books; drawn from the seed where none is given
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=9))]
    daemons: Option<u64>,
    /// The world: a, where a 5xx may hide a payment, or b, where look-ups are blind for a day; both where none is given
    #[arg(long)]
    world: Option<World>,
    /// How many runs at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,
    /// How long a run that fails may be made smaller, in seconds; 0 tells it as it is
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    shrink_for: u64,
}

/// A world, as the command line names it.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum World {
    /// Look-ups work within their bound, but a 5xx may hide a payment.
    A,
    /// Look-ups are blind for up to a day, but keys are honest.
    B,
}

impl Args {
    /// Plays it and prints what was seen.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let plans = self.plans();
        let threads = usize::try_from(self.threads)?;
        // Every run has a runtime of its own, and none may be made inside another.
        let patience = Duration::from_secs(self.shrink_for);
        let played = std::thread::spawn(move || {
            let campaign = Campaign::play(&plans, threads)?;
            if let Some((plan, report)) = &campaign.failed {
                for breach in &report.breaches {
                    output::aside(&breach.to_string());
                }
                output::aside(&format!("in {plan}; it is made smaller for {patience:?} at most"));
            }
            let failed = campaign.failed.as_ref().map(|(plan, _)| smallest(plan, patience)).transpose()?;
            Ok::<_, crate::simulation::SimulationError>((campaign, failed))
        });
        let played = played.join().map_err(|_| anyhow::anyhow!("the simulation broke off"))?;
        let (campaign, failed) = played.context("the simulation could not be played")?;
        if ground.json() {
            let told = serde_json::json!({
                "runs": campaign.runs,
                "subscription_months": campaign.months,
                "faults": campaign.faults,
                "counts": campaign.counts,
                "hash": format!("{:016x}", campaign.hash),
                "broken": failed.iter().flat_map(|(_, it)| it.breaches.iter().map(ToString::to_string)).collect::<Vec<_>>(),
            });
            output::json(&told)?;
        } else {
            output::line("SIMULATED: no wallet, no gateway and no money was touched.")?;
            for (name, count) in &campaign.counts {
                output::line(&format!("{count:>10}  {name}"))?;
            }
            output::line(&format!(
                "{} runs, {} subscription-months, {} faults; story {:016x}",
                campaign.runs, campaign.months, campaign.faults, campaign.hash
            ))?;
        }
        let Some((plan, report)) = failed else {
            if !ground.json() {
                output::line("every promise was kept")?;
            }
            return Ok(ExitCode::from(exit::OK));
        };
        for line in &report.story {
            output::aside(line);
        }
        for breach in &report.breaches {
            output::aside(&breach.to_string());
        }
        output::aside(&plan.to_string());
        Ok(ExitCode::from(exit::FAILED))
    }

    fn plans(&self) -> Vec<Plan> {
        let worlds = match self.world {
            None => vec![Which::A, Which::B],
            Some(World::A) => vec![Which::A],
            Some(World::B) => vec![Which::B],
        };
        let seeds = (0..self.seeds).map(|place| self.seed.wrapping_add(place));
        let drawn = seeds.flat_map(|seed| worlds.iter().map(move |world| Plan::of_seed(seed, *world)));
        let asked = drawn.map(|plan| Plan {
            subscriptions: self.subscriptions.unwrap_or(plan.subscriptions),
            months: self.months.unwrap_or(plan.months),
            daemons: self.daemons.map(|it| usize::try_from(it).unwrap_or(1)),
            kinds: if self.faults { Kinds::all() } else { Kinds::none() },
            ..plan
        });
        asked.collect()
    }
}
