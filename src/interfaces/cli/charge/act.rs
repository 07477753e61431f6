//! `dues charge retry` and `void`: an operator's acts on one charge, beside the running daemons.

use serde_json::json;

use super::{Ground, NotFound, minute, output};
use crate::domain::charge::ChargeState;
use crate::engine::asked::{self, Acted, Ask, AskError, By};
use crate::interfaces::cli::operator::Act;

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The charge's id, or the reference that its payments carry
    name: String,
    #[command(flatten)]
    act: Act,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground, ask: Ask) -> anyhow::Result<()> {
        let operator = self.act.operator()?;
        let (rules, store) = ground.books_to_act().await?;
        let by = By { operator: &operator, reason: &self.act.reason };
        let acted = match asked::ask(&store, &rules, &self.name, &ask, by).await {
            Ok(acted) => acted,
            Err(error @ AskError::NoCharge(_)) => return Err(NotFound(error.to_string()).into()),
            Err(error) => return Err(error.into()),
        };
        if ground.json() { output::json(&json_of(&acted)) } else { output::line(&told(&acted)) }
    }
}

/// What was done to a charge, in JSON.
pub fn json_of(acted: &Acted) -> serde_json::Value {
    json!({ "charge": acted.charge, "state": acted.state.as_str(), "send_at": acted.send_at })
}

/// The same, for the operator to read back.
pub fn told(acted: &Acted) -> String {
    let Acted { charge, state, send_at } = acted;
    match (state, send_at) {
        (ChargeState::Due, Some(_)) => format!("{charge} is due, and is sent from {} UTC on", minute(*send_at)),
        (ChargeState::Void, _) => format!("{charge} is void: it is not owed any more, and not sent"),
        (ChargeState::Skipped, _) => format!("{charge} is skipped: its period is not billed"),
        (ChargeState::Retrying, _) => {
            format!("{charge} is retrying: a daemon opens its next attempt in its next round")
        }
        (other, _) => format!("{charge} is {other}: a daemon takes it up in its next round"),
    }
}
