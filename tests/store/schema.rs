//! One schema in two dialects: the twins have the same tables, columns and rules, and the words of the machines stand in them.

use dues::domain::attempt::AttemptState;
use dues::domain::charge::ChargeState;
use dues::domain::dunning::DeclineClass;
use dues::domain::source::SourceState;
use dues::domain::subscription::SubscriptionState;
use dues::row;
use dues::store::db::Statement;

use crate::ledger::Ledger;
use crate::support::world::{BOTH, On};

const SQLITE: &str = include_str!("../../migrations/sqlite/0001_books.sql");
const POSTGRES: &str = include_str!("../../migrations/postgres/0001_books.sql");
/// The views, and one as it was made anew.
const VIEWS: [&str; 4] = [
    include_str!("../../migrations/sqlite/0002_finance.sql"),
    include_str!("../../migrations/postgres/0002_finance.sql"),
    include_str!("../../migrations/sqlite/0008_checkouts.sql"),
    include_str!("../../migrations/postgres/0008_checkouts.sql"),
];

row! { ColumnRow { tab: String, name: String, kind: String, required: i64 } }
row! { IndexRow { name: String } }

const COLUMNS_ON_SQLITE: &str = "SELECT t.name AS tab, c.name, lower(c.type) AS kind, \
    CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN 1 ELSE 0 END AS required FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY t.name, c.cid";
const COLUMNS_ON_POSTGRES: &str = "SELECT CAST(c.table_name AS TEXT) AS tab, CAST(c.column_name AS TEXT) AS name, \
    CAST(c.data_type AS TEXT) AS kind, CAST(CASE WHEN c.is_nullable = 'NO' THEN 1 ELSE 0 END AS BIGINT) AS required \
    FROM information_schema.columns c JOIN information_schema.tables t ON t.table_name = c.table_name \
    AND t.table_schema = c.table_schema WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' \
    AND c.table_name NOT LIKE '\\_sqlx%' ORDER BY c.table_name, c.ordinal_position";
const INDEXES_ON_SQLITE: &str = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY name";
const INDEXES_ON_POSTGRES: &str = "SELECT CAST(indexname AS TEXT) AS name FROM pg_indexes WHERE schemaname = 'public' \
    AND indexname NOT LIKE '%\\_pkey' AND indexname NOT LIKE '%\\_key' ORDER BY indexname";

/// The kinds that SQLite has: a whole number, or text, which is also its time.
fn kind_on_sqlite(kind: &str) -> &str {
    match kind {
        "bigint" => "integer",
        "timestamp with time zone" => "text",
        other => other,
    }
}

#[tokio::test]
async fn both_databases_have_the_same_tables_columns_and_indexes() {
    let mut columns = Vec::new();
    let mut indexes = Vec::new();
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let sqlite = on == On::Sqlite;
        let text = if sqlite { COLUMNS_ON_SQLITE } else { COLUMNS_ON_POSTGRES };
        let mut rows: Vec<ColumnRow> = ledger.store.read(Statement::new(text)).await.unwrap();
        for row in &mut rows {
            row.kind = kind_on_sqlite(&row.kind).to_owned();
        }
        columns.push(rows);
        let text = if sqlite { INDEXES_ON_SQLITE } else { INDEXES_ON_POSTGRES };
        indexes.push(ledger.store.read::<IndexRow>(Statement::new(text)).await.unwrap());
    }
    assert!(columns[0].len() > 100, "{}", columns[0].len());
    for (sqlite, postgres) in columns[0].iter().zip(&columns[1]) {
        assert_eq!(sqlite, postgres);
    }
    assert_eq!(columns[0].len(), columns[1].len());
    assert_eq!(indexes[0], indexes[1]);
}

/// Every text in single quotes.
fn words(text: &str) -> Vec<&str> {
    text.split('\'').skip(1).step_by(2).collect()
}

/// The words that the CHECK of a column of a table allows.
fn allowed<'a>(schema: &'a str, table: &str, column: &str) -> Vec<&'a str> {
    let table = schema.split_once(&format!("CREATE TABLE {table} (")).unwrap().1;
    let check = table.split_once(&format!("CHECK ({column} IN (")).unwrap().1;
    words(check.split_once(')').unwrap().0)
}

#[test]
fn the_checks_repeat_the_words_of_the_machines() {
    fn sorted<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let mut words: Vec<&str> = words.into_iter().collect();
        words.sort_unstable();
        words
    }
    for schema in [SQLITE, POSTGRES] {
        let check = |table, column| sorted(allowed(schema, table, column));
        assert_eq!(check("subscriptions", "state"), sorted(SubscriptionState::ALL.iter().map(|it| it.as_str())));
        assert_eq!(check("charges", "state"), sorted(ChargeState::ALL.iter().map(|it| it.as_str())));
        assert_eq!(check("attempts", "state"), sorted(AttemptState::ALL.iter().map(|it| it.as_str())));
        assert_eq!(check("sources", "state"), sorted(SourceState::ALL.iter().map(|it| it.as_str())));
        assert_eq!(check("payments", "decline_class"), sorted(DeclineClass::ALL.iter().map(|it| it.as_str())));

        let index = |name: &str| {
            let rest = schema.split_once(&format!("INDEX {name} ON")).unwrap().1;
            sorted(words(rest.split_once(';').unwrap().0))
        };
        assert_eq!(index("attempts_one_live"), sorted(AttemptState::LIVE.iter().map(|it| it.as_str())));
        let opens = SubscriptionState::OPENS_PERIODS.iter().map(|it| it.as_str());
        assert_eq!(index("subscriptions_to_bill"), sorted(opens));
        let on_the_wire = AttemptState::ALL.iter().filter(|it| it.is_on_the_wire()).map(|it| it.as_str());
        assert_eq!(index("attempts_to_look_at"), sorted(on_the_wire));
    }
}

#[test]
fn every_column_says_what_it_means() {
    for schema in [SQLITE, POSTGRES] {
        let mut columns = 0;
        let lines: Vec<&str> = schema.lines().collect();
        for (place, line) in lines.iter().enumerate() {
            let Some(rest) = line.strip_prefix("    ") else { continue };
            if !rest.starts_with(|it: char| it.is_ascii_lowercase()) {
                continue;
            }
            columns += 1;
            let continues = |line: &&&str| line.starts_with("          ");
            let said =
                line.contains(" -- ") || lines[place + 1..].iter().take_while(continues).any(|it| it.contains(" -- "));
            assert!(said, "no comment: {line}");
        }
        assert!(columns > 100, "{columns}");
    }
    for views in VIEWS {
        let mut columns = 0;
        for view in views.split("\nSELECT\n").skip(1) {
            let select = view.split("\nFROM").next().unwrap_or_default();
            let lines: Vec<&str> = select.lines().collect();
            for (place, line) in lines.iter().enumerate() {
                columns += usize::from(line.contains(" -- "));
                let goes_on = lines.get(place + 1).is_some_and(|next| next.starts_with("        "));
                assert!(line.contains(" -- ") || goes_on, "no comment: {line}");
            }
        }
        assert!(columns > if views.contains("finance_payments") { 100 } else { 30 }, "{columns}");
    }
}
