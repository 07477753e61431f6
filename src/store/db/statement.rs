//! One text for two databases: a statement with `$1` placeholders, its values, and sets of rows that become `UNNEST` on
//! PostgreSQL and `json_each` on SQLite.
//!
//! In the text `{rows}` (any name) stands for a set, as a table whose alias is its name; `{lock a}` for "lock what you read of a,
//! passing over what another daemon holds" and `{hold a}` for "lock what you read of a" (both nothing on SQLite, where a writer
//! owns the file).

use std::fmt::Write;

use chrono::{Datelike, Timelike};
use serde_json::Value as Json;

use crate::clock::Instant;

/// A statement and everything bound to it.
#[derive(Debug, Clone)]
pub struct Statement {
    text: &'static str,
    values: Vec<Value>,
    sets: Vec<Set>,
}

/// One bound value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Time(Option<Instant>),
}

/// One column of a set.
#[derive(Debug, Clone)]
pub(super) enum Column {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Times(Vec<Option<Instant>>),
}

#[derive(Debug, Clone)]
struct Set {
    name: &'static str,
    columns: Vec<(&'static str, Column)>,
}

/// What can be bound.
pub trait Bind {
    /// Itself as a bound value.
    #[doc(hidden)]
    fn value(self) -> BoundValue;
}

/// A value on its way into a statement.
#[derive(Debug, Clone)]
pub struct BoundValue(Value);

macro_rules! bind {
    ($($type:ty => |$it:ident| $value:expr),* $(,)?) => { $(
        impl Bind for $type { fn value(self) -> BoundValue { let $it = self; BoundValue($value) } }
    )* };
}
bind! {
    i64 => |it| Value::Int(Some(it)),
    Option<i64> => |it| Value::Int(it),
    u32 => |it| Value::Int(Some(i64::from(it))),
    bool => |it| Value::Int(Some(i64::from(it))),
    &str => |it| Value::Text(Some(it.to_owned())),
    Option<&str> => |it| Value::Text(it.map(str::to_owned)),
    String => |it| Value::Text(Some(it)),
    Option<String> => |it| Value::Text(it),
    Instant => |it| Value::Time(Some(it)),
    Option<Instant> => |it| Value::Time(it),
}

/// A set of rows, built row by row; every row gives the columns in one order.
#[derive(Debug, Clone)]
pub struct Rows {
    names: &'static [&'static str],
    columns: Vec<Column>,
    length: usize,
}

/// The columns of a set by their kind: `i` whole number, `t` text, `@` instant.
impl Rows {
    /// An empty set with these columns; `kinds` has one letter a column: `i` whole number, `t` text, `@` instant.
    pub fn new(names: &'static [&'static str], kinds: &str) -> Self {
        let column = |kind| match kind {
            'i' => Column::Ints(Vec::new()),
            't' => Column::Texts(Vec::new()),
            '@' => Column::Times(Vec::new()),
            _ => unreachable!("kinds of columns are written in this layer: i, t or @"),
        };
        let columns: Vec<Column> = kinds.chars().map(column).collect();
        assert_eq!(names.len(), columns.len(), "every column of a set has a name and a kind");
        Rows { names, columns, length: 0 }
    }

    /// Adds a row.
    pub fn push(&mut self, row: impl IntoIterator<Item = BoundValue>) {
        let mut given = 0;
        for (column, value) in self.columns.iter_mut().zip(row) {
            match (column, value.0) {
                (Column::Ints(cells), Value::Int(cell)) => cells.push(cell),
                (Column::Texts(cells), Value::Text(cell)) => cells.push(cell),
                (Column::Times(cells), Value::Time(cell)) => cells.push(cell),
                (column, value) => unreachable!("{value:?} does not belong into {column:?}"),
            }
            given += 1;
        }
        assert_eq!(given, self.columns.len(), "a row gives every column");
        self.length += 1;
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Makes a row for [`Rows::push`] of values of different types.
#[macro_export]
macro_rules! cells {
    ($($value:expr),* $(,)?) => { [$($crate::store::db::Bind::value($value)),*] };
}

/// A set of one column `id`.
pub fn ids(ids: impl IntoIterator<Item = i64>) -> Rows {
    let mut rows = Rows::new(&["id"], "i");
    for id in ids {
        rows.push([id.value()]);
    }
    rows
}

impl Statement {
    /// A statement with no values yet.
    pub fn new(text: &'static str) -> Self {
        Statement { text, values: Vec::new(), sets: Vec::new() }
    }

    /// Binds the next placeholder, `$1` first. Placeholders of single values come before those of sets.
    #[must_use]
    pub fn bind(mut self, value: impl Bind) -> Self {
        self.values.push(value.value().0);
        self
    }

    /// Binds the set that the text calls `{name}`.
    #[must_use]
    pub fn rows(mut self, name: &'static str, rows: Rows) -> Self {
        let columns = rows.names.iter().copied().zip(rows.columns).collect();
        self.sets.push(Set { name, columns });
        self
    }

    /// Its text, for an error.
    pub(super) fn text(&self) -> &'static str {
        self.text
    }

    /// Text and values for SQLite: a set is one JSON parameter.
    pub(super) fn for_sqlite(self) -> (String, Vec<Value>) {
        let first = self.values.len() + 1;
        let text = rendered(self.text, |word, out| {
            let Some(place) = self.sets.iter().position(|set| set.name == word) else {
                return lock_clause(word).is_some();
            };
            let set = &self.sets[place];
            out.push_str("(SELECT ");
            for (i, (name, _)) in set.columns.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                let _never_fails = write!(out, "{comma}value ->> {i} AS {name}");
            }
            let _never_fails = write!(out, " FROM json_each(${})) AS {word}", first + place);
            true
        });
        let sets = self.sets.iter().map(|set| Value::Text(Some(json_rows(&set.columns))));
        let values = self.values.into_iter().map(sqlite_time).chain(sets).collect();
        (text, values)
    }

    /// Text, single values and columns for PostgreSQL: a set is one array parameter a column.
    pub(super) fn for_postgres(self) -> (String, Vec<Value>, Vec<Column>) {
        let text = rendered(self.text, |word, out| {
            let Some(place) = self.sets.iter().position(|set| set.name == word) else {
                return lock_clause(word)
                    .map(|(clause, table, rest)| {
                        let _never_fails = write!(out, "{clause} {table}{rest}");
                    })
                    .is_some();
            };
            let mut parameter =
                self.values.len() + self.sets[..place].iter().map(|set| set.columns.len()).sum::<usize>();
            let (mut names, mut comma) = (String::new(), "");
            out.push_str("UNNEST(");
            for (name, column) in &self.sets[place].columns {
                let kind = match column {
                    Column::Ints(_) => "bigint",
                    Column::Texts(_) => "text",
                    Column::Times(_) => "timestamptz",
                };
                parameter += 1;
                let _never_fails = write!(out, "{comma}${parameter}::{kind}[]");
                let _never_fails = write!(names, "{comma}{name}");
                comma = ", ";
            }
            let _never_fails = write!(out, ") AS {word}({names})");
            true
        });
        let columns = self.sets.into_iter().flat_map(|set| set.columns).map(|(_, column)| column);
        (text, self.values, columns.collect())
    }
}

/// The text with what `put` writes for each word in braces; where it knows none of a word, that stays as it is.
fn rendered(text: &str, mut put: impl FnMut(&str, &mut String) -> bool) -> String {
    let mut out = String::with_capacity(2 * text.len());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, braced) = rest.split_at(start);
        out.push_str(before);
        let end = braced.find('}').expect("braces in a statement are closed");
        if !put(&braced[1..end], &mut out) {
            out.push_str(&braced[..=end]);
        }
        rest = &braced[end + 1..];
    }
    out.push_str(rest);
    out
}

/// PostgreSQL's clause for `lock a`, `hold a` or `share a`: what stands before the table, the table, and what stands after it.
fn lock_clause(word: &str) -> Option<(&'static str, &str, &'static str)> {
    match word.split_once(' ')? {
        ("lock", table) => Some(("FOR UPDATE OF", table, " SKIP LOCKED")),
        ("hold", table) => Some(("FOR UPDATE OF", table, "")),
        ("share", table) => Some(("FOR SHARE OF", table, "")),
        _ => None,
    }
}

fn json_rows(columns: &[(&'static str, Column)]) -> String {
    let length = columns.first().map_or(0, |(_, column)| match column {
        Column::Ints(cells) => cells.len(),
        Column::Texts(cells) => cells.len(),
        Column::Times(cells) => cells.len(),
    });
    let cell = |column: &Column, i: usize| match column {
        Column::Ints(cells) => cells[i].map_or(Json::Null, Json::from),
        Column::Texts(cells) => cells[i].clone().map_or(Json::Null, Json::from),
        Column::Times(cells) => cells[i].map_or(Json::Null, |at| Json::from(sqlite_text(at))),
    };
    let rows = (0..length).map(|i| Json::Array(columns.iter().map(|(_, column)| cell(column, i)).collect()));
    Json::Array(rows.collect()).to_string()
}

/// An instant as SQLite keeps it: UTC, of fixed width, so that text order is time order.
pub fn sqlite_text(at: Instant) -> String {
    let (year, month, day) = (at.year(), at.month(), at.day());
    let (hour, minute, micros) = (at.hour(), at.minute(), at.timestamp_subsec_micros());
    // A leap second has more than a million of them.
    let (second, micros) = (at.second() + micros / 1_000_000, micros % 1_000_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

fn sqlite_time(value: Value) -> Value {
    match value {
        Value::Time(at) => Value::Text(at.map(sqlite_text)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        let mut rows = Rows::new(&["id", "state", "at"], "it@");
        rows.push(cells![1_i64, "due", "2026-01-02T03:04:05Z".parse::<Instant>().unwrap()]);
        rows.push(cells![2_i64, None::<String>, None::<Instant>]);
        Statement::new("UPDATE t SET s = v.state FROM {v} WHERE t.id = v.id AND t.n = $1 {lock t}")
            .bind(7_i64)
            .rows("v", rows)
    }

    #[test]
    fn a_set_is_one_json_parameter_on_sqlite() {
        let (text, values) = statement().for_sqlite();
        assert_eq!(
            text,
            "UPDATE t SET s = v.state FROM (SELECT value ->> 0 AS id, value ->> 1 AS state, value ->> 2 AS at \
             FROM json_each($2)) AS v WHERE t.id = v.id AND t.n = $1 "
        );
        let Value::Text(Some(json)) = &values[1] else { panic!("{values:?}") };
        assert_eq!(json, r#"[[1,"due","2026-01-02T03:04:05.000000Z"],[2,null,null]]"#);
    }

    #[test]
    fn a_set_is_one_array_a_column_on_postgres() {
        let (text, values, columns) = statement().for_postgres();
        assert_eq!(
            text,
            "UPDATE t SET s = v.state FROM UNNEST($2::bigint[], $3::text[], $4::timestamptz[]) AS v(id, state, at) \
             WHERE t.id = v.id AND t.n = $1 FOR UPDATE OF t SKIP LOCKED"
        );
        assert_eq!((values.len(), columns.len()), (1, 3));
    }
}
