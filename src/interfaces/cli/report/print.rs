//! The rows of a report on standard output: a table for people, CSV and JSON row by row.

use std::io::{self, Write};
use std::ops::ControlFlow;

use anyhow::{Context, anyhow};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::super::output::{self, Amount, Table, cut, minute, or_dash};
use super::super::spreadsheet::Spreadsheet;
use crate::clock::Instant;
use crate::store::Store;
use crate::store::reports::{Cells, Filter, Kind, Report};

/// The columns of each view that stand in a table; the others are for CSV and JSON.
const SHOWN: &[(&str, &[&str])] = &[
    (
        "subscriptions",
        &[
            "subscription_reference",
            "state",
            "plan",
            "currency",
            "amount",
            "paid_periods",
            "open_amount",
            "collected_amount",
            "ended_at",
        ],
    ),
    (
        "charges",
        &[
            "due_at",
            "subscription_reference",
            "period_index",
            "currency",
            "amount",
            "state",
            "reason",
            "collected_amount",
        ],
    ),
    (
        "payments",
        &[
            "first_seen_at",
            "payment_id",
            "subscription_reference",
            "period_index",
            "status",
            "currency",
            "captured_amount",
            "refunded_amount",
        ],
    ),
    ("reviews", &["opened_at", "review_id", "reason", "subscription_reference", "evidence"]),
    ("exceptions", &["rule", "subscription_reference", "charge_id", "payment_id", "detail"]),
];

/// A column as it is printed: the report's own, or the decimal that is added beside a sum.
#[derive(Debug)]
struct Printed {
    name: String,
    kind: Kind,
}

/// A row as a JSON object whose keys stand in the order of the columns.
struct Object<'a>(&'a [Printed], Vec<Value>);

/// As a table of `most` rows.
pub async fn table(store: &Store, report: &Report, filter: &Filter, most: u32) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let filter = Filter { limit: Some(most.saturating_add(1)), ..filter.clone() };
    each(store, report, &filter, |cells| {
        rows.push(cells);
        Ok(ControlFlow::Continue(()))
    })
    .await?;
    let columns = printed(report);
    let shown = shown(report, &columns);
    let figures = shown.iter().filter(|place| !matches!(columns[**place].kind, Kind::Text | Kind::Time));
    let figures: Vec<String> = figures.map(|place| heading(&columns[*place])).collect();
    let headings: Vec<String> = shown.iter().map(|place| heading(&columns[*place])).collect();
    let mut table = Table::new(&headings).right(&figures);
    for cells in cut(rows, most) {
        table.push(shown.iter().map(|place| match (columns[*place].kind, &cells[*place]) {
            (Kind::Time, Some(text)) => minute(text.parse().ok()),
            (_, cell) => or_dash(cell.as_deref()),
        }));
    }
    table.print()?;
    if SHOWN.iter().any(|(name, _)| *name == report.name) && !table.is_empty() {
        output::remark(&format!("{} of {} columns; --csv and --json have all", shown.len(), columns.len()));
    }
    Ok(())
}

/// As CSV, row by row.
pub async fn csv(store: &Store, report: &Report, filter: &Filter) -> anyhow::Result<()> {
    let columns = printed(report);
    let headings: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut sheet = Spreadsheet::on_stdout(&headings)?;
    each(store, report, filter, |cells| {
        let texts = columns.iter().zip(cells).map(|(column, cell)| match (column.kind, cell) {
            (_, None) => String::new(),
            (Kind::Time, Some(text)) => instant(&text).unwrap_or(text),
            (_, Some(text)) => text,
        });
        sheet.row(texts)
    })
    .await?;
    sheet.end()
}

/// As a JSON array, a row a line.
pub async fn json(store: &Store, report: &Report, filter: &Filter) -> anyhow::Result<()> {
    let columns = printed(report);
    let mut out = io::BufWriter::new(io::stdout());
    let mut separator = "[\n";
    each(store, report, filter, |cells| {
        let values = columns.iter().zip(cells).map(|(column, cell)| value(column, cell));
        let object = Object(&columns, values.collect::<anyhow::Result<_>>()?);
        let text = serde_json::to_string(&object).context("a row could not be written as JSON")?;
        let written = goes_on(write!(out, "{separator}  {text}"));
        separator = ",\n";
        written
    })
    .await?;
    let end = if separator == "[\n" { "[]\n" } else { "\n]\n" };
    goes_on(out.write_all(end.as_bytes()).and_then(|()| out.flush())).map(|_| ())
}

/// Hands every row, with the decimals of its sums, to `print` until it breaks off or fails.
async fn each(
    store: &Store,
    report: &Report,
    filter: &Filter,
    mut print: impl FnMut(Vec<Option<String>>) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    store
        .report(report, filter, |row| match with_decimals(report, row).and_then(&mut print) {
            Ok(flow) => flow,
            Err(error) => {
                outcome = Err(error);
                ControlFlow::Break(())
            }
        })
        .await?;
    outcome
}

/// The columns as printed: beside each sum its decimal.
fn printed(report: &Report) -> Vec<Printed> {
    let columns = report.columns.iter().flat_map(|column| {
        let own = Printed { name: column.name.to_owned(), kind: column.kind };
        let decimal = match column.kind {
            Kind::Sum => Some(Printed { name: decimal_name(column.name), kind: Kind::Decimal }),
            Kind::Text | Kind::Number | Kind::Decimal | Kind::Time => None,
        };
        std::iter::once(own).chain(decimal)
    });
    columns.collect()
}

/// `collected_minor` is `collected_amount` in major units, and `amount_minor` is `amount`.
fn decimal_name(minor: &str) -> String {
    match minor.strip_suffix("_minor") {
        Some("amount") | None => "amount".to_owned(),
        Some(what) => format!("{what}_amount"),
    }
}

/// The cells, and after each sum its exact decimal; none where dues does not know the currency.
fn with_decimals(report: &Report, Cells(cells): Cells) -> anyhow::Result<Vec<Option<String>>> {
    let at_currency = report.columns.iter().position(|column| column.name == "currency");
    let currency = at_currency.and_then(|place| cells.get(place).cloned().flatten());
    let mut printed = Vec::with_capacity(cells.len());
    for (column, cell) in report.columns.iter().zip(cells) {
        let decimal = match (column.kind, &cell, &currency) {
            (Kind::Sum, Some(minor), Some(currency)) => {
                Some(Amount::of(whole(minor)?, currency).ok().map(|it| it.decimal))
            }
            (Kind::Sum, _, _) => Some(None),
            _ => None,
        };
        printed.push(cell);
        printed.extend(decimal);
    }
    Ok(printed)
}

/// The places of the columns that stand in a table: of a view those that are listed, in the order of the list; of a question all but
/// minor units, which stand beside their decimal, and months whose instant is there.
fn shown(report: &Report, columns: &[Printed]) -> Vec<usize> {
    let place = |name: &str| columns.iter().position(|it| it.name == name);
    if let Some((_, shown)) = SHOWN.iter().find(|(view, _)| *view == report.name) {
        return shown.iter().filter_map(|name| place(name)).collect();
    }
    let told_otherwise = |name: &str| {
        name.ends_with("_minor")
            || name.strip_suffix("_month").is_some_and(|what| place(&format!("{what}_at")).is_some())
    };
    (0..columns.len()).filter(|at| !told_otherwise(&columns[*at].name)).collect()
}

fn heading(column: &Printed) -> String {
    let name = column.name.as_str();
    let short = match name {
        "last_decline_code" | "response_code" => "code",
        "last_decline_class" | "decline_class" => "class",
        "last_attempt_state" => "attempt",
        "payment_id" => "payment",
        "payment_reference" => "reference at the gateway",
        "amount" => "amount",
        _ => ["_reference", "_index", "_at", "_amount", "_id"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name),
    };
    let words = short.replace('_', " ").to_uppercase();
    if column.kind == Kind::Time { format!("{words} (UTC)") } else { words }
}

/// A cell as JSON: whole numbers are numbers, decimals exact text.
fn value(column: &Printed, cell: Option<String>) -> anyhow::Result<Value> {
    Ok(match (column.kind, cell) {
        (_, None) => Value::Null,
        (Kind::Number | Kind::Sum, Some(text)) => whole(&text)?.into(),
        (Kind::Time, Some(text)) => instant(&text).unwrap_or(text).into(),
        (Kind::Text | Kind::Decimal, Some(text)) => text.into(),
    })
}

/// An instant as every other command prints it; none where the text is none.
fn instant(text: &str) -> Option<String> {
    let at: Instant = text.parse().ok()?;
    Some(at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

fn whole(text: &str) -> anyhow::Result<i64> {
    text.parse().map_err(|_| anyhow!("{text:?} is no whole number of at most 63 bits; run `dues verify`"))
}

/// Breaks off where standard output was closed.
fn goes_on(written: io::Result<()>) -> anyhow::Result<ControlFlow<()>> {
    match written {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error).context("standard output could not be written"),
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|column| &column.name).zip(&self.1))
    }
}
