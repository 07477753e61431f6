//! `dues subscription cancel`: an operator's act on the books alone, beside the running daemon.

use serde_json::json;

use super::{Ground, minute, not_found, output};
use crate::engine::cancel::{CancelError, Canceled, cancel};
use crate::interfaces::cli::operator::Act;

/// Arguments of `dues subscription cancel`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The subscription's id, or the merchant's own reference
    name: String,
    #[command(flatten)]
    act: Act,
    /// When its next period would begin, instead of now
    #[arg(long)]
    at_period_end: bool,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<()> {
        let operator = self.act.operator()?;
        let (_, store) = ground.own_books().await?;
        let canceled = match cancel(&store, &self.name, self.at_period_end, &self.act.reason, &operator).await {
            Ok(canceled) => canceled,
            Err(CancelError::NotFound(name)) => return Err(not_found(&name).into()),
            Err(CancelError::Illegal(illegal)) => anyhow::bail!(
                "{} has ended already, it is {}: there is nothing to cancel, and it is not charged for later periods; \
                 `dues subscription show {}` shows what became of it",
                self.name,
                illegal.state,
                self.name
            ),
            Err(error) => return Err(error.into()),
        };
        if ground.json() {
            return output::json(&json!({
                "subscription": self.name,
                "state": canceled.state.as_str(),
                "at_period_end": self.at_period_end,
                "ends_at": canceled.ends_at,
                "periods_begun": canceled.begun,
                "charges_voided": canceled.voided,
                "payments_on_the_wire": canceled.on_the_wire,
                "first_payment_can_be_made": canceled.first_on_the_wire,
                "reviews_closed": canceled.closed,
            }));
        }
        output::line(&told(&self.name, self.at_period_end, &canceled))
    }
}

/// What was done, for the operator to read back.
fn told(name: &str, at_period_end: bool, canceled: &Canceled) -> String {
    if at_period_end {
        let on = canceled.ends_at.map_or(String::new(), |at| format!(" on {} UTC,", minute(Some(at))));
        let stays = format!(
            "{name} stays {} and is canceled{on} when its next period would begin; that period is not charged\n\
             until then `dues subscription resume` takes this back",
            canceled.state
        );
        return match canceled.begun {
            0 => stays,
            1 => format!("{stays}\na period has begun and is not opened yet; it is still owed"),
            several => format!("{stays}\n{several} periods have begun and are not opened yet; they are still owed"),
        };
    }
    let mut lines = vec![format!("{name} is canceled; no later period is charged")];
    lines.push(match canceled.voided {
        0 => "no open charge had to be voided".to_owned(),
        1 => "1 open charge was voided and is not sent".to_owned(),
        several => format!("{several} open charges were voided and are not sent"),
    });
    match canceled.closed {
        0 => {}
        1 => lines.push("1 review case was closed: there is nothing left to decide".to_owned()),
        several => lines.push(format!("{several} review cases were closed: there is nothing left to decide")),
    }
    match canceled.on_the_wire {
        0 => {}
        1 if canceled.first_on_the_wire => lines.push(
            "its first payment cannot be called back: the customer can still make it at its link until the gateway lets it expire; \
             where that happens it is recorded, and a review case asks what becomes of the money"
                .to_owned(),
        ),
        1 => lines.push("a payment is already on its way and will still be recorded".to_owned()),
        several => lines.push(format!("{several} payments are already on their way and will still be recorded")),
    }
    lines.join("\n")
}
