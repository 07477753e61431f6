//! `dues review resolve`: a person decides a case, beside the running daemons.

use serde_json::json;

use super::super::charge::act::{json_of, told};
use super::super::operator::Act;
use super::super::words::one_of;
use super::super::{Ground, NotFound, WrongUsage, output};
use crate::domain::review::Resolution;
use crate::engine::asked::{self, Ask, AskError, By, Way};

/// Arguments of `dues review resolve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The case's id, as the list has it
    id: String,
    /// How: whichever makes sense for the case
    #[arg(value_parser = one_of::<Resolution>(Resolution::ALL.iter().map(|it| it.as_str())))]
    resolution: Resolution,
    /// For charged: the payment that the gateway's dashboard shows
    #[arg(long, value_name = "PAY", value_parser = payment_id)]
    payment: Option<String>,
    #[command(flatten)]
    act: Act,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<()> {
        let operator = self.act.operator()?;
        let way = way(self.resolution, self.payment)?;
        let (rules, store) = ground.books_to_act().await?;
        let by = By { operator: &operator, reason: &self.act.reason };
        let resolved = match asked::resolve(&store, &rules, &self.id, &way, by).await {
            Ok(resolved) => resolved,
            Err(error @ AskError::NoReview(_)) => return Err(NotFound(error.to_string()).into()),
            Err(error) => return Err(error.into()),
        };
        if ground.json() {
            return output::json(&json!({
                "review": resolved.review,
                "resolution": resolved.resolution.as_str(),
                "charges": resolved.charges.iter().map(json_of).collect::<Vec<_>>(),
            }));
        }
        output::line(&format!("{} is closed: {}", resolved.review, resolved.resolution))?;
        for acted in &resolved.charges {
            output::line(&told(acted))?;
        }
        Ok(())
    }
}

fn way(resolution: Resolution, payment: Option<String>) -> Result<Way, WrongUsage> {
    match (resolution, payment) {
        (Resolution::Charged, Some(payment)) => Ok(Way::Charge(Ask::Charged(payment))),
        (Resolution::Charged, None) => Err(WrongUsage("say which payment it is, with --payment PAY")),
        (_, Some(_)) => Err(WrongUsage("--payment is for charged alone")),
        (Resolution::Retry, None) => Ok(Way::Charge(Ask::Retry)),
        (Resolution::Void, None) => Ok(Way::Charge(Ask::Void)),
        (Resolution::NotCharged, None) => Ok(Way::Charge(Ask::NotCharged)),
        (Resolution::Bill, None) => Ok(Way::Bill),
        (Resolution::Skip, None) => Ok(Way::Skip),
        (Resolution::Dismiss, None) => Ok(Way::Dismiss),
    }
}

fn payment_id(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("pay_").unwrap_or_default();
    let clean = (1..=60).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if clean { Ok(text.to_owned()) } else { Err("a payment's id has the form pay_ and letters or digits".to_owned()) }
}
