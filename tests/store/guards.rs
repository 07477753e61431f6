//! What is written is guarded by what was read; what is known of a payment only grows; a review case is opened once.

use dues::domain::attempt::AttemptState;
use dues::domain::charge::ChargeState;
use dues::domain::review::ReviewReason;
use dues::domain::subscription::SubscriptionState;
use dues::store::StoreError;
use dues::store::changes::{Changes, ChargeChange, SubscriptionChange};
use dues::store::journal::Entry;
use dues::store::subscriptions::Advance;

use crate::ledger::{Ledger, minutes};
use crate::support::world::BOTH;

const PAYMENT: &str = "SELECT status || ' ' || CAST(captured_minor AS TEXT) || ' ' || CAST(refunded_minor AS TEXT) || ' ' || \
                       COALESCE(response_code, '-') || ' ' || COALESCE(redirect_url, '-') AS line FROM payments";

#[tokio::test]
async fn a_charge_that_moved_meanwhile_is_not_written() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, attempt) = ledger.due("A", ledger.now).await;
        let change = |was, state| ChargeChange { id: charge, was, state, reason: None, paid_at: None, paid_by: None };
        let stale = Changes {
            attempts: vec![ledger.change(attempt, AttemptState::Sending).await],
            charges: vec![change(ChargeState::Retrying, ChargeState::Collecting)],
            ..Changes::default()
        };
        let written = ledger.apply(stale).await;
        assert!(matches!(written, Err(StoreError::Moved { table: "charges" })), "{on:?} {written:?}");
        assert!(written.unwrap_err().may_pass());
        assert_eq!(ledger.world.attempts().await, ["A/0/1 created"], "{on:?}: all of it or nothing");
        let charges = vec![change(ChargeState::Due, ChargeState::Collecting)];
        ledger.apply(Changes { charges, ..Changes::default() }).await.unwrap();
        assert_eq!(ledger.world.charges().await, ["A/0 collecting"], "{on:?}");
    }
}

#[tokio::test]
async fn a_subscription_that_moved_meanwhile_is_neither_written_nor_advanced() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        let stale = SubscriptionChange { id, was: SubscriptionState::PastDue, state: SubscriptionState::Active };
        let written = ledger.apply(Changes { subscriptions: vec![stale], ..Changes::default() }).await;
        assert!(matches!(written, Err(StoreError::Moved { table: "subscriptions" })), "{on:?}");
        let advance = Advance {
            id,
            was: SubscriptionState::Paused,
            state: SubscriptionState::Paused,
            next_index: 1,
            next_charge_at: ledger.now + minutes(60),
            bill_at: ledger.now + minutes(60),
            ended_at: None,
        };
        let moved = ledger.begin().await.advance_subscriptions(std::slice::from_ref(&advance)).await;
        assert!(matches!(moved, Err(StoreError::Moved { .. })), "{on:?}");
        let advance = Advance { was: SubscriptionState::Active, state: SubscriptionState::Active, ..advance };
        let mut tx = ledger.begin().await;
        tx.advance_subscriptions(&[advance]).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = ledger.begin().await;
        assert!(tx.subscriptions_to_bill(ledger.now, 9).await.unwrap().is_empty(), "{on:?}");
        let due = tx.subscriptions_to_bill(ledger.now + minutes(60), 9).await.unwrap();
        assert_eq!((due[0].id, due[0].next_index, due[0].predecessor_open), (id, 1, 0), "{on:?}");
    }
}

#[tokio::test]
async fn what_is_known_of_a_payment_only_grows() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, attempt) = ledger.due("A", ledger.now).await;
        let mut declined = ledger.payment("pay_1", charge, "Declined", 0);
        declined.response_code = Some("20051".to_owned());
        declined.decline_class = Some("funds");
        declined.redirect_url = Some("https://example.com/approve".to_owned());
        let captured = ledger.payment("pay_1", charge, "Captured", 12_800);
        let mut refunded = ledger.payment("pay_1", charge, "Refunded", 12_800);
        refunded.refunded_minor = 12_800;
        refunded.attempt_id = Some(attempt);
        let older = ledger.payment("pay_1", charge, "Pending", 0);
        for (payment, wanted) in [
            (declined, "Declined 0 0 20051 https://example.com/approve"),
            (captured.clone(), "Captured 12800 0 20051 https://example.com/approve"),
            (older, "Captured 12800 0 20051 https://example.com/approve"),
            (refunded, "Refunded 12800 12800 20051 https://example.com/approve"),
            (captured, "Refunded 12800 12800 20051 https://example.com/approve"),
        ] {
            ledger.apply(Changes { payments: vec![payment], ..Changes::default() }).await.unwrap();
            assert_eq!(ledger.lines(PAYMENT).await, [wanted], "{on:?}");
        }
        let mut tx = ledger.begin().await;
        let witness = tx.witness(ledger.now - minutes(1), charge + 1).await.unwrap();
        assert!(witness.is_some_and(|reference| reference.ends_with("/0")), "{on:?}");
        assert_eq!(tx.witness(ledger.now - minutes(1), charge).await.unwrap(), None, "{on:?}: never its own period");
        assert_eq!(tx.witness(ledger.now, charge + 1).await.unwrap(), None, "{on:?}: only a later payment");
    }
}

#[tokio::test]
async fn a_review_case_is_opened_once_and_closed_by_an_answer() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, _) = ledger.due("A", ledger.now).await;
        let open = async |reason| {
            let mut tx = ledger.begin().await;
            let opened = tx.open_reviews(&[ledger.review(reason, "subject", Some(charge))], ledger.now).await.unwrap();
            tx.commit().await.unwrap();
            opened.len()
        };
        assert_eq!((open(ReviewReason::NotFound).await, open(ReviewReason::NotFound).await), (1, 0), "{on:?}");
        assert_eq!(open(ReviewReason::Double).await, 1, "{on:?}");
        let mut tx = ledger.begin().await;
        tx.close_reviews(&[charge], "answered", "test", ledger.now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(ledger.world.reviews().await, ["double"], "{on:?}: only an open question is answered by an outcome");
        assert_eq!(open(ReviewReason::NotFound).await, 1, "{on:?}: a closed case may come again");
    }
}

#[tokio::test]
async fn the_journal_keeps_the_order_of_its_entries() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, _) = ledger.due("A", ledger.now).await;
        let entry = |n| Entry {
            act: "attempt",
            subscription_id: Some(1),
            charge_id: (n % 2 == 0).then_some(charge),
            attempt_n: Some(n),
            ..Entry::default()
        };
        let entries: Vec<Entry> = (0..50).rev().map(entry).collect();
        let mut tx = ledger.begin().await;
        tx.write_journal("test", ledger.now, &entries).await.unwrap();
        tx.commit().await.unwrap();
        let numbers = async |charge_id| -> Vec<i64> {
            let rows = ledger.store.journal_of(1, charge_id).await.unwrap();
            rows.into_iter().filter_map(|row| row.attempt_n).collect()
        };
        let tail = ledger.store.journal_tail(1, None, 2).await.unwrap();
        assert_eq!(tail.iter().filter_map(|row| row.attempt_n).collect::<Vec<_>>(), [1, 0], "{on:?}");
        assert_eq!(numbers(None).await, (0..50).rev().collect::<Vec<_>>(), "{on:?}");
        assert_eq!(numbers(Some(charge)).await, (0..50).rev().filter(|n| n % 2 == 0).collect::<Vec<_>>(), "{on:?}");
    }
}

#[tokio::test]
async fn what_is_read_back_is_what_was_written() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, attempt) = ledger.due("A", ledger.now).await;
        ledger.case(charge, Some(ledger.now)).await;
        let mut tx = ledger.begin().await;
        let situation = tx.situations(vec![charge]).await.unwrap().remove(0);
        assert_eq!((situation.attempt_id, situation.n, situation.next_at), (attempt, 1, Some(ledger.now)), "{on:?}");
        assert_eq!((situation.case_state.as_deref(), situation.case_steps), (Some("open"), Some(1)), "{on:?}");
        assert_eq!(situation.zone.as_deref(), Some("Asia/Hong_Kong"), "{on:?}");
        let sendable = tx.sendables(vec![attempt]).await.unwrap().remove(0);
        assert_eq!((sendable.charge_id, sendable.amount_minor), (charge, 12_800), "{on:?}");
        assert_eq!(sendable.customer_email.as_deref(), Some("wallet@example.com"), "{on:?}");
        assert_eq!(tx.references(vec![attempt]).await.unwrap()[0].reference, sendable.reference, "{on:?}");
        let collectable = tx.collectables(vec![charge]).await.unwrap().remove(0);
        assert_eq!((collectable.last_n, collectable.plan_name.as_str()), (1, "monthly"), "{on:?}");
        assert!(ledger.store.round_trips().contains_key("read"), "{on:?}");
    }
}
