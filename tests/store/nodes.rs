//! Nodes, fences and daily plans: every statement on both databases.

use chrono::{Days, TimeDelta};
use dues::store::StoreError;
use dues::store::charges::{Audited, ToAuditRow};
use dues::store::daily_plans::Amounts;
use dues::store::fences::NewFence;

use crate::ledger::{Ledger, minutes};
use crate::support::world::BOTH;

fn hkd(count: i64, amount_minor: i64) -> Amounts {
    Amounts { currency: "HKD".to_owned(), count, amount_minor }
}

#[tokio::test]
async fn a_name_belongs_to_one_process_and_its_mark_never_falls() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (now, store) = (ledger.now, &ledger.store);
        let mut tx = ledger.begin().await;
        assert_eq!(tx.node("one").await.unwrap(), None, "{on:?}");
        assert!(!tx.has_nodes().await.unwrap(), "{on:?}");
        tx.register_node("one", "first", now).await.unwrap();
        assert_eq!(tx.count_sends("one", "first", 5).await.unwrap(), 5, "{on:?}");
        assert_eq!(tx.count_sends("one", "first", 2).await.unwrap(), 7, "{on:?}");
        tx.raise_mark("one", 6).await.unwrap();
        tx.beat_node("one", "first", Some("the gateway is away"), now + minutes(1)).await.unwrap();
        tx.commit().await.unwrap();

        let mut tx = ledger.begin().await;
        tx.register_node("one", "second", now + minutes(2)).await.unwrap();
        tx.register_node("two", "other", now).await.unwrap();
        let living = tx.living_nodes(now + minutes(1)).await.unwrap();
        let living: Vec<_> = living.into_iter().map(|it| (it.name, it.heartbeat_at)).collect();
        assert_eq!(living, [("one".to_owned(), now + minutes(2))], "{on:?}");
        tx.raise_mark("one", 9).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = ledger.begin().await;
        let replaced = tx.count_sends("one", "first", 1).await;
        assert!(matches!(replaced, Err(StoreError::Moved { table: "nodes" })), "{on:?}");
        drop(tx);
        let mut tx = ledger.begin().await;
        assert!(tx.beat_node("one", "first", None, now).await.is_err(), "{on:?}");
        drop(tx);

        store.tell_catch_up("one", "first", "of a process that is gone").await.unwrap();
        assert!(store.catch_up_of_living(now).await.unwrap().is_empty(), "{on:?}");
        store.tell_catch_up("one", "second", "new").await.unwrap();
        store.tell_catch_up("two", "other", "old").await.unwrap();
        let told = async |since| {
            let rows = store.catch_up_of_living(since).await.unwrap();
            rows.into_iter().map(|it| format!("{} {}", it.name, it.catch_up)).collect::<Vec<_>>()
        };
        assert_eq!(told(now).await, ["one new", "two old"], "{on:?}");
        assert_eq!(told(now + minutes(1)).await, ["one new"], "{on:?}");
        store.node_stopped("two", "other", now + minutes(3)).await.unwrap();
        assert_eq!(told(now).await, ["one new"], "{on:?}: who has stopped decides nothing");
        let nodes = store.nodes().await.unwrap();
        let seen: Vec<_> =
            nodes.iter().map(|it| (&*it.name, &*it.process, it.sends, it.stopped_at.is_some())).collect();
        assert_eq!(seen, [("one", "second", 9, false), ("two", "other", 0, true)], "{on:?}");
        let mut tx = ledger.begin().await;
        assert_eq!(tx.timeline().await.unwrap().is_some(), on == crate::support::world::On::Postgres);
        assert_eq!(tx.release_leases_of("one", now).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_fence_that_holds_is_seen_by_every_send_until_it_is_acknowledged() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let now = ledger.now;
        let mut tx = ledger.begin().await;
        let before = tx.standing("one", ledger.now).await.unwrap();
        // Books that begin look up what fell due before.
        let begun = tx.fence().await.unwrap().started_at;
        assert_eq!((before.continuity_from, before.held_at, before.not_found), (Some(begun), None, 0), "{on:?}");
        let notice = NewFence { reason: "rewound", detail: "a fail-over".to_owned(), lost_sends: 3, holds: false };
        tx.raise_fence(&notice, "one", now).await.unwrap();
        tx.expect_fewer_strangers(1).await.unwrap();
        assert_eq!(tx.standing("one", ledger.now).await.unwrap().strangers_left, 2, "{on:?}");
        let hold = NewFence { reason: "stranger", detail: "who is it".to_owned(), lost_sends: 0, holds: true };
        tx.raise_fence(&hold, "one", now + minutes(1)).await.unwrap();
        tx.beat_installation(Some("00000001"), now + minutes(2)).await.unwrap();
        let standing = tx.standing("one", ledger.now).await.unwrap();
        assert_eq!(standing.continuity_from, Some(now + minutes(1)), "{on:?}");
        assert_eq!(standing.timeline.as_deref(), Some("00000001"), "{on:?}");
        assert_eq!(standing.timeline_now, tx.timeline().await.unwrap(), "{on:?}");
        assert_eq!((standing.held_at, standing.strangers_left), (Some(now + minutes(1)), 0), "{on:?}");
        let fence = tx.fence().await.unwrap();
        assert_eq!((fence.heartbeat_at, fence.timeline.as_deref()), (now + minutes(2), Some("00000001")), "{on:?}");
        assert_eq!(fence.held_reason.as_deref(), Some("stranger"), "{on:?}");
        assert_eq!(tx.acknowledge_fences("operator", "read it", now + minutes(3)).await.unwrap(), 1, "{on:?}");
        assert_eq!(tx.standing("one", ledger.now).await.unwrap().held_at, None, "{on:?}");
        tx.commit().await.unwrap();
        assert_eq!(ledger.store.fence_state().await.unwrap().continuity_from, Some(now + minutes(1)), "{on:?}");
        let mut tx = ledger.begin().await;
        let clock = NewFence { reason: "clock", detail: "it jumped".to_owned(), lost_sends: 0, holds: true };
        tx.raise_fence(&clock, "one", now + minutes(4)).await.unwrap();
        let rewound = NewFence { holds: true, ..notice.clone() };
        tx.raise_fence(&rewound, "one", now + minutes(5)).await.unwrap();
        assert!(tx.acknowledge_clock("one", now + minutes(6)).await.unwrap(), "{on:?}: an old backup still holds");
        assert_eq!(tx.fence().await.unwrap().held_reason.as_deref(), Some("rewound"), "{on:?}");
        tx.acknowledge_fences("operator", "read it", now + minutes(7)).await.unwrap();
        tx.raise_fence(&clock, "one", now + minutes(8)).await.unwrap();
        assert!(!tx.acknowledge_clock("one", now + minutes(9)).await.unwrap(), "{on:?}");
        assert_eq!(tx.fence().await.unwrap().held_at, None, "{on:?}");
        drop(tx);
        let fences = ledger.store.fences(10).await.unwrap();
        assert_eq!(fences.iter().map(|it| it.acknowledged_at.is_some()).collect::<Vec<_>>(), [true, false], "{on:?}");
        assert_eq!(ledger.store.adopted_since(now).await.unwrap(), [], "{on:?}");
    }
}

#[tokio::test]
async fn a_day_is_planned_once_from_what_falls_due_then() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let today = ledger.now.date_naive();
        let tomorrow = today + Days::new(1);
        ledger.due("A", ledger.now).await;
        ledger.due("B", ledger.now + TimeDelta::days(1)).await;
        let mut tx = ledger.begin().await;
        for day in [today, tomorrow] {
            tx.freeze_day(day, ledger.now).await.unwrap();
            tx.freeze_day(day, ledger.now).await.unwrap();
        }
        let plans = tx.daily_plans(today).await.unwrap();
        let of = |code: &str| plans.iter().find(|plan| plan.currency == code).unwrap().clone();
        assert!(of("HKD").planned_count >= 1, "{on:?} {plans:?}");
        assert_eq!((of("SGD").planned_count, of("SGD").planned_minor), (0, 0), "{on:?}");
        tx.grant(today, &[hkd(2, 25_600)]).await.unwrap();
        tx.count_first_sends(today, &[hkd(1, 12_800)]).await.unwrap();
        let plans = tx.daily_plans(today).await.unwrap();
        let plan = plans.iter().find(|plan| plan.currency == "HKD").unwrap();
        assert_eq!((plan.granted_count, plan.sent_minor), (2, 12_800), "{on:?}");
        let owed = plan.planned_count + 2 - 1;
        let next = tx.daily_plans(tomorrow).await.unwrap();
        let next = next.iter().find(|plan| plan.currency == "HKD").unwrap();
        assert_eq!(next.carried_count, owed, "{on:?}: what a day did not send it owes to the next");

        assert!(tx.brake("twice as much", ledger.now).await.unwrap(), "{on:?}");
        assert!(!tx.brake("again", ledger.now).await.unwrap(), "{on:?}");
        assert!(tx.standing("one", ledger.now).await.unwrap().braked_at.is_some(), "{on:?}");
        let granted = tx.release_brake(today, ledger.now).await.unwrap();
        assert!(granted.is_some_and(|it| it.iter().all(|it| it.currency == "HKD")), "{on:?}");
        assert_eq!(tx.release_brake(today, ledger.now).await.unwrap(), None, "{on:?}");
        tx.commit().await.unwrap();
        assert_eq!(ledger.store.plans_of_day(today).await.unwrap().len(), 2, "{on:?}");
    }
}

#[tokio::test]
async fn an_audit_comes_back_until_it_is_noted() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.due("A", ledger.now).await;
        let mut tx = ledger.begin().await;
        let text = "UPDATE charges SET audit_at = $1";
        tx.run(dues::store::db::Statement::new(text).bind(ledger.now)).await.unwrap();
        assert_eq!(tx.charges_to_audit(ledger.now - minutes(1), ledger.now, 9).await.unwrap(), [], "{on:?}");
        let rows = tx.charges_to_audit(ledger.now, ledger.now + minutes(3), 9).await.unwrap();
        assert_eq!((rows.len(), rows[0].audits), (1, 0), "{on:?}");
        assert_eq!(tx.charges_to_audit(ledger.now + minutes(2), ledger.now, 9).await.unwrap(), [], "{on:?}");
        let again = tx.charges_to_audit(ledger.now + minutes(3), ledger.now + minutes(6), 9).await.unwrap();
        assert_eq!(again.len(), 1, "{on:?}");
        let noted = |row: &ToAuditRow| Audited { charge_id: row.id, leased_until: row.leased_until, audit_at: None };
        tx.note_audits(&[noted(&rows[0])]).await.unwrap();
        let left = tx.charges_to_audit(ledger.now + minutes(6), ledger.now + minutes(9), 9).await.unwrap();
        assert_eq!(left.len(), 1, "{on:?}: another daemon has taken it, or a fence has brought it forward");
        tx.note_audits(&[noted(&left[0])]).await.unwrap();
        assert_eq!(tx.charges_to_audit(ledger.now + minutes(99), ledger.now, 9).await.unwrap(), [], "{on:?}");
    }
}

#[tokio::test]
async fn a_charge_that_was_never_billed_is_audited_after_a_fence_and_gets_an_attempt_that_is_never_sent() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let subscription = ledger.enter("A").await;
        let held = ledger.open(subscription, 0, dues::domain::charge::ChargeState::Held).await;
        let mut tx = ledger.begin().await;
        assert_eq!(tx.charges_to_audit(ledger.now, ledger.now, 9).await.unwrap(), [], "{on:?}");
        let fence = NewFence { reason: "asked", detail: "look".to_owned(), lost_sends: 0, holds: false };
        tx.raise_fence(&fence, "one", ledger.now).await.unwrap();
        let rows = tx.charges_to_audit(ledger.now, ledger.now + minutes(3), 9).await.unwrap();
        assert_eq!((rows.len(), rows[0].id, rows[0].attempt_id), (1, held, None), "{on:?}");
        tx.commit().await.unwrap();
        let intent = ledger.intent(held, 1, ledger.now).await;
        let mut tx = ledger.begin().await;
        tx.create_attempts(&[intent], ledger.now).await.unwrap();
        let stand_ins = tx.never_to_be_sent(vec![held], ledger.now).await.unwrap();
        assert_eq!((stand_ins.len(), stand_ins[0].0), (1, held), "{on:?}");
        assert_eq!(tx.never_to_be_sent(vec![held], ledger.now).await.unwrap(), [], "{on:?}");
        tx.commit().await.unwrap();
        assert_eq!(ledger.store.next_of_each().await.unwrap().send_at, None, "{on:?}");
    }
}

#[tokio::test]
async fn how_everything_stands_is_told_a_charge_a_row() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.due("A", ledger.now).await;
        let rows = ledger.store.standings().await.unwrap();
        assert_eq!((rows.len(), rows[0].live, rows[0].unsettled), (1, 1, 0), "{on:?}");
        let _what_the_ledger_wrote = ledger.store.transitions().await.unwrap();
        assert_eq!(ledger.store.attempts_past_their_key().await.unwrap(), 0, "{on:?}");
        assert!(ledger.store.next_of_each().await.unwrap().send_at.is_some(), "{on:?}");
    }
}
