//! What finance reads, as named reports: the five views, and questions about them. A report is data (its query, its columns and
//! its order); docs/finance.md tells the same queries, and a test holds the two against each other.

mod questions;
mod views;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use super::db::Statement;
use super::{Store, StoreError};
use crate::row;

pub use questions::QUESTIONS;
pub use views::VIEWS;

/// A question that finance asks, and the query that answers it from the `finance_*` views.
#[derive(Debug)]
pub struct Report {
    /// The word by which it is asked for.
    pub name: &'static str,
    /// The question, in one line.
    pub about: &'static str,
    /// A SELECT on the views alone, without its order.
    pub query: &'static str,
    /// What the query gives, in its order.
    pub columns: &'static [Column],
    /// The column that says which month a row is about; none where a row is about no month.
    pub month: Option<&'static str>,
    /// The columns by which rows are ordered.
    pub order: &'static [&'static str],
}

/// A column of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in the query.
    pub name: &'static str,
    /// What stands in it.
    pub kind: Kind,
}

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words, ids, months.
    Text,
    /// A whole number: a count, minor units, or 0 and 1 for no and yes.
    Number,
    /// A sum of minor units, of which the query has no decimal beside it.
    Sum,
    /// An exact decimal.
    Decimal,
    /// An instant.
    Time,
}

/// Which rows of a report are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those about this month, `2026-10`.
    pub month: Option<String>,
    /// Only those in this currency.
    pub currency: Option<String>,
    /// So many at most; none where all are wanted.
    pub limit: Option<u32>,
}

/// One row: a cell a column, as text. An instant is `2026-01-31T02:00:00.000000Z` on both databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells(pub Vec<Option<String>>);

impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for Cells
where
    usize: sqlx::ColumnIndex<R>,
    Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        (0..row.len()).map(|place| row.try_get(place)).collect::<sqlx::Result<_>>().map(Cells)
    }
}

row! { CountRow { count: i64 } }

/// The text of every report on both databases, by database and name.
static TEXTS: LazyLock<BTreeMap<(&str, &str), String>> = LazyLock::new(|| {
    let on = |kind| Report::all().map(move |report| ((kind, report.name), report.text(kind)));
    ["sqlite", "postgres"].into_iter().flat_map(on).collect()
});

impl Report {
    /// The views first, then the questions.
    pub fn all() -> impl Iterator<Item = &'static Report> {
        VIEWS.iter().chain(QUESTIONS)
    }

    /// Whether its rows are in one currency each.
    pub fn has_currency(&self) -> bool {
        self.columns.iter().any(|column| column.name == "currency")
    }

    /// The query as a person runs it: in its order.
    pub fn told(&self) -> String {
        format!("{} ORDER BY {}", self.query, self.order.join(", "))
    }

    /// The statement for one database: every cell as text, `$1` the month, `$2` the currency, `$3` the most rows.
    fn text(&self, kind: &str) -> String {
        let cell = |column: &Column| match (column.kind, kind) {
            (Kind::Time, "postgres") => {
                format!("to_char(q.{} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", column.name)
            }
            _ => format!("CAST(q.{} AS TEXT)", column.name),
        };
        let cells: Vec<String> = self.columns.iter().map(cell).collect();
        let currency = self.has_currency().then_some("currency");
        let wanted = [(1, self.month), (2, currency)].map(|(place, column)| match column {
            Some(column) => format!("(${place} IS NULL OR q.{column} = ${place})"),
            // A placeholder that stands nowhere has no type on PostgreSQL.
            None => format!("CAST(${place} AS TEXT) IS NULL"),
        });
        let order: Vec<String> = self.order.iter().map(|column| format!("q.{column} NULLS LAST")).collect();
        format!(
            "SELECT {} FROM ({}) q WHERE {} ORDER BY {} LIMIT $3",
            cells.join(", "),
            self.query,
            wanted.join(" AND "),
            order.join(", ")
        )
    }
}

impl Store {
    /// Hands the rows of a report to `each`, one after the other, until it breaks off: one statement, so that all rows are of one
    /// instant, and never more than a few rows in memory. On SQLite the write-ahead log is not cut back while it lasts.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn report(
        &self,
        report: &Report,
        filter: &Filter,
        each: impl FnMut(Cells) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let Some(text) = TEXTS.get(&(self.kind(), report.name)) else { return Ok(()) };
        let limit = filter.limit.map_or(i64::MAX, i64::from);
        let statement = Statement::new(text).bind(filter.month.clone()).bind(filter.currency.clone()).bind(limit);
        self.read_each(statement, each).await
    }

    /// Refuses books in which the views are missing, closed to this login, or older than this program. Newer ones will do: columns
    /// are only added. The views are all that is needed, so the read-only role passes, which may read no table.
    ///
    /// # Errors
    /// [`StoreError::Schema`], [`StoreError::ViewsClosed`], [`StoreError::Database`].
    pub async fn check_views(&self) -> Result<(), StoreError> {
        let login = match self.kind() {
            "sqlite" => None,
            _ => {
                let readable = "SELECT COUNT(*) AS count FROM pg_class WHERE oid IN (to_regclass('finance_subscriptions'), \
                    to_regclass('finance_charges'), to_regclass('finance_payments'), to_regclass('finance_reviews'), \
                    to_regclass('finance_exceptions')) AND has_table_privilege(oid, 'SELECT')";
                let ours = "SELECT COUNT(*) AS count FROM pg_class WHERE oid = to_regclass('_sqlx_migrations') \
                    AND NOT has_table_privilege(oid, 'SELECT')";
                let readable: CountRow = self.read_one(Statement::new(readable)).await?;
                let closed: CountRow = self.read_one(Statement::new(ours)).await?;
                (closed.count > 0).then_some(readable.count)
            }
        };
        match login {
            Some(readable) if usize::try_from(readable) == Ok(VIEWS.len()) => Ok(()),
            Some(_) => Err(StoreError::ViewsClosed),
            None => match self.check_schema().await {
                Err(StoreError::Schema { found, wanted }) if found > wanted => Ok(()),
                other => other,
            },
        }
    }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn number(name: &'static str) -> Column {
    Column { name, kind: Kind::Number }
}

const fn sum(name: &'static str) -> Column {
    Column { name, kind: Kind::Sum }
}

const fn decimal(name: &'static str) -> Column {
    Column { name, kind: Kind::Decimal }
}

const fn time(name: &'static str) -> Column {
    Column { name, kind: Kind::Time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_complete() {
        let names: Vec<&str> = Report::all().map(|report| report.name).collect();
        for report in Report::all() {
            let name = report.name;
            assert_eq!(names.iter().filter(|it| **it == name).count(), 1, "{name} is there twice");
            for column in report.month.iter().chain(report.order) {
                assert!(report.columns.iter().any(|it| it.name == *column), "{name} has no column {column}");
            }
            let months: Vec<&str> =
                report.columns.iter().map(|it| it.name).filter(|it| it.ends_with("_month")).collect();
            assert_eq!(report.month.is_none(), months.is_empty(), "{name}: {months:?}");
            assert!(report.about.chars().count() <= 90 && !report.about.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn a_report_without_a_month_takes_none() {
        let exceptions = VIEWS.iter().find(|report| report.name == "exceptions");
        let text = exceptions.map(|report| report.text("sqlite")).unwrap_or_default();
        assert!(text.contains("WHERE CAST($1 AS TEXT) IS NULL AND CAST($2 AS TEXT) IS NULL"), "{text}");
    }
}
