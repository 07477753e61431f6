//! Whether a first payment would be one too many, and who follows it.

use std::time::Duration;

use dues::domain::attempt::AttemptState;
use dues::domain::charge::ChargeState;
use dues::store::customers::NewCustomer;
use dues::store::db::Statement;

use crate::ledger::Ledger;
use crate::support::world::BOTH;

#[tokio::test]
async fn a_customers_other_subscription_of_a_plan_is_found_by_reference_or_email_until_it_ends() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.enter("ORD-1").await;
        let known = ledger.customer("ORD-1");
        let by = |reference: &str, email: Option<&str>| NewCustomer {
            reference: reference.to_owned(),
            email: email.map(str::to_owned),
            ..known.clone()
        };
        let found = async |customer: NewCustomer, plan: &str, reference: &str| {
            let all = ledger.store.other_subscription(&customer, plan, reference).await.unwrap();
            let mut tx = ledger.begin().await;
            let newest = tx.other_new_subscription(&customer, plan, reference).await.unwrap();
            assert_eq!(all, newest, "{on:?}");
            all.map(|row| (row.reference, row.state))
        };
        let there = Some(("ORD-1".to_owned(), "active".to_owned()));
        assert_eq!(found(by("customer of ORD-1", None), "monthly", "ORD-2").await, there, "{on:?}");
        assert_eq!(found(by("other", Some("Wallet@Example.com")), "monthly", "ORD-2").await, there, "{on:?}");
        assert_eq!(found(by("other", None), "monthly", "ORD-2").await, None, "{on:?}");
        assert_eq!(found(by("customer of ORD-1", None), "weekly", "ORD-2").await, None, "{on:?}: another plan");
        assert_eq!(found(by("customer of ORD-1", None), "monthly", "ORD-1").await, None, "{on:?}: itself");
        let mut tx = ledger.begin().await;
        tx.run(Statement::new("UPDATE subscriptions SET state = 'canceled', ended_at = $1").bind(ledger.now))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(found(by("customer of ORD-1", None), "monthly", "ORD-2").await, None, "{on:?}: it has ended");
        let id = ledger.lines("SELECT CAST(id AS TEXT) AS line FROM subscriptions").await[0].parse().unwrap();
        let charge = ledger.open(id, 0, ChargeState::Due).await;
        let attempt = ledger.attempt(charge, 1, ledger.now).await;
        ledger.bring(attempt, AttemptState::Sending).await;
        assert_eq!(
            found(by("customer of ORD-1", None), "monthly", "ORD-2").await,
            None,
            "{on:?}: a renewal is its last"
        );
        let mut tx = ledger.begin().await;
        tx.run(Statement::new("UPDATE attempts SET kind = 'first'")).await.unwrap();
        tx.commit().await.unwrap();
        let payable = Some(("ORD-1".to_owned(), "canceled".to_owned()));
        assert_eq!(found(by("customer of ORD-1", None), "monthly", "ORD-2").await, payable, "{on:?}: it can be paid");
        let row = ledger.store.first_payment(charge).await.unwrap();
        assert_eq!((row.attempt_state.as_str(), row.has_source, row.review), ("sending", 1, None), "{on:?}");
        let begun = ledger.store.beginning(charge).await.unwrap();
        assert_eq!((begun.plan.as_str(), begun.customer.as_str()), ("monthly", "customer of ORD-1"), "{on:?}");
    }
}

#[tokio::test]
async fn what_a_customer_has_begun_since_is_found_by_reference_or_email_until_it_ends() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (first, second) = (ledger.enter("ORD-1").await, ledger.enter("ORD-2").await);
        let since = async |id: i64| ledger.begin().await.begun_since(&[id]).await.unwrap().remove(&id);
        assert_eq!(ledger.begin().await.begun_since(&[]).await.unwrap().len(), 0, "{on:?}");
        let run = async |text: &'static str| {
            let mut tx = ledger.begin().await;
            tx.run(Statement::new(text)).await.unwrap();
            tx.commit().await.unwrap();
        };
        run("UPDATE customers SET email = reference || '@example.com'").await;
        assert_eq!(since(first).await, None, "{on:?}: two customers");
        run("UPDATE customers SET email = CASE WHEN reference = 'customer of ORD-1' THEN 'a@example.com' ELSE 'A@example.com' END")
            .await;
        assert_eq!(since(first).await.as_deref(), Some("ORD-2"), "{on:?}");
        assert_eq!(since(second).await, None, "{on:?}: that one is older");
        run("UPDATE subscriptions SET state = 'canceled', ended_at = created_at WHERE reference = 'ORD-2'").await;
        assert_eq!(since(first).await, None, "{on:?}: it has ended");
    }
}

#[tokio::test]
async fn one_begins_at_a_time() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let mut first = ledger.begin().await;
        first.one_beginning_at_a_time().await.unwrap();
        let second = async {
            let mut tx = ledger.begin().await;
            tx.one_beginning_at_a_time().await.unwrap();
        };
        tokio::pin!(second);
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut second).await.is_err(), "{on:?}: it waits");
        first.commit().await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), second).await.unwrap();
    }
}

#[tokio::test]
async fn one_process_follows_a_first_payment_until_it_lets_go() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let subscription = ledger.enter("ORD-1").await;
        let (one, two) = (
            ledger.open(subscription, 0, ChargeState::Due).await,
            ledger.open(subscription, 1, ChargeState::Due).await,
        );
        let claim = ledger.store.claim_first_payment(one).await.unwrap();
        assert!(claim.is_some(), "{on:?}");
        assert!(ledger.store.claim_first_payment(one).await.unwrap().is_none(), "{on:?}: it is taken");
        assert!(ledger.store.claim_first_payment(two).await.unwrap().is_some(), "{on:?}: another is free");
        drop(claim);
        // A server notices in its own time that a connection is gone.
        let mut free = false;
        for _ in 0..100 {
            free = ledger.store.claim_first_payment(one).await.unwrap().is_some();
            if free {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(free, "{on:?}: it was given back");
    }
}
