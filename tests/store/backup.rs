//! Copies of the books.

use dues::clock::Clock;
use dues::store::Store;
use dues::store::backup::{self, RowsKept};

use crate::ledger::Ledger;
use crate::support::world::{BOTH, On};

#[tokio::test]
async fn rows_are_counted_on_both() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.due("A", ledger.now).await;
        ledger.enter("B").await;
        let kept = ledger.store.rows_kept().await.unwrap();
        let RowsKept { customers, subscriptions, charges, attempts, payments, journal: _ } = kept;
        assert_eq!((customers, subscriptions, charges, attempts, payments), (2, 2, 1, 1, 0), "{on:?}");
        assert_eq!(ledger.store.postgres_version().await.is_ok(), on == On::Postgres);
    }
}

#[tokio::test]
async fn a_copy_is_whole_and_a_broken_one_is_seen() {
    let ledger = Ledger::new(On::Sqlite).await;
    ledger.due("A", ledger.now).await;
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy.db");
    ledger.store.copy_into(&to).await.unwrap();
    let copy = Store::open_copy(&to, Clock::system()).await.unwrap();
    assert_eq!(copy.faults_of_file().await.unwrap(), Vec::<String>::new());
    assert_eq!(copy.rows_kept().await.unwrap(), ledger.store.rows_kept().await.unwrap());
    assert_eq!(copy.schema_version().await.unwrap(), ledger.store.schema_version().await.unwrap());
    copy.close().await;
    let again = ledger.store.copy_into(&to).await;
    assert!(again.is_err(), "it writes over nothing");

    let mut bytes = std::fs::read(&to).unwrap();
    let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let last = bytes.len() - page;
    bytes[last..].fill(0x55);
    std::fs::write(&to, bytes).unwrap();
    let copy = Store::open_copy(&to, Clock::system()).await.unwrap();
    let faults = copy.faults_of_file().await;
    assert!(faults.as_ref().is_ok_and(|it| !it.is_empty()) || faults.is_err(), "{faults:?}");
    copy.close().await;
}

#[tokio::test]
async fn a_copy_without_people_has_all_but_names_and_addresses() {
    let ledger = Ledger::new(On::Sqlite).await;
    ledger.due("A", ledger.now).await;
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy.db");
    ledger.store.copy_without_people(&to).await.unwrap();
    let bytes = std::fs::read(&to).unwrap();
    for gone in ["wallet@example.com", "Wallet Customer"] {
        assert!(!bytes.windows(gone.len()).any(|it| it == gone.as_bytes()), "{gone}");
    }
    assert!(backup::is_snapshot(&bytes) && !backup::is_backup(&bytes));
    let whole = directory.path().join("backup.db");
    ledger.store.copy_into(&whole).await.unwrap();
    let head = std::fs::read(&whole).unwrap();
    assert!(backup::is_backup(&head) && !backup::is_snapshot(&head));
    assert_eq!(bytes[18], 1, "it needs no log beside it, so that it can be read where nothing may be written");
    let copy = Store::open_copy(&to, Clock::system()).await.unwrap();
    assert_eq!(copy.rows_kept().await.unwrap(), ledger.store.rows_kept().await.unwrap());
    assert_eq!(copy.faults_of_file().await.unwrap(), Vec::<String>::new());
    copy.close().await;
    let held = "SELECT reference AS line FROM customers WHERE name IS NOT NULL";
    assert_eq!(ledger.lines(held).await.len(), 1, "the books keep them");
}
