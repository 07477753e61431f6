//! `dues ledger`: can these books be the latest, what may a restore have lost, and the hold that follows.

mod acknowledge;
mod marks;
mod page;

use std::process::ExitCode;

use clap::Subcommand;

use super::output;
use super::{Ground, exit};

pub use marks::marks;
pub use page::{Fenced, span};

/// Arguments of `dues ledger`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the fence: whose books these are, whether they are held, and what a restore may have lost
    #[command(
        after_help = "A fence is raised where the books may not be the latest: after a stop, a fail-over, a restored backup, or \
        a jump of the clock. One that holds lets nothing be sent until `dues ledger acknowledge`.\n\n\
        Examples:\n  dues ledger show\n  dues ledger show --json"
    )]
    Show(ShowArgs),
    /// Lifts the hold, once somebody has read what may be lost
    #[command(
        after_help = "It may be run while the daemon runs, and needs no secret key. What waits is looked up at the gateway before \
        it is sent, so that nobody is charged twice.\n\n\
        Examples:\n  dues ledger acknowledge --reason \"the backup of 3 May is restored\"\n  \
        dues ledger acknowledge --reason \"as agreed with finance\" \\\n    \
        --operator \"Night Shift\" --yes"
    )]
    Acknowledge(acknowledge::Args),
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// So many fences at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Show(args) => args.run(ground).await,
            Command::Acknowledge(args) => args.run(ground).await,
        }
    }
}

impl ShowArgs {
    async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let (loaded, store) = ground.books().await?;
        let fenced = Fenced::read(&loaded.settings, &store).await?;
        if ground.json() {
            output::json(&fenced.json()?)?;
        } else if ground.csv() {
            fenced.spreadsheet(self.limit)?;
        } else {
            fenced.page(self.limit)?.print()?;
        }
        Ok(ExitCode::from(exit::OK))
    }
}
