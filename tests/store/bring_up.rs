//! Bringing books up: pins, migrations, schema versions, and the one daemon of a SQLite file.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dues::clock::Clock;
use dues::config::Environment;
use dues::engine::rules::{environment_of, ledger_of};
use dues::store::db::Statement;
use dues::store::installation::Pins;
use dues::store::{DatabaseUrl, Store, StoreError};

use crate::ledger::Ledger;
use crate::support::world::{BOTH, On, at, empty_books};

async fn open(on: On, directory: &tempfile::TempDir) -> Store {
    let url = DatabaseUrl::parse(&empty_books(on, directory)).unwrap();
    Store::open(&url, 2, Duration::from_secs(5), Clock::manual(at("2026-01-01T00:00:00Z"))).await.unwrap()
}

#[tokio::test]
async fn who_only_reads_opens_what_is_there_and_makes_nothing() {
    for on in BOTH {
        let directory = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::parse(&empty_books(on, &directory)).unwrap();
        let clock = Clock::manual(at("2026-01-01T00:00:00Z"));
        let existing = || Store::open_existing(&url, 2, Duration::from_secs(5), clock.clone());
        if on == On::Sqlite {
            assert!(matches!(existing().await, Err(StoreError::NoDatabase { .. })));
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
            let store = Store::open(&url, 2, Duration::from_secs(5), clock.clone()).await.unwrap();
            for file in std::fs::read_dir(directory.path()).unwrap() {
                let file = file.unwrap();
                let mode = file.metadata().unwrap().permissions().mode() & 0o777;
                assert_eq!(mode & !0o640, 0, "{}: others read customers' names", file.path().display());
            }
            store.close().await;
        }
        let store = existing().await.unwrap();
        assert_eq!(store.schema_version().await.unwrap(), 0, "{on:?}");
        store.close().await;
    }
}

#[tokio::test]
async fn migrating_twice_is_migrating_once() {
    for on in BOTH {
        let directory = tempfile::tempdir().unwrap();
        let store = open(on, &directory).await;
        assert_eq!(store.schema_version().await.unwrap(), 0, "{on:?}");
        assert!(matches!(store.check_schema().await, Err(StoreError::Schema { found: 0, .. })), "{on:?}");
        store.migrate().await.unwrap();
        let version = store.schema_version().await.unwrap();
        store.migrate().await.unwrap();
        assert_eq!(store.schema_version().await.unwrap(), version, "{on:?}");
        store.check_schema().await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn an_edited_migration_and_a_newer_schema_are_refused() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let mut tx = ledger.begin().await;
        let newer = match on {
            On::Sqlite => {
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, x'00', 0)"
            }
            On::Postgres => {
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '\\x00', 0)"
            }
        };
        tx.run(Statement::new(newer)).await.unwrap();
        tx.commit().await.unwrap();
        assert!(matches!(ledger.store.check_schema().await, Err(StoreError::Schema { found: 9999, .. })), "{on:?}");
        let newer = ledger.store.migrate().await.unwrap_err();
        assert!(matches!(newer, StoreError::Schema { found: 9999, .. }), "{on:?}");
        let told = newer.to_string();
        assert!(told.contains("a newer dues has brought it up") && !told.contains("dues migrate"), "{on:?} {told}");
        let mut tx = ledger.begin().await;
        tx.run(Statement::new("DELETE FROM _sqlx_migrations WHERE version = 9999")).await.unwrap();
        let edited = match on {
            On::Sqlite => "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1",
            On::Postgres => "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1",
        };
        tx.run(Statement::new(edited)).await.unwrap();
        tx.commit().await.unwrap();
        assert!(matches!(ledger.store.migrate().await, Err(StoreError::Migrate(_))), "{on:?}");
    }
}

#[tokio::test]
async fn a_config_of_other_books_is_refused() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let settings = &ledger.world.settings;
        assert_eq!(settings.installation.environment, Environment::Live);
        let pins = Pins {
            name: settings.installation.name.clone(),
            ledger_id: ledger_of(settings).to_string(),
            environment: environment_of(settings).to_owned(),
            gateway_host: "api.checkout.com".to_owned(),
            channel: settings.gateway.processing_channel_id.clone().unwrap_or_default(),
        };
        ledger.store.pin(&pins, ledger.now).await.unwrap();
        let others = [
            Pins { environment: "sandbox".to_owned(), ..pins.clone() },
            Pins { gateway_host: "api.example.com".to_owned(), ..pins.clone() },
            Pins { channel: "pc_other".to_owned(), ..pins.clone() },
        ];
        for other in others {
            let refused = ledger.store.pin(&other, ledger.now).await;
            assert!(matches!(refused, Err(StoreError::Pinned { .. })), "{on:?} {other:?}");
        }
        let other = Pins { name: "other-shop".to_owned(), ledger_id: "other".to_owned(), ..pins.clone() };
        let refused = ledger.store.pin(&other, ledger.now).await.unwrap_err();
        let told = "these books were begun under another name than installation.name = \"other-shop\"";
        assert!(refused.to_string().starts_with(told), "{on:?} {refused}");
        ledger.store.pin(&pins, ledger.now).await.unwrap();
        ledger.store.heartbeat(ledger.now).await.unwrap();
        let same = "SELECT CASE WHEN heartbeat_at > started_at THEN 'later' ELSE 'same' END AS line FROM installation";
        assert_eq!(ledger.lines(same).await, ["same"], "{on:?}");
        ledger.store.heartbeat(ledger.now + crate::ledger::minutes(1)).await.unwrap();
        assert_eq!(ledger.lines(same).await, ["later"], "{on:?}");
        ledger.store.know_currencies(&settings.currencies).await.unwrap();
        let hkd = "SELECT CAST(exponent AS TEXT) AS line FROM currencies WHERE code = 'HKD'";
        assert_eq!(ledger.lines(hkd).await, ["2"], "{on:?}");
    }
}

#[test]
fn a_sqlite_file_has_one_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::parse(&format!("sqlite:{}", directory.path().join("dues.db").display())).unwrap();
    let first = Store::lock_file(&url).unwrap();
    assert!(first.is_some());
    assert!(matches!(Store::lock_file(&url), Err(StoreError::SecondDaemon { .. })));
    drop(first);
    assert!(Store::lock_file(&url).unwrap().is_some(), "the lock is given back");
    let postgres = DatabaseUrl::parse("postgres://host/dues").unwrap();
    assert!(Store::lock_file(&postgres).unwrap().is_none(), "PostgreSQL takes several");
}

#[test]
fn a_url_of_neither_database_is_refused() {
    for url in ["mysql://host/dues", "sqlite:", "sqlite::memory:", "sqlite:dues.db?mode=ro", "dues.db"] {
        assert!(matches!(DatabaseUrl::parse(url), Err(StoreError::Url(_))), "{url}");
    }
}

#[tokio::test]
async fn what_is_not_committed_is_not_there() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let mut tx = ledger.begin().await;
        tx.know_customers(&[ledger.customer("A")], ledger.now).await.unwrap();
        assert_eq!(tx.now().await.unwrap(), ledger.world.clock.now(), "{on:?}: a clock turned by hand is the time");
        drop(tx);
        assert_eq!(ledger.lines("SELECT reference AS line FROM customers").await, [""; 0], "{on:?}");
    }
}

#[tokio::test]
async fn a_file_with_the_tables_of_another_program_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(On::Sqlite, &directory).await;
    let mut tx = store.begin("test").await.unwrap();
    tx.run(Statement::new("CREATE TABLE invoices (id INTEGER)")).await.unwrap();
    tx.commit().await.unwrap();
    let refused = store.migrate().await.unwrap_err();
    assert!(matches!(&refused, StoreError::Foreign { table, .. } if table == "invoices"), "{refused}");
    assert_eq!(store.schema_version().await.unwrap(), 0);
}
