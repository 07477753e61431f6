//! Canceling: nothing unsent survives it, and what is on the wire is told of.

use dues::domain::attempt::AttemptState;
use dues::domain::charge::ChargeState;
use dues::domain::subscription::SubscriptionState::{self, self as S};
use dues::store::StoreError;
use dues::store::changes::{Changes, ChargeChange};

use crate::ledger::{Ledger, minutes};
use crate::support::world::BOTH;

#[tokio::test]
async fn an_ended_subscription_keeps_nothing_to_be_sent() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        let due = ledger.open(id, 0, ChargeState::Due).await;
        ledger.attempt(due, 1, ledger.now).await;
        ledger.open(id, 1, ChargeState::Held).await;
        ledger.open(id, 2, ChargeState::Skipped).await;
        let flying = ledger.open(id, 3, ChargeState::Due).await;
        let sent = ledger.attempt(flying, 1, ledger.now).await;
        ledger.bring(sent, AttemptState::Sending).await;
        let collecting = ChargeChange {
            id: flying,
            was: ChargeState::Due,
            state: ChargeState::Collecting,
            reason: None,
            paid_at: None,
            paid_by: None,
        };
        ledger.apply(Changes { charges: vec![collecting], ..Changes::default() }).await.unwrap();
        ledger.case(due, Some(ledger.now)).await;

        let mut tx = ledger.begin().await;
        let (found, was) = tx.subscription_named("A").await.unwrap().unwrap();
        assert_eq!((found, was), (id, SubscriptionState::Active), "{on:?}");
        assert_eq!(tx.subscription_named("nobody").await.unwrap(), None, "{on:?}");
        let ended =
            tx.end_subscription(id, was, SubscriptionState::Canceled, "asked", "test", ledger.now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!((ended.voided, ended.on_the_wire, ended.closed), (2, 1, 0), "{on:?}");
        assert!(!ended.first_on_the_wire, "{on:?}");
        assert_eq!(ledger.world.charges().await, ["A/0 void", "A/1 void", "A/2 skipped", "A/3 collecting"], "{on:?}");
        assert_eq!(ledger.world.attempts().await, ["A/0/1 withdrawn", "A/3/1 sending"], "{on:?}");
        assert_eq!(ledger.lines("SELECT state AS line FROM dunning_cases").await, ["stopped"], "{on:?}");

        let again = ledger
            .begin()
            .await
            .end_subscription(id, was, SubscriptionState::Canceled, "asked", "test", ledger.now)
            .await;
        assert!(matches!(again, Err(StoreError::Moved { table: "subscriptions" })), "{on:?}");
    }
}

#[tokio::test]
async fn a_cancellation_at_the_period_end_is_noted_for_the_next_period() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        let mut tx = ledger.begin().await;
        let next = tx.next_index(id).await.unwrap();
        tx.cancel_at_period_end(id, next, "asked", "test", ledger.now).await.unwrap();
        tx.commit().await.unwrap();
        let due = ledger.begin().await.subscriptions_to_bill(ledger.now, 9).await.unwrap();
        assert_eq!((due[0].state.as_str(), due[0].cancel_at_index), ("active", Some(0)), "{on:?}");
        assert_eq!(due[0].still_collecting, 0, "{on:?}");
        ledger.open(id, -1, ChargeState::Due).await;
        let due = ledger.begin().await.subscriptions_to_bill(ledger.now, 9).await.unwrap();
        assert_eq!(due[0].still_collecting, 1, "{on:?}");
        let journal = ledger.store.journal_of(id, None).await.unwrap();
        assert_eq!(journal.last().unwrap().act, "cancel at period end", "{on:?}");

        let mut tx = ledger.begin().await;
        assert_eq!(tx.ends_at_index(id).await.unwrap(), Some(0), "{on:?}");
        tx.take_end_back(id, S::Active, 0, "stays", "test", ledger.now).await.unwrap();
        assert_eq!(tx.ends_at_index(id).await.unwrap(), None, "{on:?}");
        tx.commit().await.unwrap();
        let again = ledger.begin().await.take_end_back(id, S::Active, 0, "x", "test", ledger.now).await;
        assert!(matches!(again, Err(StoreError::Moved { table: "subscriptions" })), "{on:?}");
        let mut tx = ledger.begin().await;
        tx.cancel_at_period_end(id, 3, "asked", "test", ledger.now).await.unwrap();
        for (was, index) in [(S::Paused, 3), (S::Active, 2)] {
            let other = tx.take_end_back(id, was, index, "x", "test", ledger.now).await;
            assert!(matches!(other, Err(StoreError::Moved { .. })), "{on:?} {was} {index}");
        }
    }
}

#[tokio::test]
async fn the_next_work_is_the_earliest_of_all() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        assert_eq!(ledger.store.next_work_at().await.unwrap(), None, "{on:?}");
        let (charge, attempt) = ledger.due("A", ledger.now - minutes(3)).await;
        assert_eq!(ledger.store.next_work_at().await.unwrap(), Some(ledger.now - minutes(3)), "{on:?}");
        ledger.bring(attempt, AttemptState::Sending).await;
        assert_eq!(ledger.store.next_work_at().await.unwrap(), Some(ledger.now), "{on:?}: the period of A");
        ledger.bring(attempt, AttemptState::Declined).await;
        ledger.case(charge, Some(ledger.now - minutes(1))).await;
        assert_eq!(ledger.store.next_work_at().await.unwrap(), Some(ledger.now - minutes(1)), "{on:?}");
    }
}

#[tokio::test]
async fn a_dunning_step_is_taken_once() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, attempt) = ledger.due("A", ledger.now).await;
        ledger.bring(attempt, AttemptState::Declined).await;
        let retrying = ChargeChange {
            id: charge,
            was: ChargeState::Due,
            state: ChargeState::Retrying,
            reason: Some("funds".to_owned()),
            paid_at: None,
            paid_by: None,
        };
        ledger.apply(Changes { charges: vec![retrying], ..Changes::default() }).await.unwrap();
        ledger.case(charge, Some(ledger.now)).await;
        let mut tx = ledger.begin().await;
        assert!(tx.cases_to_step(ledger.now - minutes(1), 9).await.unwrap().is_empty(), "{on:?}");
        let cases = tx.cases_to_step(ledger.now, 9).await.unwrap();
        assert_eq!(
            (cases[0].charge_id, cases[0].steps, cases[0].reason.as_deref()),
            (charge, 1, Some("funds")),
            "{on:?}"
        );
        tx.take_steps(&[(charge, 2)]).await.unwrap();
        assert!(tx.cases_to_step(ledger.now, 9).await.unwrap().is_empty(), "{on:?}");
        let nobodys = tx.take_steps(&[(charge + 100, 1)]).await;
        assert!(matches!(nobodys, Err(StoreError::Moved { table: "dunning_cases" })), "{on:?}");
    }
}
