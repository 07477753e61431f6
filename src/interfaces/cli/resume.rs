//! `dues resume-collecting`: an operator has found out why a day's plan was exceeded, and lets collecting go on.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::operator::{Act, confirmed};
use super::output::{self, Amount, Page, Table, time};
use super::status::{plan_json, plan_table};
use super::{Ground, NotFound, exit};
use crate::engine::lift::resume_collecting;
use crate::store::Store;
use crate::store::daily_plans::{Amounts, DailyPlanRow};

/// Arguments of `dues resume-collecting`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Collecting stops where the charges of a day, or their sum, go far beyond what was planned the day before: a wrong \
    price, an import made twice, a second scheduler. This shows plan and sends, and grants today what waits to be sent. On a terminal \
    it asks first. It may be run while the daemon runs, and needs no secret key.\n\n\
    Examples:\n  dues resume-collecting --reason \"the import of 3 May was meant\"\n  \
    dues resume-collecting --reason \"new prices are right\" \\\n    \
        --operator \"Night Shift\" --yes"
)]
pub struct Args {
    #[command(flatten)]
    act: Act,
    /// Does not ask
    #[arg(long)]
    yes: bool,
}

/// What the plan said, and what waits.
struct Braked {
    since: String,
    reason: String,
    day: String,
    plans: Vec<DailyPlanRow>,
    waiting: Vec<Amounts>,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let operator = self.act.operator()?;
        let (_, store) = ground.own_books().await?;
        let Some(braked) = Braked::read(&store).await? else { return not_braked(ground) };
        if !ground.json() {
            braked.page()?.print()?;
            output::line("")?;
        }
        if !self.yes && confirmed("Is what waits right, and may it be charged?")? == Some(false) {
            output::remark("nothing was changed; collecting stays stopped");
            return Ok(ExitCode::from(exit::FAILED));
        }
        let Some(granted) = resume_collecting(&store, &self.act.reason, &operator).await? else {
            return not_braked(ground);
        };
        if ground.json() {
            output::json(&json!({
                "braked": false,
                "operator": operator,
                "was": { "since": braked.since, "reason": braked.reason },
                "day": braked.day,
                "plan": plan_json(&braked.plans)?,
                "granted_now": amounts_json(&granted)?,
            }))?;
        } else {
            let sums = told(&granted)?;
            output::line(&format!(
                "collecting goes on, says {operator}: {sums} granted beyond the plan of {}; the daemons send within seconds",
                braked.day
            ))?;
        }
        Ok(ExitCode::from(exit::OK))
    }
}

impl Braked {
    async fn read(store: &Store) -> anyhow::Result<Option<Braked>> {
        if store.installation().await?.is_none() {
            return Err(
                NotFound("nobody has begun these books: no daemon and no import has used them yet".to_owned()).into()
            );
        }
        let state = store.fence_state().await?;
        let Some(since) = state.braked_at else { return Ok(None) };
        let today = store.now().await?.date_naive();
        Ok(Some(Braked {
            since: time(since),
            reason: state.braked_reason.unwrap_or_default(),
            day: today.to_string(),
            plans: store.plans_of_day(today).await?,
            waiting: store.waiting_by(today).await?,
        }))
    }

    fn page(&self) -> anyhow::Result<Page> {
        Ok(Page::default()
            .field("stopped", &self.since)
            .field("because", &self.reason)
            .section(format!("Plan of {} (UTC)", self.day), plan_table(&self.plans)?)
            .section("Waits to be sent today", amounts_table(&self.waiting)?))
    }
}

fn amounts_table(amounts: &[Amounts]) -> anyhow::Result<Table> {
    let mut table = Table::new(&["CURRENCY", "CHARGES", "SUM"]).right(&["CHARGES", "SUM"]);
    for it in amounts {
        table.push([it.currency.clone(), it.count.to_string(), Amount::of(it.amount_minor, &it.currency)?.shown()]);
    }
    Ok(table)
}

fn amounts_json(amounts: &[Amounts]) -> anyhow::Result<Vec<Value>> {
    let one = |it: &Amounts| {
        let amount = Amount::of(it.amount_minor, &it.currency)?;
        Ok(
            json!({ "currency": it.currency, "count": it.count, "amount_minor": amount.minor, "amount": amount.decimal }),
        )
    };
    amounts.iter().map(one).collect()
}

fn told(amounts: &[Amounts]) -> anyhow::Result<String> {
    if amounts.is_empty() {
        return Ok("nothing waits, so nothing is".to_owned());
    }
    let one =
        |it: &Amounts| Ok(format!("{} charges of {}", it.count, Amount::of(it.amount_minor, &it.currency)?.shown()));
    Ok(format!("{} are", amounts.iter().map(one).collect::<anyhow::Result<Vec<_>>>()?.join(", ")))
}

fn not_braked(ground: &Ground) -> anyhow::Result<ExitCode> {
    if ground.json() {
        output::json(&json!({ "braked": false, "granted_now": [] }))?;
    } else {
        output::line("collecting is not stopped; there is nothing to resume")?;
    }
    Ok(ExitCode::from(exit::OK))
}
