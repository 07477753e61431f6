//! What the doors read: months, taken sums, exceptions, and how a first payment stands.

use dues::domain::attempt::AttemptState;
use dues::domain::charge::ChargeState;
use dues::store::StoreError;
use dues::store::changes::Changes;
use dues::store::db::Statement;

use crate::ledger::Ledger;
use crate::support::world::BOTH;

#[tokio::test]
async fn months_and_exceptions_are_read() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, _) = ledger.due("A", ledger.now).await;
        let months = ledger.store.months().await.unwrap();
        assert_eq!((months[0].month.as_str(), months[0].due_minor, months[0].open_minor), ("2026-01", 12_800, 12_800));
        // Made without an engine, its subscription says that period 0 has no row yet.
        assert_eq!(ledger.store.exceptions().await.unwrap(), 1, "{on:?}");
        let payments = vec![ledger.payment("pay_1", charge, "Captured", 12_800)];
        ledger.apply(Changes { payments, ..Changes::default() }).await.unwrap();
        assert_eq!(ledger.store.exceptions().await.unwrap(), 2, "{on:?}");
        let taken = ledger.store.taken().await.unwrap();
        assert_eq!((taken[0].currency.as_str(), taken[0].captured_minor), ("HKD", 12_800), "{on:?}");
        assert_eq!(ledger.store.open_reviews().await.unwrap(), 0, "{on:?}");
    }
}

#[tokio::test]
async fn a_first_payment_is_found_by_its_reference() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, attempt) = ledger.due("A", ledger.now).await;
        let stands = ledger.store.first_payment(charge).await.unwrap();
        assert_eq!((stands.attempt_state.as_str(), stands.redirect_url), ("created", None), "{on:?}");
        assert_eq!(ledger.store.begun("nobody").await.unwrap(), None, "{on:?}");
        assert_eq!(ledger.store.begun("A").await.unwrap(), None, "{on:?}: its payment is no first one");
        let mut tx = ledger.begin().await;
        tx.run(Statement::new("UPDATE attempts SET kind = 'first'")).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(ledger.store.begun("A").await.unwrap(), Some((1, charge)), "{on:?}");
        assert!(ledger.store.subscription_id_text(1).await.unwrap().starts_with("sub_"), "{on:?}");
        ledger.bring(attempt, AttemptState::Pending).await;
        ledger.store.look_now(charge, ledger.now).await.unwrap();
        assert_eq!(ledger.store.next_work_at().await.unwrap(), Some(ledger.now), "{on:?}");
    }
}

#[tokio::test]
async fn a_guarded_statement_touches_all_its_rows_or_none() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        ledger.open(id, 0, ChargeState::Due).await;
        let mut tx = ledger.begin().await;
        let void = || Statement::new("UPDATE charges SET state = 'void' WHERE state = 'due'");
        let moved = tx.run_guarded("charges", 2, void()).await;
        assert!(matches!(moved, Err(StoreError::Moved { table: "charges" })), "{on:?}");
        tx.run_guarded("charges", 0, void()).await.unwrap();
        let count: (i64,) = tx.one(Statement::new("SELECT COUNT(*) FROM charges WHERE state = 'void'")).await.unwrap();
        assert_eq!(count, (1,), "{on:?}: the caller drops the transaction in which too few rows were touched");
    }
}
