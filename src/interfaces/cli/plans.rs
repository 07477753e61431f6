//! `dues plans`: the plans of the config beside those of the books, and taking up a price that changes far.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::operator::{self, Act};
use super::output::{self, Amount, Table};
use super::spreadsheet::Spreadsheet;
use super::{Ground, NotFound, exit};
use crate::config::Settings;
use crate::domain::plan::Plan;
use crate::store::Store;
use crate::store::plans::{Guard, StoredPlan};

/// Arguments of `dues plans`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Subscribers keep the version of their plan: a changed price is what new subscribers pay. A price that changes by more than \
    limits.price_change_percent in a year, or whose currency changes, is withheld: a reload with it changes nothing, and nobody is \
    entered on it, until it is accepted here.\n\n\
    Exit codes: 0 as the books say or to be taken up, 3 a plan is withheld.\n\n\
    Examples:\n  dues plans\n  dues plans --json\n  dues plans --accept monthly --reason \"new price list\""
)]
pub struct Args {
    /// Takes up the price of this withheld plan; a running daemon follows with its next reload
    #[arg(long, value_name = "PLAN", requires = "reason")]
    accept: Vec<String>,
    /// Why it is accepted, for the journal, which keeps it for ever: no name and no e-mail address
    #[arg(long, value_name = "TEXT", requires = "accept", value_parser = operator::line)]
    reason: Option<String>,
    /// Who accepts it, for the journal; without it the user of this terminal
    #[arg(long, value_name = "NAME", requires = "accept", value_parser = operator::line)]
    operator: Option<String>,
}

/// One plan: what the config says, what the books say, and who pays it.
struct Line {
    name: String,
    config: Option<Plan>,
    books: Option<StoredPlan>,
    subscribers: i64,
    /// What its subscribers pay in a month on the average, each by the version that they are on.
    monthly_minor: i128,
    change: Change,
}

/// What the next reload makes of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    New,
    TakenUp,
    Withheld,
    OnlyInBooks,
}

impl Change {
    fn as_str(self) -> &'static str {
        match self {
            Change::None => "none",
            Change::New => "new",
            Change::TakenUp => "taken up",
            Change::Withheld => "withheld",
            Change::OnlyInBooks => "only in the books",
        }
    }
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let acts = self.reason.is_some() && !self.accept.is_empty();
        let (loaded, store) = if acts { ground.books_to_write().await? } else { ground.books().await? };
        let settings = &loaded.settings;
        if let Some(unknown) = self.accept.iter().find(|name| !settings.plans.contains_key(*name)) {
            let known = settings.plans.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(NotFound(format!("there is no plan {unknown:?} in the config, which has: {known}")).into());
        }
        if let Some(reason) = self.reason.filter(|_| !self.accept.is_empty()) {
            ground.begun_by_this_config(settings, &store).await?;
            let act = Act::new(reason, self.operator);
            let operator = act.operator()?;
            let (percent, names) = (settings.price_change_percent, self.accept.as_slice());
            let guard = Guard::Accepted { percent, names, operator: &operator, reason: &act.reason };
            store.know_currencies(&settings.currencies).await?;
            store.sync_plans(&settings.plans, &settings.dunning, guard, store.clock().now()).await?;
        }
        let lines = lines(settings, &store).await?;
        let withheld = lines.iter().any(|line| line.change == Change::Withheld);
        if ground.json() {
            output::json(&lines.iter().map(json_of).collect::<anyhow::Result<Vec<_>>>()?)?;
        } else if ground.csv() {
            Spreadsheet::print(COLUMNS, lines.iter().map(json_of).collect::<anyhow::Result<Vec<_>>>()?)?;
        } else {
            table(&lines)?.print()?;
            if withheld {
                output::line(
                    "a withheld price is taken up by `dues plans --accept PLAN --reason TEXT`, and the reload after it",
                )?;
            }
        }
        Ok(ExitCode::from(if withheld { exit::PARTLY } else { exit::OK }))
    }
}

async fn lines(settings: &Settings, store: &Store) -> anyhow::Result<Vec<Line>> {
    let versions = store.plans().await?;
    let counts = store.subscribers_by_plan().await?;
    let count = |plan: &StoredPlan| counts.get(&plan.id).copied().unwrap_or_default();
    let names: BTreeSet<&str> =
        settings.plans.keys().map(String::as_str).chain(versions.iter().map(|it| it.name.as_str())).collect();
    let line = |name: &str| {
        let config = settings.plans.get(name).cloned();
        let of_name = versions.iter().filter(|it| it.name == name);
        let books = of_name.clone().max_by_key(|it| it.version).cloned();
        let change = match (&config, &books) {
            (Some(_), None) => Change::New,
            (None, _) => Change::OnlyInBooks,
            (Some(new), Some(stored)) if *new == stored.plan => Change::None,
            (Some(new), Some(stored)) if stored.plan.changes_beyond(new, settings.price_change_percent) => {
                Change::Withheld
            }
            (Some(_), Some(_)) => Change::TakenUp,
        };
        Line {
            name: name.to_owned(),
            config,
            books,
            subscribers: of_name.clone().map(count).sum(),
            monthly_minor: of_name.map(|it| it.plan.monthly_minor() * i128::from(count(it))).sum(),
            change,
        }
    };
    Ok(names.into_iter().map(line).collect())
}

impl Line {
    /// The plan that a month's sum is told of: its currency.
    fn plan(&self) -> Option<&Plan> {
        self.books.as_ref().map(|it| &it.plan).or(self.config.as_ref())
    }

    /// What a month's sum would differ by, were all its subscribers moved to the config's price; none where they could not be.
    fn difference_minor(&self) -> Option<i128> {
        let (new, old) = (self.config.as_ref()?, &self.books.as_ref()?.plan);
        let alike = new.price.currency == old.price.currency;
        alike.then(|| new.monthly_minor() * i128::from(self.subscribers) - self.monthly_minor)
    }
}

fn table(lines: &[Line]) -> anyhow::Result<Table> {
    let headings = &["PLAN", "IN THE BOOKS", "IN THE CONFIG", "CHANGE", "SUBSCRIBERS", "A MONTH", "IF ALL MOVED"];
    let mut table = Table::new(headings).right(&["SUBSCRIBERS", "A MONTH", "IF ALL MOVED"]);
    for line in lines {
        let moved = line.difference_minor().map(|minor| signed(minor, line)).transpose()?;
        table.push([
            line.name.clone(),
            output::or_dash(line.books.as_ref().map(|it| price(&it.plan)).transpose()?.as_deref()),
            output::or_dash(line.config.as_ref().map(price).transpose()?.as_deref()),
            line.change.as_str().to_owned(),
            line.subscribers.to_string(),
            amount(line.monthly_minor, line)?.shown(),
            output::or_dash(moved.as_deref()),
        ]);
    }
    Ok(table)
}

/// The keys of a plan in JSON, in the order in which CSV has them.
const COLUMNS: &[&str] = &[
    "plan",
    "change",
    "version",
    "books_amount_minor",
    "books_currency",
    "books_interval",
    "books_interval_count",
    "config_amount_minor",
    "config_currency",
    "config_interval",
    "config_interval_count",
    "subscribers",
    "monthly_minor",
    "difference_minor_were_all_moved",
];

/// A plan in JSON.
fn json_of(line: &Line) -> anyhow::Result<Value> {
    let difference = line.difference_minor().map(i64::try_from).transpose()?;
    let (books, config) = (line.books.as_ref().map(|it| &it.plan), line.config.as_ref());
    let minor = |plan: Option<&Plan>| plan.map(|it| it.price.amount_minor);
    let currency = |plan: Option<&Plan>| plan.map(|it| it.price.currency.code().to_owned());
    let unit = |plan: Option<&Plan>| plan.map(|it| it.interval.unit.as_str());
    let count = |plan: Option<&Plan>| plan.map(|it| it.interval.count);
    Ok(json!({
        "plan": line.name,
        "change": line.change.as_str(),
        "version": line.books.as_ref().map(|it| it.version),
        "books_amount_minor": minor(books),
        "books_currency": currency(books),
        "books_interval": unit(books),
        "books_interval_count": count(books),
        "config_amount_minor": minor(config),
        "config_currency": currency(config),
        "config_interval": unit(config),
        "config_interval_count": count(config),
        "subscribers": line.subscribers,
        "monthly_minor": i64::try_from(line.monthly_minor)?,
        "difference_minor_were_all_moved": difference,
    }))
}

/// A price with its interval, such as `128.00 HKD a month`.
fn price(plan: &Plan) -> anyhow::Result<String> {
    let shown = Amount::of(plan.price.amount_minor, plan.price.currency.code())?.shown();
    let (unit, count) = (plan.interval.unit.as_str(), plan.interval.count.get());
    Ok(if count == 1 { format!("{shown} a {unit}") } else { format!("{shown} every {count} {unit}s") })
}

fn amount(minor: i128, line: &Line) -> anyhow::Result<Amount> {
    let code = line.plan().map_or("HKD", |plan| plan.price.currency.code());
    Ok(Amount::of(i64::try_from(minor)?, code)?)
}

fn signed(minor: i128, line: &Line) -> anyhow::Result<String> {
    let sign = if minor > 0 { "+" } else { "" };
    Ok(format!("{sign}{}", amount(minor, line)?.shown()))
}
