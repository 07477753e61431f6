//! Leases: an attempt belongs to one daemon at a time, an older holder can no longer write, and the longest due comes first.

use dues::domain::attempt::AttemptState;
use dues::domain::charge::ChargeState;
use dues::store::StoreError;
use dues::store::attempts::{Lease, LeasedRow};
use dues::store::changes::Changes;
use dues::store::db::Statement;

use crate::ledger::{Ledger, minutes};
use crate::support::world::{BOTH, On};

async fn to_send(ledger: &Ledger, lease: &Lease<'_>) -> Vec<LeasedRow> {
    // What is claimed is leased by the decision that the same transaction writes.
    let mut tx = ledger.begin().await;
    let mut rows = tx.claim_to_send(lease).await.unwrap();
    let mut changes = Changes::default();
    for row in &mut rows {
        let mut change = ledger.change(row.id, AttemptState::Created).await;
        change.leased_epoch += 1;
        change.lease_until = lease.until;
        change.next_at = Some(lease.now);
        row.lease_epoch = change.leased_epoch;
        changes.attempts.push(change);
    }
    tx.apply(changes, lease.owner, lease.now).await.unwrap();
    tx.commit().await.unwrap();
    rows
}

async fn to_look_at(ledger: &Ledger, lease: &Lease<'_>) -> Vec<LeasedRow> {
    let mut tx = ledger.begin().await;
    let rows = tx.lease_to_look_at(lease).await.unwrap();
    tx.commit().await.unwrap();
    rows
}

fn ids(rows: &[LeasedRow]) -> Vec<i64> {
    rows.iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn a_leased_attempt_is_nobody_elses_until_its_lease_is_over() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (_, attempt) = ledger.due("A", ledger.now).await;
        let first = to_send(&ledger, &ledger.lease("one", ledger.now, 9)).await;
        assert_eq!((ids(&first), first[0].lease_epoch), (vec![attempt], 1), "{on:?}");
        assert!(to_send(&ledger, &ledger.lease("two", ledger.now + minutes(4), 9)).await.is_empty(), "{on:?}");
        let second = to_send(&ledger, &ledger.lease("two", ledger.now + minutes(5), 9)).await;
        assert_eq!((ids(&second), second[0].lease_epoch), (vec![attempt], 2), "{on:?}");
    }
}

#[tokio::test]
async fn two_daemons_that_lease_at_once_get_different_attempts() {
    let ledger = Ledger::new(On::Postgres).await;
    let (_, a) = ledger.due("A", ledger.now - minutes(2)).await;
    let (_, b) = ledger.due("B", ledger.now - minutes(1)).await;
    let (mut one, mut two) = (ledger.begin().await, ledger.begin().await);
    let first = one.claim_to_send(&ledger.lease("one", ledger.now, 1)).await.unwrap();
    let second = two.claim_to_send(&ledger.lease("two", ledger.now, 2)).await.unwrap();
    one.commit().await.unwrap();
    two.commit().await.unwrap();
    assert_eq!((ids(&first), ids(&second)), (vec![a], vec![b]));
}

#[tokio::test]
async fn an_older_holder_can_no_longer_write() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (_, attempt) = ledger.due("A", ledger.now).await;
        to_send(&ledger, &ledger.lease("one", ledger.now, 9)).await;
        let of_one = ledger.change(attempt, AttemptState::Sending).await;
        to_send(&ledger, &ledger.lease("two", ledger.now + minutes(5), 9)).await;
        let written = ledger.apply(Changes { attempts: vec![of_one], ..Changes::default() }).await;
        assert!(matches!(written, Err(StoreError::Moved { table: "attempts" })), "{on:?} {written:?}");
        let of_two = ledger.change(attempt, AttemptState::Sending).await;
        ledger.apply(Changes { attempts: vec![of_two], ..Changes::default() }).await.unwrap();
    }
}

#[tokio::test]
async fn the_longest_due_comes_first_and_the_limit_holds() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let mut attempts = Vec::new();
        for (reference, minute) in [("A", 3), ("B", 1), ("C", 2), ("D", -1)] {
            attempts.push(ledger.due(reference, ledger.now - minutes(minute)).await.1);
        }
        let [a, b, c, _] = attempts[..] else { panic!("four attempts") };
        let mut lease = ledger.lease("one", ledger.now, 2);
        assert_eq!(ids(&to_send(&ledger, &lease).await), [a, c], "{on:?}");
        lease.limit = 9;
        assert_eq!(ids(&to_send(&ledger, &lease).await), [b], "{on:?}: what is not due is left alone");
    }
}

#[tokio::test]
async fn a_lease_of_one_charge_touches_no_other() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.due("A", ledger.now - minutes(2)).await;
        let (charge, attempt) = ledger.due("B", ledger.now).await;
        let lease = Lease { charge_id: Some(charge), ..ledger.lease("one", ledger.now, 9) };
        assert_eq!(ids(&to_send(&ledger, &lease).await), [attempt], "{on:?}");
        ledger.bring(attempt, AttemptState::Sending).await;
        let lease = Lease { charge_id: Some(charge + 100), ..ledger.lease("one", ledger.now + minutes(9), 9) };
        assert!(to_look_at(&ledger, &lease).await.is_empty(), "{on:?}");
    }
}

#[tokio::test]
async fn what_is_to_be_sent_and_what_is_to_be_looked_at_are_kept_apart() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        for &state in AttemptState::ALL {
            let (_, attempt) = ledger.due(state.as_str(), ledger.now).await;
            if state != AttemptState::Created {
                ledger.bring(attempt, state).await;
            }
            let later = ledger.lease("one", ledger.now + minutes(2), 9);
            let send = ids(&to_send(&ledger, &later).await);
            let look = ids(&to_look_at(&ledger, &later).await);
            let wanted = |it: bool| if it { vec![attempt] } else { Vec::new() };
            assert_eq!(send, wanted(state == AttemptState::Created), "{on:?} {state}");
            assert_eq!(look, wanted(state.is_on_the_wire()), "{on:?} {state}");
        }
    }
}

#[tokio::test]
async fn what_is_put_off_waits_without_a_lease_and_holds_up_no_other() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (first, _) = ledger.due("A", ledger.now).await;
        let (second, looked_at) = ledger.due("B", ledger.now).await;
        let (_, other) = ledger.due("C", ledger.now).await;
        ledger.bring(looked_at, AttemptState::Pending).await;
        let later = ledger.now + minutes(60);
        let mut tx = ledger.begin().await;
        tx.put_off(&[], later, ledger.now).await.unwrap();
        tx.put_off(&[first, second], later, ledger.now).await.unwrap();
        tx.commit().await.unwrap();
        let lease = ledger.lease("one", ledger.now + minutes(10), 1);
        assert_eq!(ids(&to_send(&ledger, &lease).await), [other], "{on:?}");
        assert!(to_look_at(&ledger, &lease).await.is_empty(), "{on:?}");
        let lease = ledger.lease("one", later, 9);
        assert_eq!(to_send(&ledger, &lease).await.len(), 2, "{on:?}");
        assert_eq!(ids(&to_look_at(&ledger, &lease).await), [looked_at], "{on:?}");
    }
}

#[tokio::test]
async fn given_back_leases_fence_their_former_holders() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (_, attempt) = ledger.due("A", ledger.now).await;
        to_send(&ledger, &ledger.lease("one", ledger.now, 9)).await;
        let before = ledger.change(attempt, AttemptState::Sending).await;
        assert_eq!(ledger.store.release_all_leases(ledger.now).await.unwrap(), 1, "{on:?}");
        assert_eq!(ledger.store.release_all_leases(ledger.now).await.unwrap(), 0, "{on:?}: nothing is held any more");
        let written = ledger.apply(Changes { attempts: vec![before], ..Changes::default() }).await;
        assert!(matches!(written, Err(StoreError::Moved { .. })), "{on:?}");
        assert_eq!(ids(&to_send(&ledger, &ledger.lease("two", ledger.now, 9)).await), [attempt], "{on:?}");
    }
}

#[tokio::test]
async fn a_charge_has_one_live_attempt() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (charge, attempt) = ledger.due("A", ledger.now).await;
        let second = ledger.intent(charge, 2, ledger.now).await;
        let refused = ledger.begin().await.create_attempts(std::slice::from_ref(&second), ledger.now).await;
        assert!(refused.unwrap_err().is_unique_violation(), "{on:?}");
        ledger.bring(attempt, AttemptState::Declined).await;
        ledger.attempt(charge, 2, ledger.now).await;
    }
}

#[tokio::test]
async fn a_period_has_one_charge() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let subscription = ledger.enter("A").await;
        ledger.open(subscription, 0, ChargeState::Due).await;
        let mut again = ledger.charge(subscription, 0, ChargeState::Skipped);
        again.reference = "another".to_owned();
        let refused = ledger.begin().await.open_charges(&[again], ledger.now).await;
        let error = refused.unwrap_err();
        assert!(error.is_unique_violation() && error.may_pass(), "{on:?}");
    }
}

#[tokio::test]
async fn what_is_dated_by_a_clock_that_ran_ahead_is_brought_back_and_what_is_not_stays() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let now = ledger.now;
        let (_, waits) = ledger.due("A", now + minutes(9_000)).await;
        let (_, ahead) = ledger.due("B", now + minutes(1)).await;
        let (_, leased) = ledger.due("C", now + minutes(1)).await;
        ledger.bring(ahead, AttemptState::Pending).await;
        ledger.bring(leased, AttemptState::Pending).await;
        let mut tx = ledger.begin().await;
        let far = "UPDATE attempts SET next_at = $1 WHERE state = 'pending'";
        tx.run(Statement::new(far).bind(now + minutes(9_000))).await.unwrap();
        let held = "UPDATE attempts SET lease_until = $1, next_at = $1 WHERE id = $2";
        tx.run(Statement::new(held).bind(now + minutes(4)).bind(leased)).await.unwrap();
        tx.commit().await.unwrap();
        let look = async |from| {
            let lease = ledger.lease("one", from, 9);
            let mut tx = ledger.begin().await;
            let rows = tx.lease_to_look_at(&lease).await.unwrap();
            drop(tx);
            ids(&rows)
        };
        assert!(look(now + minutes(2)).await.is_empty(), "{on:?}");
        let mut tx = ledger.begin().await;
        assert_eq!(tx.bring_back(now + minutes(2), now + minutes(7)).await.unwrap(), 1, "{on:?}");
        tx.commit().await.unwrap();
        assert_eq!(look(now + minutes(2)).await, [ahead], "{on:?}");
        // A lease that none can reach by this clock is over, whatever it is on.
        let mut tx = ledger.begin().await;
        let far = "UPDATE attempts SET lease_until = $1 WHERE id IN ($2, $3)";
        tx.run(Statement::new(far).bind(now + minutes(900)).bind(leased).bind(waits)).await.unwrap();
        assert_eq!(tx.bring_back(now + minutes(2), now + minutes(7)).await.unwrap(), 2, "{on:?}");
        tx.commit().await.unwrap();
        let mut found = look(now + minutes(2)).await;
        found.sort_unstable();
        assert_eq!(found, [ahead, leased], "{on:?}");
        assert_eq!(ids(&to_send(&ledger, &ledger.lease("one", now + minutes(2), 9)).await), [waits], "{on:?}");
    }
}
