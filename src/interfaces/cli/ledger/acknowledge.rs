//! `dues ledger acknowledge`: an operator has read what a restore may have lost, and lets the daemons go on.

use std::process::ExitCode;

use serde_json::json;

use super::super::operator::{Act, confirmed};
use super::super::output::{self, time};
use super::super::{Ground, WrongUsage, exit};
use super::Fenced;
use crate::engine::beat::alive;
use crate::engine::lift::acknowledge;
use crate::store::Store;

/// Fences that are shown before the question.
const SHOWN: u32 = 20;

/// Arguments of `dues ledger acknowledge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    act: Act,
    /// Does not ask; needed where there is no terminal to ask on
    #[arg(long)]
    yes: bool,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let operator = self.act.operator()?;
        let (loaded, store) = ground.own_books().await?;
        let fenced = Fenced::read(&loaded.settings, &store).await?;
        if fenced.state.held_at.is_none() {
            return not_held(ground);
        }
        if !ground.json() {
            fenced.page(SHOWN)?.print()?;
            output::line("")?;
        }
        if self.yes && fenced.left > 0 {
            output::remark(&so_far(fenced.left));
        }
        if !self.yes {
            match confirmed(&question(fenced.left))? {
                Some(true) => {}
                Some(false) => {
                    output::remark("nothing was changed; the hold stays");
                    return Ok(ExitCode::from(exit::FAILED));
                }
                None => {
                    return Err(WrongUsage(
                        "there is no terminal to confirm on: read the list, then say --yes; the hold stays",
                    )
                    .into());
                }
            }
        }
        let Some(acknowledged) = acknowledge(&store, fenced.last_fence(), &self.act.reason, &operator).await? else {
            return not_held(ground);
        };
        let next = Next::of(&store).await?;
        if ground.json() {
            output::json(&json!({
                "held": false,
                "acknowledged": acknowledged,
                "operator": operator,
                "waiting": next.waiting,
                "daemons_alive": next.living,
                "continuity_from": fenced.state.continuity_from,
                "before": fenced.json()?,
            }))?;
            return Ok(ExitCode::from(exit::OK));
        }
        let before = fenced.state.continuity_from.map_or("now".to_owned(), time);
        output::line(&format!("the hold is lifted by {operator}; {}", next.told(&before)))?;
        Ok(ExitCode::from(exit::OK))
    }
}

/// What follows once the hold is lifted.
struct Next {
    waiting: i64,
    living: usize,
}

impl Next {
    async fn of(store: &Store) -> anyhow::Result<Next> {
        let now = store.now().await?;
        let waiting = store.figures(now).await?.attempts_due;
        let living = alive(&store.nodes().await?, now);
        Ok(Next { waiting, living })
    }

    fn told(&self, before: &str) -> String {
        let waiting = match self.waiting {
            0 => "nothing waits to be sent now".to_owned(),
            1 => "1 charge waits to be sent".to_owned(),
            several => format!("{several} charges wait to be sent"),
        };
        let begins = match self.living {
            0 => "No daemon is alive: start one, and it goes on from here.",
            _ => "The daemons go on within seconds.",
        };
        format!(
            "{waiting}.\nWhat fell due before {before} is looked up at the gateway before it is sent: a payment that is there is adopted \
             and not charged again.\nEvery charge of the last weeks is looked up once more besides. {begins}"
        )
    }
}

/// What is asked where so many charges are still to be looked up.
fn question(left: u64) -> String {
    let asked = "What is listed here is read and dealt with, and the daemons may send again?";
    if left == 0 { asked.to_owned() } else { format!("{}\n{asked}", so_far(left)) }
}

fn so_far(left: u64) -> String {
    format!(
        "still to be looked up: {left}; what is listed as adopted is the list so far, and `dues ledger show` shows it grow"
    )
}

fn not_held(ground: &Ground) -> anyhow::Result<ExitCode> {
    if ground.json() {
        output::json(&json!({ "held": false, "acknowledged": 0 }))?;
    } else {
        output::line("nothing is held; there is nothing to acknowledge")?;
    }
    Ok(ExitCode::from(exit::OK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_is_told_how_much_is_still_to_be_looked_up() {
        assert_eq!(question(0), "What is listed here is read and dealt with, and the daemons may send again?");
        let asked = question(12);
        assert!(
            asked.starts_with("still to be looked up: 12; what is listed as adopted is the list so far"),
            "{asked}"
        );
        assert!(asked.ends_with(&format!("\n{}", question(0))), "{asked}");
    }
}
