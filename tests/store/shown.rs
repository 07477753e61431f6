//! What people are shown: lists with their filters, and one thing with all that stands around it.

use dues::domain::charge::ChargeState;
use dues::domain::review::ReviewReason;
use dues::domain::subscription::SubscriptionState;
use dues::store::changes::Changes;
use dues::store::{charges, subscriptions};

use crate::ledger::{Ledger, minutes};
use crate::support::world::BOTH;

#[tokio::test]
async fn charges_are_listed_by_state_subscription_and_time() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.due("A", ledger.now).await;
        let held = ledger.enter("B").await;
        ledger.open(held, 0, ChargeState::Held).await;
        let all = charges::Filter { limit: 9, ..charges::Filter::default() };
        let listed = async |filter: charges::Filter| -> Vec<String> {
            let rows = ledger.store.charge_list(&filter).await.unwrap();
            rows.into_iter().map(|row| format!("{}/{}", row.subscription, row.period_index)).collect()
        };
        assert_eq!(listed(all.clone()).await, ["B/0", "A/0"], "{on:?}: the newest first");
        assert_eq!(listed(charges::Filter { limit: 1, ..all.clone() }).await, ["B/0"], "{on:?}");
        assert_eq!(listed(charges::Filter { state: Some(ChargeState::Due), ..all.clone() }).await, ["A/0"], "{on:?}");
        assert_eq!(listed(charges::Filter { subscription: Some("B".to_owned()), ..all.clone() }).await, ["B/0"]);
        let later = Some(ledger.now + minutes(1));
        assert_eq!(listed(charges::Filter { due_from: later, ..all.clone() }).await, [""; 0], "{on:?}");
        assert_eq!(listed(charges::Filter { due_before: later, ..all.clone() }).await.len(), 2, "{on:?}");
        let until_now = charges::Filter { due_before: Some(ledger.now), ..all };
        assert_eq!(listed(until_now).await, [""; 0], "{on:?}: the end does not belong to it");
    }
}

#[tokio::test]
async fn a_charge_is_shown_with_all_that_stands_around_it() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, _) = ledger.due("A", ledger.now).await;
        ledger.case(charge, Some(ledger.now)).await;
        let payments = vec![ledger.payment("pay_1", charge, "Declined", 0)];
        ledger.apply(Changes { payments, ..Changes::default() }).await.unwrap();
        let listed =
            ledger.store.charge_list(&charges::Filter { limit: 1, ..charges::Filter::default() }).await.unwrap();
        let shown = ledger.store.charge_shown(&listed[0].public_id).await.unwrap();
        assert_eq!(shown.as_ref(), listed.first(), "{on:?}");
        assert_eq!(ledger.store.charge_shown(&listed[0].reference).await.unwrap(), shown, "{on:?}");
        assert_eq!(ledger.store.charge_shown("nothing").await.unwrap(), None, "{on:?}");
        let attempts = ledger.store.attempts_shown([charge]).await.unwrap();
        assert_eq!((attempts.len(), attempts[0].n, attempts[0].state.as_str()), (1, 1, "created"), "{on:?}");
        let payments = ledger.store.payments_shown(charge).await.unwrap();
        assert_eq!((payments[0].gateway_payment_id.as_str(), payments[0].attempt_n), ("pay_1", None), "{on:?}");
        let case = ledger.store.dunning_case_shown(charge).await.unwrap().unwrap();
        assert_eq!((case.state.as_str(), case.steps, case.next_step_at), ("open", 1, Some(ledger.now)), "{on:?}");
        assert_eq!(ledger.store.dunning_case_shown(charge + 1).await.unwrap(), None, "{on:?}");
    }
}

#[tokio::test]
async fn subscriptions_are_listed_and_shown_with_their_schedule() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        ledger.enter("B").await;
        let all = subscriptions::Filter { limit: 9, ..subscriptions::Filter::default() };
        let listed = async |filter: subscriptions::Filter| -> Vec<String> {
            ledger.store.subscription_list(&filter).await.unwrap().into_iter().map(|row| row.reference).collect()
        };
        assert_eq!(listed(all.clone()).await, ["B", "A"], "{on:?}");
        assert_eq!(listed(subscriptions::Filter { limit: 1, ..all.clone() }).await, ["B"], "{on:?}");
        let paused = subscriptions::Filter { state: Some(SubscriptionState::Paused), ..all.clone() };
        assert_eq!(listed(paused).await, [""; 0], "{on:?}");
        assert_eq!(listed(subscriptions::Filter { plan: Some("weekly".to_owned()), ..all }).await, [""; 0], "{on:?}");
        let shown = ledger.store.subscription_shown("A").await.unwrap().unwrap();
        assert_eq!((shown.id, shown.customer.as_str()), (id, "customer of A"), "{on:?}");
        assert_eq!(ledger.store.subscription_shown(&shown.public_id).await.unwrap(), Some(shown), "{on:?}");
        assert_eq!(ledger.store.subscription_shown("nobody").await.unwrap(), None, "{on:?}");
        let segments = ledger.store.segments_shown(id).await.unwrap();
        assert_eq!((segments.len(), segments[0].anchor_on.as_str()), (1, "2026-01-10"), "{on:?}");
        assert_eq!((segments[0].plan.as_str(), segments[0].zone.as_str()), ("monthly", "Asia/Hong_Kong"), "{on:?}");
    }
}

#[tokio::test]
async fn review_cases_are_listed_open_or_all() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, _) = ledger.due("A", ledger.now).await;
        let subscription = ledger.store.subscription_shown("A").await.unwrap().unwrap().id;
        let mut tx = ledger.begin().await;
        let mut reviews =
            [ReviewReason::NotFound, ReviewReason::Double].map(|reason| ledger.review(reason, "subject", Some(charge)));
        for review in &mut reviews {
            review.subscription_id = Some(subscription);
        }
        tx.open_reviews(&reviews, ledger.now).await.unwrap();
        tx.close_reviews(&[charge], "answered", "test", ledger.now).await.unwrap();
        tx.commit().await.unwrap();
        let listed = async |closed_too| -> Vec<String> {
            let mut reasons: Vec<String> =
                ledger.store.review_list(closed_too, 9).await.unwrap().into_iter().map(|row| row.reason).collect();
            reasons.sort();
            reasons
        };
        assert_eq!(listed(false).await, ["double"], "{on:?}");
        assert_eq!(listed(true).await, ["double", "not_found"], "{on:?}");
        let open = ledger.store.open_reviews_of(subscription).await.unwrap();
        assert_eq!((open.len(), open[0].period_index), (1, Some(0)), "{on:?}");
        let shown = ledger.store.review_shown(&open[0].public_id).await.unwrap();
        assert_eq!(shown.as_ref(), open.first(), "{on:?}");
        assert_eq!(ledger.store.review_shown("rev_nothing").await.unwrap(), None, "{on:?}");
    }
}
