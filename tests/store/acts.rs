//! What an operator's acts read and write.

use dues::domain::charge::ChargeState;
use dues::domain::review::ReviewReason;
use dues::domain::subscription::SubscriptionState as S;
use dues::store::StoreError;

use crate::ledger::{Ledger, minutes};
use crate::support::world::BOTH;

#[tokio::test]
async fn a_pause_has_its_periods_and_ends_once() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        let charge = ledger.open(id, 0, ChargeState::Due).await;
        ledger.attempt(charge, 1, ledger.now + minutes(60)).await;
        ledger.case(charge, None).await;
        let mut tx = ledger.begin().await;
        tx.pause_subscription(id, (S::Active, S::Paused), 3, "away", "test", ledger.now).await.unwrap();
        let pause = tx.pauses(vec![id]).await.unwrap().remove(&id).unwrap();
        assert_eq!((pause.from_index, pause.to_index), (3, None), "{on:?}");
        let meanwhile = tx.meanwhile(id).await.unwrap();
        assert_eq!((meanwhile.source_state.as_deref(), meanwhile.open_cases), (Some("active"), 1), "{on:?}");
        assert_eq!(tx.exhausted_in_pause(id).await.unwrap(), [0; 0], "{on:?}");
        tx.commit().await.unwrap();
        let again =
            ledger.begin().await.pause_subscription(id, (S::Active, S::Paused), 4, "x", "test", ledger.now).await;
        assert!(matches!(again, Err(StoreError::Moved { table: "subscriptions" })), "{on:?}");

        let mut tx = ledger.begin().await;
        // It began nothing that it would skip.
        let to = (1, minutes(60));
        tx.resume_subscription(id, (S::Paused, S::Active), to, "back", "test", ledger.now).await.unwrap();
        let pause = tx.pauses(vec![id]).await.unwrap().remove(&id).unwrap();
        assert_eq!((pause.from_index, pause.to_index), (3, Some(3)), "{on:?}");
        tx.commit().await.unwrap();
        let next = ledger.lines("SELECT CAST(COUNT(*) AS TEXT) AS line FROM attempts WHERE next_at = created_at").await;
        assert_eq!(next, ["1"], "{on:?}: what waited may go at once");
    }
}

#[tokio::test]
async fn held_charges_are_named_and_audited_once_they_are_released() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        let held = ledger.open(id, 0, ChargeState::Held).await;
        ledger.open(id, 1, ChargeState::Skipped).await;
        let mut tx = ledger.begin().await;
        let rows = tx.held_charges(id).await.unwrap();
        assert_eq!(rows.iter().map(|it| it.id).collect::<Vec<_>>(), [held], "{on:?}");
        assert_eq!(rows[0].source_state.as_deref(), Some("active"), "{on:?}");
        let named = tx.charge_named(&rows[0].public_id).await.unwrap().unwrap();
        assert_eq!((named.id, named.state.as_str()), (held, "held"), "{on:?}");
        let by_reference = tx.charge_named(&format!("S{id}/0")).await.unwrap().unwrap();
        assert_eq!(by_reference.id, held, "{on:?}");
        assert!(tx.charge_named("nobody").await.unwrap().is_none(), "{on:?}");
        tx.audit_from(vec![held], Some(ledger.now)).await.unwrap();
        tx.wake_subscription(id, ledger.now - minutes(1)).await.unwrap();
        tx.commit().await.unwrap();
        let audited =
            ledger.lines("SELECT CAST(period_index AS TEXT) AS line FROM charges WHERE audit_at IS NOT NULL").await;
        assert_eq!(audited, ["0"], "{on:?}");
        let mut tx = ledger.begin().await;
        assert_eq!(
            tx.subscriptions_to_bill(ledger.now - minutes(1), 10).await.unwrap().len(),
            1,
            "{on:?}: it was woken"
        );
    }
}

#[tokio::test]
async fn a_review_case_is_resolved_once_and_an_act_answers_those_of_its_kind() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        let charge = ledger.open(id, 0, ChargeState::InReview).await;
        let cases = [ReviewReason::Rejected, ReviewReason::Double].map(|it| ledger.review(it, "A", Some(charge)));
        let mut tx = ledger.begin().await;
        tx.open_reviews(&cases, ledger.now).await.unwrap();
        let case = tx.review_to_resolve(&cases[1].public_id.to_string()).await.unwrap().unwrap();
        assert_eq!(case.reason.as_str(), "double", "{on:?}");
        let named = case.charge.clone().unwrap();
        assert_eq!(tx.open_reviews_of_charge(&named).await.unwrap(), 2, "{on:?}");
        assert!(tx.review_to_resolve("rev_nobody").await.unwrap().is_none(), "{on:?}");
        let answered = tx.answer_reviews(&[charge], &[ReviewReason::Rejected], "retry: x", "test", ledger.now).await;
        assert_eq!(answered.unwrap(), 1, "{on:?}");
        tx.resolve_review(case.id, "dismiss: seen", "test", ledger.now).await.unwrap();
        // Who comes second changes nothing of it.
        tx.resolve_review(case.id, "dismiss: again", "other", ledger.now).await.unwrap();
        assert!(matches!(
            tx.resolve_review(-1, "x", "test", ledger.now).await,
            Err(StoreError::Moved { table: "review_cases" })
        ));
        tx.commit().await.unwrap();
        let closed = ledger
            .lines("SELECT reason || ' ' || resolution || ' ' || resolved_by AS line FROM review_cases ORDER BY id")
            .await;
        assert_eq!(closed, ["rejected retry: x test", "double dismiss: seen test"], "{on:?}");
    }
}
