//! What `status`, `ledger` and `verify` read: figures, last traces, exceptions, and charges beside their payments. Every statement on
//! both databases.

use dues::domain::attempt::AttemptState;
use dues::domain::charge::ChargeState;
use dues::domain::review::ReviewReason;
use dues::store::changes::Changes;
use dues::store::db::Statement;
use dues::store::fences::NewFence;

use crate::ledger::{Ledger, minutes};
use crate::support::world::BOTH;

#[tokio::test]
async fn figures_count_what_stands_where() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let now = ledger.now;
        for (reference, state) in [
            ("A", AttemptState::Created),
            ("B", AttemptState::Sending),
            ("C", AttemptState::Unknown),
            ("D", AttemptState::Pending),
            ("E", AttemptState::Declined),
        ] {
            let (_, attempt) = ledger.due(reference, now + minutes(1)).await;
            if state != AttemptState::Created {
                ledger.bring(attempt, state).await;
            }
        }
        let (late, _) = ledger.due("LATE", now - minutes(90)).await;
        ledger.due("SOON", now + minutes(30)).await;
        ledger.case(late, Some(now + minutes(60))).await;
        let at = now + minutes(2);
        let figures = ledger.store.figures(at).await.unwrap();
        assert_eq!((figures.attempts_due, figures.attempts_waiting), (2, 1), "{on:?}");
        assert_eq!(figures.oldest_due_at, Some(now - minutes(90)), "{on:?}");
        assert_eq!((figures.sending, figures.pending, figures.unknown, figures.not_found), (1, 1, 1, 0), "{on:?}");
        assert_eq!((figures.retries_to_come, figures.reviews), (1, 0), "{on:?}");
        assert_eq!(ledger.store.sent_since(at - minutes(60), at).await.unwrap(), 4, "{on:?}");
        // Entered without an engine, every subscription's period is still to be opened.
        assert_eq!(figures.periods_due, 7, "{on:?}");
        let later = now + minutes(61);
        assert_eq!(ledger.store.sent_since(later - minutes(60), later).await.unwrap(), 0, "{on:?}");
        assert_eq!(ledger.store.now().await.unwrap(), now, "{on:?}");
    }
}

#[tokio::test]
async fn what_is_put_off_stays_due_and_what_waits_for_a_person_or_a_day_does_not() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let now = ledger.now;
        let at = now + minutes(5);
        let later = at + minutes(10);
        // Each is put off until later; it differs by who took it, and why it waits.
        let (late, _) = ledger.due("LATE", later).await;
        let (imported, _) = ledger.due("IMPORTED", later).await;
        ledger.due("PLANNED", later).await;
        let (paused, _) = ledger.due("PAUSED", later).await;
        let (review, _) = ledger.due("REVIEW", later).await;
        let (dunned, _) = ledger.due("DUNNED", later).await;
        let mut tx = ledger.begin().await;
        for (text, charge, time) in [
            ("UPDATE charges SET due_at = $2 WHERE id = $1", late, now - minutes(90)),
            ("UPDATE charges SET due_at = $2 WHERE id = $1", imported, now - minutes(600)),
            ("UPDATE charges SET due_at = $2 WHERE id = $1", dunned, now - minutes(900)),
            ("UPDATE attempts SET n = 2, created_at = $2 WHERE charge_id = $1", dunned, now - minutes(30)),
        ] {
            tx.run(Statement::new(text).bind(charge).bind(time)).await.unwrap();
        }
        tx.run(Statement::new("UPDATE subscriptions SET handed_over_at = $1").bind(now - minutes(120))).await.unwrap();
        let handed_over = "UPDATE subscriptions SET handed_over_at = $1 WHERE reference = 'IMPORTED'";
        tx.run(Statement::new(handed_over).bind(now - minutes(1))).await.unwrap();
        tx.run(Statement::new("UPDATE subscriptions SET state = 'paused' WHERE reference = 'PAUSED'")).await.unwrap();
        tx.run(Statement::new("UPDATE charges SET state = 'in_review' WHERE id = $1").bind(review)).await.unwrap();
        for charge in [late, imported, paused, review, dunned] {
            let taken = "UPDATE attempts SET lease_epoch = 1 WHERE charge_id = $1";
            tx.run(Statement::new(taken).bind(charge)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let figures = ledger.store.figures(at).await.unwrap();
        assert_eq!((figures.attempts_due, figures.attempts_waiting), (3, 3), "{on:?}: LATE, IMPORTED, DUNNED");
        assert_eq!(figures.oldest_due_at, Some(now - minutes(90)), "{on:?}");
        assert_eq!(figures.tried_next_at, Some(later), "{on:?}");
        let mut tx = ledger.begin().await;
        tx.run(Statement::new("DELETE FROM attempts WHERE charge_id = $1").bind(late)).await.unwrap();
        tx.commit().await.unwrap();
        let oldest = ledger.store.figures(at).await.unwrap().oldest_due_at;
        assert_eq!(oldest, Some(now - minutes(30)), "{on:?}: of the step, not of the charge");
    }
}

#[tokio::test]
async fn the_oldest_of_what_is_open_is_told() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (now, store) = (ledger.now, &ledger.store);
        let none = store.oldest().await.unwrap();
        let since = [none.pending_since, none.unknown_since, none.review_since, none.held_since];
        assert_eq!(since, [None; 4], "{on:?}");
        assert_eq!((none.charges_held, none.most_sends, none.fences_raised), (0, 0, 0), "{on:?}");
        for (reference, state, sent, sends) in [
            ("A", AttemptState::Pending, 3, 1),
            ("B", AttemptState::Pending, 90, 2),
            ("C", AttemptState::Unknown, 7, 4),
            ("D", AttemptState::Unknown, 60, 1),
            // Whatever has ended counts for nothing.
            ("E", AttemptState::Declined, 600, 9),
        ] {
            let (_, attempt) = ledger.due(reference, now).await;
            let mut change = ledger.change(attempt, state).await;
            change.first_sent_at = Some(now - minutes(sent));
            change.unknown_since = (state == AttemptState::Unknown).then(|| now - minutes(sent) + minutes(1));
            change.sends = sends;
            ledger.apply(Changes { attempts: vec![change], ..Changes::default() }).await.unwrap();
        }
        for (reference, due) in [("F", 5), ("G", 50)] {
            let charge = ledger.open(ledger.enter(reference).await, 0, ChargeState::Held).await;
            let mut tx = ledger.begin().await;
            let back = Statement::new("UPDATE charges SET due_at = $1 WHERE id = $2");
            tx.run(back.bind(now - minutes(due)).bind(charge)).await.unwrap();
            tx.commit().await.unwrap();
        }
        let mut tx = ledger.begin().await;
        tx.open_reviews(&[ledger.review(ReviewReason::Brake, "a day", None)], now - minutes(40)).await.unwrap();
        tx.open_reviews(&[ledger.review(ReviewReason::Brake, "another", None)], now - minutes(4)).await.unwrap();
        for reason in ["gap", "asked"] {
            let fence = NewFence { reason, detail: "seen in a test".to_owned(), lost_sends: 0, holds: false };
            tx.raise_fence(&fence, "one", now).await.unwrap();
        }
        tx.commit().await.unwrap();
        let oldest = store.oldest().await.unwrap();
        assert_eq!(oldest.pending_since, Some(now - minutes(90)), "{on:?}");
        assert_eq!(oldest.unknown_since, Some(now - minutes(59)), "{on:?}");
        assert_eq!(oldest.review_since, Some(now - minutes(40)), "{on:?}");
        assert_eq!((oldest.charges_held, oldest.held_since), (2, Some(now - minutes(50))), "{on:?}");
        assert_eq!((oldest.most_sends, oldest.fences_raised), (4, 2), "{on:?}");
    }
}

#[tokio::test]
async fn a_hold_that_is_lifted_closes_its_review_case() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let now = ledger.now;
        assert!(ledger.store.installation().await.unwrap().is_some(), "{on:?}");
        let mut tx = ledger.begin().await;
        assert_eq!(tx.last_fence().await.unwrap(), 0, "{on:?}");
        tx.beat_installation(None, now - minutes(600)).await.unwrap();
        let hold = NewFence { reason: "rewound", detail: "a restore".to_owned(), lost_sends: 2, holds: true };
        tx.raise_fence(&hold, "one", now).await.unwrap();
        let reviews =
            [ledger.review(ReviewReason::Hold, "these books", None), ledger.review(ReviewReason::Brake, "a day", None)];
        tx.open_reviews(&reviews, now).await.unwrap();
        assert_eq!(tx.last_fence().await.unwrap(), 1, "{on:?}");
        tx.acknowledge_fences("operator", "read it", now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(ledger.store.fences(1).await.unwrap()[0].heartbeat_at, Some(now - minutes(600)), "{on:?}");
        assert_eq!(ledger.world.reviews().await, ["brake"], "{on:?}");
        let mut tx = ledger.begin().await;
        assert_eq!(tx.close_reviews_of(ReviewReason::Brake, "it was right", "operator", now).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert_eq!(ledger.world.reviews().await, [""; 0], "{on:?}");
    }
}

#[tokio::test]
async fn the_last_traces_before_an_instant_are_told() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let now = ledger.now;
        let known = ledger.store.last_known(now).await.unwrap();
        assert_eq!((known.canceled, known.refunded, known.entered), (None, None, None), "{on:?}");
        assert!(known.priced_at.is_some(), "{on:?}: its plans");
        let (charge, _) = ledger.due("A", now).await;
        let payments = vec![ledger.payment("pay_1", charge, "Refunded", 12_800)];
        ledger.apply(Changes { payments, ..Changes::default() }).await.unwrap();
        let mut tx = ledger.begin().await;
        tx.run(Statement::new("UPDATE payments SET refunded_minor = 100")).await.unwrap();
        let canceled = "UPDATE subscriptions SET state = 'canceled', ended_at = created_at WHERE reference = 'A'";
        tx.run(Statement::new(canceled)).await.unwrap();
        tx.commit().await.unwrap();
        let known = ledger.store.last_known(now).await.unwrap();
        assert_eq!((known.canceled.as_deref(), known.entered.as_deref()), (Some("A"), Some("A")), "{on:?}");
        assert_eq!((known.refunded.as_deref(), known.canceled_at), (Some("pay_1"), Some(now)), "{on:?}");
        let before = ledger.store.last_known(now - minutes(1)).await.unwrap();
        assert_eq!((before.canceled, before.refunded, before.priced), (None, None, None), "{on:?}");
    }
}

#[tokio::test]
async fn charges_that_moved_come_in_pages_with_their_payments() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (now, store) = (ledger.now, &ledger.store);
        let (first, _) = ledger.due("A", now).await;
        let (second, attempt) = ledger.due("B", now + minutes(5)).await;
        let since = now - minutes(1);
        assert_eq!(store.charges_moved(since).await.unwrap(), 2, "{on:?}");
        assert_eq!(store.charges_moved(now + minutes(1)).await.unwrap(), 0, "{on:?}");
        let page = store.charges_moved_page(since, i64::MIN, 1).await.unwrap();
        assert_eq!((page.len(), page[0].id, page[0].live_next_at), (1, first, Some(now)), "{on:?}");
        let page = store.charges_moved_page(since, first, 10).await.unwrap();
        assert_eq!((page.len(), page[0].subscription.as_str()), (1, "B"), "{on:?}");
        ledger.bring(attempt, AttemptState::Captured).await;
        let payments = vec![ledger.payment("pay_1", second, "Captured", 12_800)];
        ledger.apply(Changes { payments, ..Changes::default() }).await.unwrap();
        let again = store.charges_compared(vec![second]).await.unwrap();
        assert_eq!((again.len(), again[0].live_next_at), (1, None), "{on:?}");
        let booked = store.payments_booked(vec![first, second]).await.unwrap();
        assert_eq!((booked.len(), booked[0].charge_id, booked[0].captured_minor), (1, second, 12_800), "{on:?}");
        let seen = store.exception_list(10).await.unwrap();
        assert!(seen.iter().any(|row| row.rule == "captured_not_paid" && row.payment_id.is_some()), "{on:?} {seen:?}");
        assert_eq!(store.exception_list(1).await.unwrap().len(), 1, "{on:?}");
        let today = now.date_naive();
        let waiting = store.waiting_by(today).await.unwrap();
        assert_eq!((waiting[0].count, waiting[0].amount_minor), (1, 12_800), "{on:?}: the other is sent");
        ledger.open(ledger.enter("C").await, 0, ChargeState::Due).await;
        assert_eq!(store.charges_moved(since).await.unwrap(), 3, "{on:?}");
    }
}

#[tokio::test]
async fn periods_that_have_begun_without_a_row_come_in_pages() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (now, store) = (ledger.now, &ledger.store);
        let mut ids = Vec::new();
        for name in ["A", "B", "ENDED"] {
            ids.push(ledger.enter(name).await);
        }
        let mut tx = ledger.begin().await;
        tx.run(Statement::new("UPDATE subscriptions SET state = 'paused' WHERE reference = 'B'")).await.unwrap();
        let canceled = "UPDATE subscriptions SET state = 'canceled', ended_at = created_at WHERE reference = 'ENDED'";
        tx.run(Statement::new(canceled)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.unopened_page(now - minutes(1), i64::MIN, 9).await.unwrap(), [], "{on:?}: none has begun");
        let page = store.unopened_page(now, i64::MIN, 1).await.unwrap();
        assert_eq!((page.len(), page[0].reference.as_str(), page[0].next_index), (1, "A", 0), "{on:?}");
        let page = store.unopened_page(now, page[0].id, 9).await.unwrap();
        assert_eq!((page.len(), page[0].reference.as_str()), (1, "B"), "{on:?}: who has ended is not looked up");
        let next = store.next_indexes(ids.clone()).await.unwrap();
        assert_eq!(next.into_values().collect::<Vec<_>>(), [0, 0, 0], "{on:?}");
        let schedules = store.schedules(ids).await.unwrap();
        assert_eq!(schedules.len(), 3, "{on:?}");
        assert!(schedules.values().all(|it| it.as_ref().unwrap().plan_of(0) == Some(ledger.plan.id)), "{on:?}");
    }
}

#[tokio::test]
async fn what_a_fence_wants_looked_up_is_counted() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (now, store) = (ledger.now, &ledger.store);
        ledger.due("A", now).await;
        let fence = now + minutes(1);
        // Entered without an engine, its subscription stands where its period has begun and has no row.
        assert_eq!(store.left_to_look_up(now, Some(fence)).await.unwrap(), 2, "{on:?}");
        assert_eq!(store.left_to_look_up(now, Some(now)).await.unwrap(), 0, "{on:?}: nothing fell due before");
        assert_eq!(store.left_to_look_up(now, None).await.unwrap(), 0, "{on:?}");
        let mut tx = ledger.begin().await;
        tx.run(Statement::new("UPDATE subscriptions SET cancel_at_index = 0")).await.unwrap();
        tx.run(Statement::new("UPDATE attempts SET looks = 1")).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.left_to_look_up(now, Some(fence)).await.unwrap(), 0, "{on:?}");
        let mut tx = ledger.begin().await;
        tx.run(Statement::new("UPDATE charges SET audit_at = opened_at")).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.left_to_look_up(now, None).await.unwrap(), 1, "{on:?}");
        assert_eq!(store.near_audits(now, fence).await.unwrap(), [], "{on:?}");
        let near = store.near_audits(now - minutes(1), now).await.unwrap();
        assert_eq!((near.len(), near[0].opened_at == near[0].audit_at), (1, true), "{on:?}");
    }
}
