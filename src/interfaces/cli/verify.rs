//! `dues verify`: every rule of the books, and, where asked, every difference from the gateway. Nothing is changed.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::ledger::marks;
use super::output::{self, Table, cut, or_dash};
use super::spreadsheet::Spreadsheet;
use super::{Format, Ground, exit};
use crate::config::secret::secret_key;
use crate::config::{Loaded, parse_duration};
use crate::domain::integrity::{IntegrityRule, Severity};
use crate::engine::open::pins_of;
use crate::gateway::http::Http;
use crate::gateway::payments::Client;
use crate::interfaces::verify::{Comparison, DifferenceKind, Found, LookUps, Pace, Span, compare};
use crate::store::Store;
use crate::store::finance::ExceptionRow;

/// Arguments of `dues verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing is broken and nothing differs, 1 the rows say what does, 3 a part could not be compared. It \
    changes nothing, here or there, and may be run while the daemon runs. --gateway needs the secret key. Where no daemon is alive \
    it spends budget.reads_per_second; beside one only what that leaves of the 100 requests a second that the gateway grants an account, \
    and 5 at the least.\n\n\
    Examples:\n  dues verify\n  dues verify --json\n  dues verify --gateway --since 7d   the last week, looked up by reference"
)]
pub struct Args {
    /// Compares with the gateway too: looks every charge up by its reference, and every period that has begun and has no charge
    #[arg(long)]
    gateway: bool,
    /// What something happened to, or began, so lately is compared: a whole number with a unit, 12h or 35d
    #[arg(long, value_name = "SPAN", default_value = "7d", requires = "gateway", value_parser = since)]
    since: Duration,
    /// So many broken rows at most
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

/// A broken rule.
struct Breach {
    rule: IntegrityRule,
    row: ExceptionRow,
}

/// A comparison, and the pace at which it began.
struct Told {
    pace: Pace,
    comparison: Comparison,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let (loaded, store) = ground.books().await?;
        let breaches = cut(broken(&loaded, &store, self.limit + 1).await?, self.limit);
        let comparison = match self.gateway {
            true => Some(compared(ground, &loaded, &store, self.since).await?),
            false => None,
        };
        if ground.json() {
            output::json(&document(&breaches, comparison.as_ref()))?;
        } else if ground.csv() {
            Spreadsheet::print(COLUMNS, findings(document(&breaches, comparison.as_ref())))?;
        } else {
            tell_rules(&breaches)?;
            if let Some(told) = &comparison {
                tell_comparison(&told.comparison)?;
            }
        }
        let comparison = comparison.map(|told| told.comparison);
        let differs = comparison.as_ref().is_some_and(|it| !it.differences.is_empty());
        let partly = comparison.as_ref().is_some_and(|it| !it.is_whole());
        Ok(ExitCode::from(match (breaches.is_empty(), differs, partly) {
            (false, _, _) | (_, true, _) => exit::FAILED,
            (true, false, true) => exit::PARTLY,
            (true, false, false) => exit::OK,
        }))
    }
}

/// Every breach: those that SQL sees, and those that need the config or a file beside the books.
async fn broken(loaded: &Loaded, store: &Store, limit: u32) -> anyhow::Result<Vec<Breach>> {
    let mut breaches = Vec::new();
    let of_books = |rule, detail| Breach {
        rule,
        row: ExceptionRow {
            rule: rule.as_str().to_owned(),
            subscription_id: None,
            subscription_reference: None,
            charge_id: None,
            payment_id: None,
            detail,
        },
    };
    if let Some(installation) = store.installation().await? {
        match installation.admit(&pins_of(&loaded.settings)) {
            Ok(()) => {}
            Err(error) if error.is_of_other_books() => {
                breaches.push(of_books(IntegrityRule::LedgerDiffers, error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    for mark in marks(&loaded.settings, store).await? {
        if let Some(lost) = mark.lost() {
            let (node, sends) = (&mark.node.name, mark.node.sends);
            let detail = format!("the books know {sends} sends of {node}, the file outside them {lost} more");
            breaches.push(of_books(IntegrityRule::MarkBelowFile, detail));
        }
        if let Err(why) = &mark.file {
            output::remark(&format!("the high-water file of {} was not checked: {why}", mark.node.name));
        }
    }
    for row in store.exception_list(limit).await? {
        breaches.push(Breach { rule: row.rule.parse()?, row });
    }
    breaches.sort_by_key(|breach| (breach.rule.severity(), breach.rule));
    Ok(breaches)
}

fn tell_rules(breaches: &[Breach]) -> anyhow::Result<()> {
    let rules = IntegrityRule::ALL.len();
    if breaches.is_empty() {
        return output::line(&format!("{rules} rules, nothing broken"));
    }
    let headings = &["RULE", "SEVERITY", "SUBSCRIPTION", "CHARGE", "PAYMENT", "DETAIL"];
    Table::new(headings)
        .rows(breaches.iter().map(|Breach { rule, row }| {
            [
                rule.to_string(),
                rule.severity().to_string(),
                or_dash(row.subscription_reference.as_deref()),
                or_dash(row.charge_id.as_deref()),
                or_dash(row.payment_id.as_deref()),
                row.detail.clone(),
            ]
        }))
        .print()?;
    let broken: BTreeSet<IntegrityRule> = breaches.iter().map(|breach| breach.rule).collect();
    tell_steps(broken.iter().map(|rule| (rule.as_str(), rule.next_step())))?;
    output::line(&format!("\n{rules} rules, {} broken, {} rows", broken.len(), breaches.len()))
}

fn tell_comparison(comparison: &Comparison) -> anyhow::Result<()> {
    let counted = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let unopened = match comparison.unopened {
        0 => String::new(),
        count => format!(", {} that these books have not opened looked up there", counted(count, "period")),
    };
    let counts = format!(
        "{} compared with the gateway{unopened}, {}",
        counted(comparison.compared, "charge"),
        counted(u64::try_from(comparison.differences.len()).unwrap_or(u64::MAX), "difference")
    );
    if !comparison.differences.is_empty() {
        output::line("\nDiffers from the gateway")?;
        difference_table(&comparison.differences).print()?;
        let kinds: BTreeSet<DifferenceKind> = comparison.differences.iter().map(|it| it.difference.kind).collect();
        tell_steps(kinds.iter().map(|kind| (kind.as_str(), kind.next_step())))?;
    }
    if !comparison.not_learned_yet.is_empty() {
        output::line("\nNot learned yet: the next look of a daemon should bring it, and it counts as no difference")?;
        difference_table(&comparison.not_learned_yet).print()?;
    }
    if !comparison.not_compared.is_empty() {
        output::line("\nNot compared: the gateway gave no whole list")?;
        let rows = comparison.not_compared.iter();
        Table::new(&["SUBSCRIPTION", "CHARGE", "DETAIL"])
            .rows(rows.map(|(it, why)| [it.subscription.clone(), or_dash(it.charge_id.as_deref()), why.clone()]))
            .print()?;
    }
    let not_compared = match comparison.not_compared.len() {
        0 => String::new(),
        count => format!(", {count} not compared; run it again later"),
    };
    output::line(&format!("\n{counts}{not_compared}"))
}

fn tell_steps(steps: impl Iterator<Item = (&'static str, &'static str)>) -> anyhow::Result<()> {
    output::line("\nWhat to do first")?;
    for (word, step) in steps {
        output::line(&format!("  {word}: {step}"))?;
    }
    Ok(())
}

fn difference_table(found: &[Found]) -> Table {
    let headings = &["DIFFERENCE", "SEVERITY", "SUBSCRIPTION", "PERIOD", "CHARGE", "PAYMENT", "DETAIL"];
    Table::new(headings).rows(found.iter().map(|Found { compared, difference }| {
        [
            difference.kind.to_string(),
            difference.kind.severity().to_string(),
            compared.subscription.clone(),
            compared.period_index.to_string(),
            or_dash(compared.charge_id.as_deref()),
            difference.payment_id.clone(),
            difference.detail.clone(),
        ]
    }))
}

fn document(breaches: &[Breach], told: Option<&Told>) -> Value {
    let breach = |Breach { rule, row }: &Breach| {
        json!({
            "rule": rule.as_str(),
            "severity": rule.severity().as_str(),
            "subscription_id": row.subscription_id,
            "subscription_reference": row.subscription_reference,
            "charge_id": row.charge_id,
            "payment_id": row.payment_id,
            "detail": row.detail,
            "next_step": rule.next_step(),
        })
    };
    let differences = |found: &[Found]| -> Vec<Value> { found.iter().map(difference_json).collect() };
    let gateway = told.map(|Told { pace, comparison: it }| {
        let not_compared = it.not_compared.iter().map(|(compared, why)| {
            json!({
                "subscription_reference": compared.subscription, "period_index": compared.period_index,
                "charge_id": compared.charge_id, "why": why,
            })
        });
        json!({
            "daemons_alive": pace.daemons_alive,
            "reads_per_second": pace.per_second,
            "compared": it.compared,
            "not_opened_here": it.unopened,
            "differences": differences(&it.differences),
            "not_learned_yet": differences(&it.not_learned_yet),
            "not_compared": not_compared.collect::<Vec<_>>(),
        })
    });
    json!({
        "rules": IntegrityRule::ALL.len(),
        "worst": breaches.iter().map(|it| it.rule.severity()).min().map(Severity::as_str),
        "broken": breaches.iter().map(breach).collect::<Vec<_>>(),
        "gateway": gateway,
    })
}

/// What CSV has, a row a finding.
const COLUMNS: &[&str] = &[
    "finding",
    "word",
    "severity",
    "subscription_reference",
    "period_index",
    "charge_id",
    "payment_id",
    "detail",
    "next_step",
];

/// The document's four lists as one, each row with the list from which it comes.
fn findings(mut document: Value) -> Vec<Value> {
    let mut findings = Vec::new();
    let gateway = document["gateway"].take();
    for (finding, word, detail, mut list) in [
        ("broken", "rule", "detail", document["broken"].take()),
        ("differs", "difference", "detail", gateway["differences"].clone()),
        ("not_learned_yet", "difference", "detail", gateway["not_learned_yet"].clone()),
        ("not_compared", "difference", "why", gateway["not_compared"].clone()),
    ] {
        for row in list.as_array_mut().into_iter().flatten() {
            let mut row = row.take();
            row["finding"] = finding.into();
            row["word"] = row[word].take();
            row["detail"] = row[detail].take();
            findings.push(row);
        }
    }
    findings
}

fn difference_json(Found { compared, difference }: &Found) -> Value {
    json!({
        "difference": difference.kind.as_str(),
        "severity": difference.kind.severity().as_str(),
        "subscription_reference": compared.subscription,
        "period_index": compared.period_index,
        "charge_id": compared.charge_id,
        "payment_reference": compared.reference,
        "payment_id": difference.payment_id,
        "detail": difference.detail,
        "next_step": difference.kind.next_step(),
    })
}

async fn compared(ground: &Ground, loaded: &Loaded, store: &Store, since: Duration) -> anyhow::Result<Told> {
    let settings = &loaded.settings;
    let key = secret_key(settings, &ground.sources.environment)?;
    let client = Client::new(Arc::new(Http::new(&settings.gateway)?), &key);
    let span = Span {
        since: store.now().await? - TimeDelta::from_std(since)?,
        settle_wait: TimeDelta::from_std(settings.protocol.settle_wait)?,
        reads_per_second: settings.budget.reads_per_second,
    };
    let pace = Pace::of(store, span.reads_per_second).await?;
    if let Some(per_second) = pace.per_second.filter(|_| pace.daemons_alive > 0) {
        let why = "a daemon is alive and may use its whole read budget";
        output::remark(&format!("{why}, so only {per_second} look-ups a second are made beside it"));
    }
    let mut look_ups = LookUps::new(client, pace.per_second, store.clock().clone());
    let bar = bar(ground.format);
    let progress = |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    };
    let comparison = compare(store, &mut look_ups, span, progress).await;
    bar.finish_and_clear();
    Ok(Told { pace, comparison: comparison? })
}

fn bar(format: Format) -> ProgressBar {
    if format != Format::Text || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} looked up, {per_sec}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

fn since(text: &str) -> Result<Duration, String> {
    let most = Duration::from_hours(24 * 366);
    let span = parse_duration(text).filter(|span| !span.is_zero() && *span <= most);
    span.ok_or_else(|| "it is a whole number with a unit (ms, s, m, h, d), at most 366d".to_owned())
}
