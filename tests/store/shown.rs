//! What lists and pages read: the same rows on both databases.

use dues::clock::Instant;
use dues::domain::attempt::AttemptState;
use dues::domain::charge::ChargeState;
use dues::store::{charges, subscriptions};

use crate::ledger::{Ledger, minutes};
use crate::support::world::BOTH;

#[tokio::test]
async fn a_subscription_is_found_by_its_state_its_plan_and_its_name() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.due("A", ledger.now).await;
        ledger.due("B", ledger.now).await;
        let filter =
            |state, plan: Option<&str>, limit| subscriptions::Filter { state, plan: plan.map(str::to_owned), limit };
        let all = ledger.store.subscription_list(&filter(None, None, 9)).await.unwrap();
        assert_eq!(all.iter().map(|row| row.reference.as_str()).collect::<Vec<_>>(), ["B", "A"], "{on:?}");
        let one = ledger.store.subscription_list(&filter(None, Some(&all[0].plan), 1)).await.unwrap();
        assert_eq!(one.len(), 1, "{on:?}");
        assert!(ledger.store.subscription_list(&filter(None, Some("nobody's"), 9)).await.unwrap().is_empty(), "{on:?}");
        let shown = ledger.store.subscription_shown("A").await.unwrap().unwrap();
        let by_id = ledger.store.subscription_shown(&shown.public_id).await.unwrap().unwrap();
        assert_eq!(shown, by_id, "{on:?}");
        assert_eq!(ledger.store.subscription_shown("nobody").await.unwrap(), None, "{on:?}");
        assert_eq!(ledger.store.segments_shown(shown.id).await.unwrap().len(), 1, "{on:?}");
    }
}

#[tokio::test]
async fn a_charge_is_shown_with_its_attempts_payments_and_dunning() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, attempt) = ledger.due("A", ledger.now).await;
        ledger.bring(attempt, AttemptState::Declined).await;
        ledger.case(charge, Some(ledger.now + minutes(9))).await;
        let filter = |state, from: Option<Instant>| charges::Filter {
            state,
            subscription: Some("A".to_owned()),
            due_from: from,
            due_before: None,
            limit: 9,
        };
        let rows = ledger.store.charge_list(&filter(Some(ChargeState::Due), None)).await.unwrap();
        assert_eq!(rows.len(), 1, "{on:?}");
        let later = ledger.now + minutes(60 * 24 * 365);
        assert!(ledger.store.charge_list(&filter(None, Some(later))).await.unwrap().is_empty(), "{on:?}");
        let shown = ledger.store.charge_shown(&rows[0].public_id).await.unwrap();
        assert_eq!(shown.as_ref(), rows.first(), "{on:?}");
        let attempts = ledger.store.attempts_shown([charge]).await.unwrap();
        assert_eq!((attempts.len(), attempts[0].state.as_str()), (1, "declined"), "{on:?}");
        assert!(ledger.store.payments_shown(charge).await.unwrap().is_empty(), "{on:?}");
        let case = ledger.store.dunning_case_shown(charge).await.unwrap().unwrap();
        assert_eq!(case.state, "open", "{on:?}");
    }
}

#[tokio::test]
async fn open_reviews_are_listed_and_any_is_shown() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        assert!(ledger.store.review_list(false, 9).await.unwrap().is_empty(), "{on:?}");
        assert!(ledger.store.open_reviews_of(1).await.unwrap().is_empty(), "{on:?}");
        assert_eq!(ledger.store.review_shown("rev_none").await.unwrap(), None, "{on:?}");
    }
}
