//! What the database says of itself, read on connections that cannot write.

use std::time::Duration;

use dues::clock::Clock;
use dues::store::db::Statement;
use dues::store::durability::{Durability, FINANCE_ROLE};
use dues::store::{DatabaseUrl, Store, StoreError};
use secrecy::ExposeSecret;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::ledger::Ledger;
use crate::support::world::{BOTH, On};

const ROLE: &str = include_str!("../../docs/postgres-finance-role.sql");

async fn look(url: &str) -> Result<Store, StoreError> {
    let url = DatabaseUrl::parse(url).unwrap();
    Store::open_to_look(&url, Duration::from_secs(10), Clock::system()).await
}

async fn run(ledger: &Ledger, text: &'static str) {
    let mut tx = ledger.begin().await;
    tx.run(Statement::new(text)).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_durability_rests_on_is_read_back_and_nothing_can_be_written() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.enter("ORD-1").await;
        let store = look(ledger.world.settings.database.url.expose_secret()).await.unwrap();
        store.check_schema().await.unwrap();
        match store.durability().await.unwrap() {
            Durability::Sqlite { write_ahead, synchronous, path } => {
                assert_eq!((on, write_ahead, synchronous, path.is_file()), (On::Sqlite, true, 2, true));
            }
            Durability::Postgres(row) => {
                assert_eq!(on, On::Postgres);
                assert_eq!((row.synchronous_commit.as_str(), row.standby), ("on", 0), "{row:?}");
                let major = row.version.split('.').next().unwrap().parse::<i64>().unwrap();
                assert_eq!(row.version_number / 10_000, major, "{row:?}");
            }
        }
        assert_eq!(store.quick_check().await.unwrap(), None, "{on:?}");
        assert_eq!(store.zones_in_use().await.unwrap(), ["Asia/Hong_Kong".to_owned()].into(), "{on:?}");
        let written = async {
            let mut tx = store.begin("test").await?;
            tx.run(Statement::new("UPDATE subscriptions SET reference = 'ORD-2'")).await?;
            tx.commit().await
        };
        assert!(written.await.is_err(), "{on:?}");
        assert_eq!(ledger.lines("SELECT reference AS line FROM subscriptions").await, ["ORD-1"], "{on:?}");
    }
}

#[tokio::test]
async fn who_looks_leaves_nothing_beside_a_sqlite_file_and_sees_that_it_has_no_log() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("dues.db").display());
    assert!(matches!(look(&url).await, Err(StoreError::NoDatabase { .. })));
    let parsed = DatabaseUrl::parse(&url).unwrap();
    let store = Store::open(&parsed, 1, Duration::from_secs(10), Clock::system()).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    let there = || {
        let names = std::fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = there();
    let write_ahead = async || {
        let store = look(&url).await.unwrap();
        store.check_schema().await.unwrap();
        assert_eq!(store.quick_check().await.unwrap(), None);
        let Durability::Sqlite { write_ahead, .. } = store.durability().await.unwrap() else { panic!("it is SQLite") };
        store.close().await;
        write_ahead
    };
    assert!(write_ahead().await);
    assert_eq!(there(), before);
    let file = std::fs::OpenOptions::new().write(true).open(directory.path().join("dues.db")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[1, 1], 18).unwrap();
    assert!(!write_ahead().await, "a rollback journal");
    assert_eq!(there(), before);
}

#[tokio::test]
async fn a_damaged_file_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dues.db");
    let url = format!("sqlite:{}", path.display());
    let parsed = DatabaseUrl::parse(&url).unwrap();
    let store = Store::open(&parsed, 1, Duration::from_secs(10), Clock::system()).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    // The first page of an index, which no schema stands in, is filled with what no page holds.
    let mut file = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'journal_of_subscription'";
    let (page,): (i64,) = sqlx::query_as(root).fetch_one(&mut file).await.unwrap();
    file.close().await.unwrap();
    let from = (page.unsigned_abs() - 1) * 4096;
    let junk = [0xa5; 4096];
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &junk, from).unwrap();
    let store = look(&url).await.unwrap();
    assert!(store.quick_check().await.unwrap().is_some());
}

#[tokio::test]
async fn finances_role_is_known_by_what_it_can_do() {
    let ledger = Ledger::new(On::Sqlite).await;
    assert_eq!(ledger.store.finance_role().await.unwrap(), None);
    let ledger = Ledger::new(On::Postgres).await;
    // The role belongs to the whole cluster, and other tests may have made it.
    run(&ledger, "DO $$ BEGIN CREATE ROLE dues_finance NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$")
        .await;
    let role = async || ledger.store.finance_role().await.unwrap().unwrap();
    assert!(role().await.unreadable.contains("finance_charges"), "{:?}", role().await);
    let grant = ROLE.lines().find(|line| line.starts_with("GRANT SELECT")).unwrap().trim_end_matches(';');
    assert!(grant.ends_with(FINANCE_ROLE), "{grant}");
    run(&ledger, grant).await;
    let sound = role().await;
    assert_eq!((sound.unreadable.as_str(), sound.writable.as_str(), sound.reads_customers), ("", "", 0));
    run(&ledger, "GRANT SELECT, UPDATE ON customers TO dues_finance").await;
    let loose = role().await;
    assert_eq!((loose.writable.as_str(), loose.reads_customers), ("customers", 1));
}
