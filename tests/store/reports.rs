//! Reports: rows one after the other, as many as are wanted, of books that are there to be read.

use std::ops::ControlFlow;
use std::time::Duration;

use dues::domain::charge::ChargeState;
use dues::store::db::Statement;
use dues::store::reports::{Cells, Filter, Report};
use dues::store::{DatabaseUrl, Store, StoreError};
use secrecy::ExposeSecret;

use crate::ledger::Ledger;
use crate::support::world::BOTH;

fn charges() -> &'static Report {
    Report::all().find(|report| report.name == "charges").unwrap()
}

async fn books() -> impl Iterator<Item = Ledger> {
    let mut books = Vec::new();
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        for period in 0..5 {
            ledger.open(id, period, ChargeState::Due).await;
        }
        books.push(ledger);
    }
    books.into_iter()
}

#[tokio::test]
async fn rows_come_until_the_reader_has_enough() {
    for ledger in books().await {
        for (limit, enough, wanted) in [(None, 9, 5), (Some(3), 9, 3), (None, 2, 2)] {
            let mut rows = Vec::new();
            let each = |Cells(cells): Cells| {
                rows.push(cells);
                if rows.len() == enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            ledger.store.report(charges(), &Filter { limit, ..Filter::default() }, each).await.unwrap();
            assert_eq!(rows.len(), wanted, "{}", ledger.store.kind());
            let at = |name: &str| charges().columns.iter().position(|column| column.name == name).unwrap();
            assert_eq!(rows[0][at("amount")].as_deref(), Some("128.00"));
            assert_eq!(rows[0][at("due_at")].as_deref(), Some("2026-01-10T00:00:00.000000Z"));
            assert_eq!(rows[0][at("paid_at")], None);
        }
        // A statement that was broken off leaves its connection usable.
        assert!(ledger.store.exceptions().await.unwrap() > 0);
    }
}

#[tokio::test]
async fn views_of_another_schema_are_told() {
    for ledger in books().await {
        ledger.store.check_views().await.unwrap();
        let newer =
            "UPDATE _sqlx_migrations SET version = 9999 WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
        let older = "DELETE FROM _sqlx_migrations WHERE version > 3";
        for (act, good) in [(newer, true), (older, false)] {
            let mut tx = ledger.begin().await;
            tx.run(Statement::new(act)).await.unwrap();
            tx.commit().await.unwrap();
            let checked = ledger.store.check_views().await;
            let told = matches!(checked, Err(StoreError::Schema { found: 3, .. }));
            assert_eq!((checked.is_ok(), told), (good, !good), "{}", ledger.store.kind());
        }
    }
}

#[tokio::test]
async fn books_are_opened_to_be_read() {
    for ledger in books().await {
        let url = ledger.world.settings.database.url.expose_secret();
        let open = async |url: &str| {
            let clock = ledger.store.clock().clone();
            Store::open_to_read(&DatabaseUrl::parse(url).unwrap(), 2, Duration::from_secs(5), clock).await
        };
        let mut rows = 0;
        let each = |_| {
            rows += 1;
            ControlFlow::Continue(())
        };
        open(url).await.unwrap().report(charges(), &Filter::default(), each).await.unwrap();
        assert_eq!(rows, 5, "{}", ledger.store.kind());
        let missing = open("sqlite:/nonexistent-directory/books.db").await;
        assert!(matches!(missing, Err(StoreError::Unopened { .. })), "{missing:?}");
        let missing = open("sqlite:/tmp/no-such-books-of-dues.db").await;
        assert!(matches!(missing, Err(StoreError::NoDatabase { .. })), "{missing:?}");
    }
}
