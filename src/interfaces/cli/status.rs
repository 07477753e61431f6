//! `dues status`: what the daemons are doing now, from the books alone.

use std::collections::BTreeSet;
use std::process::ExitCode;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::ledger::span;
use super::output::{self, Amount, Page, Table, or_dash, time};
use super::spreadsheet::Spreadsheet;
use super::{Ground, exit};
use crate::clock::Instant;
use crate::config::Settings;
use crate::engine::beat::ALIVE_WITHIN;
use crate::engine::{COMMAND, Rules, unknown_limit};
use crate::interfaces::daemon;
use crate::store::Store;
use crate::store::daily_plans::DailyPlanRow;
use crate::store::fences::FenceStateRow;
use crate::store::figures::FiguresRow;
use crate::store::nodes::NodeRow;

/// The rate is that of this long.
const RATE_OVER: TimeDelta = TimeDelta::hours(1);

/// What CSV has of it, one row: without the daemons and the plan.
const FIGURES: &[&str] = &[
    "now",
    "periods_due",
    "attempts_due",
    "oldest_due_at",
    "lateness_seconds",
    "tried_next_at",
    "attempts_waiting",
    "retries_to_come",
    "sending",
    "pending",
    "unknown",
    "unknown_not_found",
    "unknown_held_against_limit",
    "unknown_limit_passed",
    "charges_in_review",
    "open_reviews",
    "sent_last_hour",
    "writes_per_second",
    "stopped_by",
    "seconds_to_end",
];

/// Arguments of `dues status`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It reads the database and nothing else: it tells of every daemon on it, also where none runs. --csv is \
    one row of figures, to be gathered in a file.\n\n\
    Examples:\n  dues status\n  dues status --json\n  dues status --csv | tail -n 1 >> figures.csv"
)]
pub struct Args {}

/// So many of a thing, in words.
fn several(count: i64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// All of it, at one instant.
struct Status {
    now: Instant,
    nodes: Vec<NodeRow>,
    /// None where nobody has begun these books.
    fence: Option<FenceStateRow>,
    figures: FiguresRow,
    /// In the last hour.
    sent: i64,
    plans: Vec<DailyPlanRow>,
    writes_per_second: Option<u32>,
    /// Plans of the config whose price waits for an operator.
    withheld: BTreeSet<String>,
    /// So many outcomes may be unknown; the daemons count what each has sent, this what all have.
    unknown_limit: i64,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let (loaded, store) = ground.books().await?;
        let status = Status::read(&loaded.settings, &store).await?;
        if ground.json() {
            output::json(&status.json()?)?;
        } else if ground.csv() {
            Spreadsheet::print(FIGURES, [status.json()?])?;
        } else {
            status.page()?.print()?;
        }
        Ok(ExitCode::from(exit::OK))
    }
}

impl Status {
    async fn read(settings: &Settings, store: &Store) -> anyhow::Result<Status> {
        let now = store.now().await?;
        let fence = match store.installation().await? {
            Some(_) => Some(store.fence_state().await?),
            None => None,
        };
        let sent = store.sent_since(now - RATE_OVER, now).await?;
        Ok(Status {
            now,
            nodes: store.nodes().await?,
            fence,
            unknown_limit: unknown_limit(i64::from(settings.protocol.unknown_limit.get()), sent),
            figures: store.figures(now).await?,
            sent,
            plans: store.plans_of_day(now.date_naive()).await?,
            withheld: Rules::withheld_of(settings, store).await?,
            writes_per_second: settings.budget.writes_per_second.map(std::num::NonZeroU32::get),
        })
    }

    /// Attempts and periods whose time has come.
    fn due(&self) -> i64 {
        self.figures.attempts_due + self.figures.periods_due
    }

    fn lateness(&self) -> Option<TimeDelta> {
        self.figures.oldest_due_at.map(|at| self.now - at)
    }

    fn living(&self) -> impl Iterator<Item = &NodeRow> {
        self.nodes.iter().filter(|node| self.liveness(node) == "alive")
    }

    fn liveness(&self, node: &NodeRow) -> &'static str {
        match node.stopped_at {
            // What `dues subscribe` and its like send is counted under a name of their own: no daemon.
            _ if *node.process == *COMMAND => "command",
            Some(_) => "stopped",
            None if self.now - node.heartbeat_at < ALIVE_WITHIN => "alive",
            None => "silent",
        }
    }

    /// Whether more outcomes are unknown than may be, so that sending pauses.
    fn too_many_unknown(&self) -> bool {
        self.figures.held_back > self.unknown_limit
    }

    /// Why nothing that is due is sent; none where it is.
    fn stopped_by(&self) -> Option<String> {
        let fence = self.fence.as_ref();
        let told = if fence.is_some_and(|it| it.held_at.is_some()) {
            "held: read `dues ledger show`"
        } else if fence.is_some_and(|it| it.braked_at.is_some()) {
            "braked: find out why, then `dues resume-collecting`"
        } else if self.living().next().is_none() {
            "no daemon is alive"
        } else if self.too_many_unknown() {
            "too many outcomes are unknown: one request probes every half minute"
        } else {
            return self.kept_by();
        };
        Some(told.to_owned())
    }

    /// What keeps every living daemon from sending, in the first one's words; none where one of them may send.
    fn kept_by(&self) -> Option<String> {
        let conditions: Option<Vec<&str>> = self.living().map(|node| node.condition.as_deref()).collect();
        conditions?.first().map(|it| (*it).to_owned())
    }

    /// How long the run takes at the configured rate; none where it does not go on, or has no limit.
    fn seconds_to_end(&self) -> Option<i64> {
        let rate = i64::from(self.writes_per_second?);
        self.stopped_by().is_none().then(|| (self.due() + rate - 1) / rate)
    }

    fn page(&self) -> anyhow::Result<Page> {
        let figures = &self.figures;
        let since = |at: Option<Instant>, reason: &Option<String>, step: &str| {
            at.map(|at| format!("since {}: {}; {step}", time(at), reason.as_deref().unwrap_or("unknown")))
        };
        let fence = self.fence.as_ref();
        let held = fence.and_then(|it| since(it.held_at, &it.held_reason, "read `dues ledger show`"));
        let braked = fence.and_then(|it| since(it.braked_at, &it.braked_reason, "lifted by `dues resume-collecting`"));
        let late = self.lateness().map_or(String::new(), |late| format!(", the oldest for {}", span(late)));
        let again = figures.tried_next_at.filter(|at| *at > self.now);
        let again = again.map_or(String::new(), |at| format!("; tried again in {}", span(at - self.now)));
        let not_found = match figures.not_found {
            0 => String::new(),
            count => format!(
                "; a look-up has shown nothing of {count}, and {} of them count against the limit of {}",
                figures.held_back, self.unknown_limit
            ),
        };
        let passed = self.too_many_unknown().then(|| {
            format!(
                "passed: {} lost answers of which nothing is found, {} may be; sending pauses, one request probes every half minute",
                figures.held_back, self.unknown_limit
            )
        });
        let per_second =
            self.writes_per_second.map_or("no limit".to_owned(), |rate| format!("at most {rate} a second"));
        let end = match (self.stopped_by(), self.seconds_to_end()) {
            (Some(why), _) if self.due() > 0 => format!("not while {why}"),
            (_, Some(seconds)) if self.due() > 0 => {
                format!("in about {} at the configured rate", span(TimeDelta::seconds(seconds)))
            }
            _ => "nothing is due".to_owned(),
        };
        Ok(Page::default()
            .field("now", time(self.now))
            .maybe("held", held)
            .maybe("braked", braked)
            .field("periods due", format!("{} have begun and are not opened yet", figures.periods_due))
            .field("due now", format!("{} wait to be sent{late}{again}", figures.attempts_due))
            .field(
                "due later",
                format!("{} to be sent, {} dunning steps to come", figures.attempts_waiting, figures.retries_to_come),
            )
            .field("sending", figures.sending.to_string())
            .field("pending", figures.pending.to_string())
            .field("unknown", format!("{}{not_found}", figures.unknown))
            .maybe("unknown limit", passed)
            .maybe("withheld", (!self.withheld.is_empty()).then(|| daemon::withheld(&self.withheld)))
            .field(
                "in review",
                format!(
                    "{}, {}: dues review list",
                    several(figures.charges_in_review, "charge"),
                    several(figures.reviews, "open case")
                ),
            )
            .field("rate", format!("{} sent in the last hour, {per_second}", self.sent))
            .field("end of the run", end)
            .section("Daemons", self.node_table())
            .section(format!("Plan of {} (UTC)", self.now.date_naive()), plan_table(&self.plans)?))
    }

    fn node_table(&self) -> Table {
        Table::new(&["NODE", "STATE", "SEEN", "SENDS", "DETAIL"]).right(&["SENDS"]).rows(self.nodes.iter().map(
            |node| {
                [
                    node.name.clone(),
                    self.liveness(node).to_owned(),
                    format!("{} ago", span(self.now - node.heartbeat_at)),
                    node.sends.to_string(),
                    or_dash(node.condition.as_deref()),
                ]
            },
        ))
    }

    fn json(&self) -> anyhow::Result<Value> {
        let figures = &self.figures;
        let stopped =
            |at: Option<Instant>, reason: &Option<String>| at.map(|at| json!({ "since": at, "reason": reason }));
        let fence = self.fence.as_ref();
        let node = |node: &NodeRow| {
            json!({
                "node": node.name,
                "state": self.liveness(node),
                "process": node.process,
                "started_at": node.started_at,
                "heartbeat_at": node.heartbeat_at,
                "stopped_at": node.stopped_at,
                "sends": node.sends,
                "condition": node.condition,
            })
        };
        Ok(json!({
            "now": self.now,
            "held": fence.and_then(|it| stopped(it.held_at, &it.held_reason)),
            "braked": fence.and_then(|it| stopped(it.braked_at, &it.braked_reason)),
            "periods_due": figures.periods_due,
            "attempts_due": figures.attempts_due,
            "oldest_due_at": figures.oldest_due_at,
            "lateness_seconds": self.lateness().map(|late| late.num_seconds()),
            "tried_next_at": figures.tried_next_at,
            "attempts_waiting": figures.attempts_waiting,
            "retries_to_come": figures.retries_to_come,
            "sending": figures.sending,
            "pending": figures.pending,
            "unknown": figures.unknown,
            "unknown_not_found": figures.not_found,
            "unknown_held_against_limit": figures.held_back,
            "unknown_limit": self.unknown_limit,
            "unknown_limit_passed": self.too_many_unknown(),
            "charges_in_review": figures.charges_in_review,
            "open_reviews": figures.reviews,
            "sent_last_hour": self.sent,
            "writes_per_second": self.writes_per_second,
            "plans_withheld": self.withheld,
            "stopped_by": self.stopped_by(),
            "seconds_to_end": self.seconds_to_end(),
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
            "plan": plan_json(&self.plans)?,
        }))
    }
}

/// A day's plans, one a currency: what was planned and granted, what earlier days owe, and what was sent.
pub fn plan_table(plans: &[DailyPlanRow]) -> anyhow::Result<Table> {
    let headings = &["CURRENCY", "PLANNED", "SUM", "GRANTED", "SUM GRANTED", "CARRIED", "SENT", "SUM SENT"];
    let figures = &["PLANNED", "SUM", "GRANTED", "SUM GRANTED", "CARRIED", "SENT", "SUM SENT"];
    let mut table = Table::new(headings).right(figures);
    for plan in plans {
        let sum = |minor| anyhow::Ok(Amount::of(minor, &plan.currency)?.decimal);
        table.push([
            plan.currency.clone(),
            plan.planned_count.to_string(),
            sum(plan.planned_minor)?,
            plan.granted_count.to_string(),
            sum(plan.granted_minor)?,
            plan.carried_count.to_string(),
            plan.sent_count.to_string(),
            sum(plan.sent_minor)?,
        ]);
    }
    Ok(table)
}

/// The same as JSON.
pub fn plan_json(plans: &[DailyPlanRow]) -> anyhow::Result<Vec<Value>> {
    let one = |plan: &DailyPlanRow| {
        let sum = |minor| anyhow::Ok(Amount::of(minor, &plan.currency)?.decimal);
        Ok(json!({
            "day": plan.day,
            "currency": plan.currency,
            "planned_count": plan.planned_count,
            "planned_minor": plan.planned_minor,
            "planned_amount": sum(plan.planned_minor)?,
            "granted_count": plan.granted_count,
            "granted_minor": plan.granted_minor,
            "granted_amount": sum(plan.granted_minor)?,
            "carried_count": plan.carried_count,
            "carried_minor": plan.carried_minor,
            "carried_amount": sum(plan.carried_minor)?,
            "sent_count": plan.sent_count,
            "sent_minor": plan.sent_minor,
            "sent_amount": sum(plan.sent_minor)?,
        }))
    };
    plans.iter().map(one).collect()
}
