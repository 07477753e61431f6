//! `dues subscription pause` and `resume`: an operator's acts on the books alone, beside the running daemons.

use serde_json::json;

use super::{Ground, minute, not_found, output};
use crate::domain::subscription::SubscriptionState;
use crate::engine::pause::{self, End, Moved, PauseError};
use crate::interfaces::cli::operator::Act;

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The subscription's id, or the merchant's own reference
    name: String,
    #[command(flatten)]
    act: Act,
}

impl Args {
    /// Pauses it.
    pub async fn pause(self, ground: &Ground) -> anyhow::Result<()> {
        let operator = self.act.operator()?;
        let (_, store) = ground.own_books().await?;
        tell(ground, &self.name, pause::pause(&store, &self.name, &self.act.reason, &operator).await)
    }

    /// Resumes it.
    pub async fn resume(self, ground: &Ground) -> anyhow::Result<()> {
        let operator = self.act.operator()?;
        let (rules, store) = ground.books_to_act().await?;
        tell(ground, &self.name, pause::resume(&store, &rules, &self.name, &self.act.reason, &operator).await)
    }
}

fn tell(ground: &Ground, name: &str, done: Result<Moved, PauseError>) -> anyhow::Result<()> {
    let moved = match done {
        Ok(moved) => moved,
        Err(PauseError::NotFound(name)) => return Err(not_found(&name).into()),
        Err(error) => return Err(error.into()),
    };
    let Moved { state, from_index, from_at, end } = moved;
    if ground.json() {
        let ends_with = if let End::Stands(index) = end { Some(index) } else { None };
        return output::json(&json!({
            "subscription": name,
            "state": state.as_str(),
            "from_period": from_index,
            "from_at": from_at,
            "cancel_at_index": ends_with,
            "end_taken_back": end == End::TakenBack,
        }));
    }
    let period = format!("period {from_index}, which begins {} UTC,", minute(Some(from_at)));
    let told = match state {
        _ if end == End::TakenBack => {
            format!("{name} is not canceled any more, and goes on as {state}: {period} is its next")
        }
        SubscriptionState::Paused => format!(
            "{name} is paused: {period} and those after it are skipped until it is resumed\n\
             what was owed before stays owed: what is on its way to the gateway is still paid, and the rest is sent when it goes on"
        ),
        _ => match end {
            End::Stands(index) if index <= from_index => format!("{name} is {state}: what waited is sent now"),
            _ => format!("{name} is {state}: {period} is billed, and what waited is sent now"),
        },
    };
    output::line(&match end {
        End::Stands(index) if state == SubscriptionState::Paused => {
            format!("{told}\nit is still canceled when period {index} would begin")
        }
        End::Stands(index) => format!(
            "{told}\nit is still canceled when period {index} would begin: a second `dues subscription resume` takes that back"
        ),
        End::None | End::TakenBack => told,
    })
}
