//! One text for two databases: a statement with `$1` placeholders, its values, and sets of rows that become `UNNEST` on
//! PostgreSQL and `json_each` on SQLite.
//!
//! In the text `{rows}` (any name) stands for a set, as a table whose alias is its name; `{lock a}` for "lock what you read of a,
//! passing over what another daemon holds" and `{hold a}` for "lock what you read of a" (both nothing on SQLite, where a writer
//! owns the file).

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
        let mut text = without_locks(self.text, |_| String::new());
        let mut values = self.values;
        for set in self.sets {
            let fields: Vec<String> =
                set.columns.iter().enumerate().map(|(i, (name, _))| format!("value ->> {i} AS {name}")).collect();
            let table = format!("(SELECT {} FROM json_each(${})) AS {}", fields.join(", "), values.len() + 1, set.name);
            text = text.replace(&format!("{{{}}}", set.name), &table);
            values.push(Value::Text(Some(json_rows(&set.columns))));
        }
        (text, values.into_iter().map(sqlite_time).collect())
    }

    /// Text, single values and columns for PostgreSQL: a set is one array parameter a column.
    pub(super) fn for_postgres(self) -> (String, Vec<Value>, Vec<Column>) {
        let mut text = without_locks(self.text, |clause| clause.to_owned());
        let mut columns = Vec::new();
        for set in self.sets {
            let names: Vec<&str> = set.columns.iter().map(|(name, _)| *name).collect();
            let mut arrays = Vec::new();
            for (_, column) in set.columns {
                let kind = match column {
                    Column::Ints(_) => "bigint",
                    Column::Texts(_) => "text",
                    Column::Times(_) => "timestamptz",
                };
                arrays.push(format!("${}::{kind}[]", self.values.len() + columns.len() + 1));
                columns.push(column);
            }
            let table = format!("UNNEST({}) AS {}({})", arrays.join(", "), set.name, names.join(", "));
            text = text.replace(&format!("{{{}}}", set.name), &table);
        }
        (text, self.values, columns)
    }
}

/// Replaces `{lock a}`, `{hold a}` and `{share a}` by what `lock` makes of PostgreSQL's clause for it.
fn without_locks(text: &str, lock: impl Fn(&str) -> String) -> String {
    let mut out = text.to_owned();
    for (word, clause, rest) in
        [("{lock ", "FOR UPDATE OF", " SKIP LOCKED"), ("{hold ", "FOR UPDATE OF", ""), ("{share ", "FOR SHARE OF", "")]
    {
        while let Some(start) = out.find(word) {
            let end = start + out[start..].find('}').expect("a lock in a statement is closed");
            let table = &out[start + word.len()..end];
            let clause = lock(&format!("{clause} {table}{rest}"));
            out.replace_range(start..=end, &clause);
        }
    }
    out
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
    at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
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
