//! `docs/finance.md` tells of every column of every view, and both databases have the same ones in the same order.

use std::collections::BTreeMap;

use dues::row;
use dues::store::db::Statement;
use dues::store::reports::{Report, VIEWS};

use crate::support::world::{BOTH, On, World};

row! { ColumnRow { view: String, name: String } }

const ON_SQLITE: &str = "SELECT v.name AS view, c.name FROM sqlite_schema v JOIN pragma_table_info(v.name) c \
                         WHERE v.type = 'view' ORDER BY v.name, c.cid";
const ON_POSTGRES: &str = "SELECT CAST(table_name AS TEXT) AS view, CAST(column_name AS TEXT) AS name \
    FROM information_schema.columns WHERE table_schema = 'public' \
    AND table_name IN (SELECT v.table_name FROM information_schema.views v WHERE v.table_schema = 'public') \
    ORDER BY table_name, ordinal_position";
const WITHOUT_COMMENT: &str = "SELECT CAST(c.relname || '.' || a.attname AS TEXT) AS line FROM pg_class c \
    JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relname LIKE 'finance%' AND c.relkind = 'v' AND a.attnum > 0 \
    AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)";

async fn views(on: On) -> BTreeMap<String, Vec<String>> {
    let world = World::new(on, "2026-01-01T00:00:00Z", &[]).await;
    let text = if on == On::Sqlite { ON_SQLITE } else { ON_POSTGRES };
    let rows: Vec<ColumnRow> = world.store.read(Statement::new(text)).await.unwrap();
    let mut views: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        views.entry(row.view).or_default().push(row.name);
    }
    views
}

/// The dictionary's tables: the columns under the heading of each view.
fn told() -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut view = None;
    for line in include_str!("../../../docs/finance.md").lines() {
        if line.starts_with('#') {
            view = line.strip_prefix("### `").and_then(|rest| rest.strip_suffix('`')).map(str::to_owned);
        } else if let (Some(view), Some(rest)) = (&view, line.strip_prefix("| `")) {
            let (name, meaning) = rest.split_once("` | ").unwrap();
            assert!(meaning.split('|').filter(|cell| !cell.trim().is_empty()).count() == 2, "{view}.{name}: {meaning}");
            told.entry(view.clone()).or_default().push(name.to_owned());
        }
    }
    told
}

#[tokio::test]
async fn both_databases_have_the_columns_that_the_dictionary_tells_of() {
    let told = told();
    assert_eq!(told.len(), 5, "{:?}", told.keys());
    for on in BOTH {
        assert_eq!(views(on).await, told, "{on:?}");
    }
}

#[tokio::test]
async fn every_column_has_a_comment_in_the_database() {
    let world = World::new(On::Postgres, "2026-01-01T00:00:00Z", &[]).await;
    assert_eq!(world.lines(WITHOUT_COMMENT).await, [""; 0]);
}

#[tokio::test]
async fn a_view_is_a_report_with_all_its_columns() {
    let of_reports = |view: &Report| {
        let columns = view.columns.iter().map(|column| column.name.to_owned());
        (format!("finance_{}", view.name), columns.collect::<Vec<_>>())
    };
    let reports: BTreeMap<String, Vec<String>> = VIEWS.iter().map(of_reports).collect();
    assert_eq!(reports, told());
}

#[tokio::test]
async fn the_read_only_role_sees_the_views_and_nothing_else() {
    let world = World::new(On::Postgres, "2026-01-01T00:00:00Z", &[]).await;
    let mut tx = world.store.begin("role").await.unwrap();
    let script: &'static str = include_str!("../../../docs/postgres-finance-role.sql");
    // A prepared statement is one command, and the script leaves an empty line between its commands.
    for paragraph in script.split("\n\n") {
        let command: Vec<&str> = paragraph.lines().filter(|line| !line.starts_with("--")).collect();
        if !command.is_empty() {
            tx.run(Statement::new(command.join("\n").leak())).await.unwrap();
        }
    }
    tx.run(Statement::new("SET LOCAL ROLE dues_finance")).await.unwrap();
    for view in ["subscriptions", "charges", "payments", "reviews", "exceptions"] {
        let read: &'static str = format!("SELECT * FROM finance_{view}").leak();
        tx.run(Statement::new(read)).await.unwrap();
    }
    for report in Report::all() {
        tx.run(Statement::new(report.told().leak())).await.unwrap();
    }
    assert!(tx.run(Statement::new("SELECT * FROM customers")).await.is_err(), "personal data is not finance's to read");
}
