//! Two daemons on one database: one sleeps past its lease, and each is replaced in turn.

use std::time::Duration;

use chrono::TimeDelta;
use dues::clock::Clock;
use dues::row;
use dues::store::Store;
use dues::store::db::Statement;

use super::ground::{Ground, TROUBLED, logs, wait_for_count};
use crate::support::world::{On, count};

/// Answers that are under way when something happens, and none that is lost.
const SLOW: &str = "[[rule]]\nname = \"slow\"\nfault = \"slow\"\ndelay = \"800ms\"\nper_mille = 500\n";

row! { SumRow { sum: i64 } }

/// What is written of charges that were paid by this entry of the journal, after it.
async fn written_after_paid(store: &Store, entry: i64) -> i64 {
    let row: SumRow = store
        .read_one(
            Statement::new(
                "SELECT COUNT(*) AS sum FROM journal late WHERE late.id > $1 AND EXISTS (SELECT 1 FROM journal paid \
                 WHERE paid.charge_id = late.charge_id AND paid.id <= $1 AND paid.act = 'charge' AND paid.now = 'paid')",
            )
            .bind(entry),
        )
        .await
        .unwrap();
    row.sum
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_slept_past_its_lease_sends_and_writes_nothing_stale() {
    // What it committed and did not send rests for half a minute, and is no sign here that look-ups are broken.
    let paced = [("budget.writes_per_second", "40"), ("protocol.unknown_limit", "1000")];
    let ground = Ground::new(On::Postgres, None, 1_000, SLOW, &paced).await;
    let store = ground.store().await;
    let one = ground.daemon("one");
    let two = ground.daemon("two");
    let both = [&one, &two];
    let alive = "SELECT COUNT(*) AS sum FROM nodes WHERE sends > 0 AND stopped_at IS NULL";
    wait_for_count(&store, alive, |sum| sum == 2, Duration::from_secs(30), &both).await;
    ground.wait_for_payments(250, &both).await;

    let held = "SELECT COUNT(*) AS sum FROM attempts WHERE lease_owner = 'one' AND state = 'sending'";
    wait_for_count(&store, held, |sum| sum >= 5, Duration::from_secs(30), &both).await;
    one.signal("STOP");
    // A statement that was under way is done by then; from now on nothing of it moves.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let slept_at = Clock::system().now();
    let under_way = count(&store, held).await;
    assert!(under_way > 0, "it sleeps while answers are under way\n{}", logs(&both));
    let sent_before = count(&store, "SELECT sends AS sum FROM nodes WHERE name = 'one'").await;

    // A name is taken while its process lives, asleep or not.
    let mut third = ground.spawn("one");
    third.wait_for("a daemon named \"one\" runs already");
    assert!(!third.end().success(), "{}", third.log());

    wait_for_count(&store, held, |sum| sum == 0, Duration::from_secs(30), &both).await;
    let taken_over = Clock::system().now() - slept_at;
    // The lease is 6 s; the rest is the time that a look at the books takes on a busy machine.
    assert!(taken_over < TimeDelta::seconds(20), "taken over after {taken_over}\n{}", logs(&both));
    println!("{under_way} calls under way, taken over after {} ms", taken_over.num_milliseconds());
    while Clock::system().now() - slept_at < TimeDelta::seconds(9) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(ground.payments().await < 900, "there is work left for when it wakes");

    let entry = count(&store, "SELECT MAX(id) AS sum FROM journal").await;
    one.signal("CONT");
    let sends = "SELECT sends AS sum FROM nodes WHERE name = 'one'";
    wait_for_count(&store, sends, |sum| sum > sent_before, Duration::from_secs(30), &both).await;
    ground.assert_each_charged_once(&both).await;
    assert!(ground.key_sends().await.iter().all(|sends| *sends == 1), "no key was sent twice\n{}", logs(&both));
    assert_eq!(written_after_paid(&store, entry).await, 0, "nothing stale was written\n{}", logs(&both));
    let sent_in_all = count(&store, "SELECT CAST(SUM(sends) AS BIGINT) AS sum FROM nodes").await;
    assert!(sent_in_all >= 1_000, "{sent_in_all}");
    store.close().await;
    one.stop();
    two.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_together_send_no_faster_than_the_budget() {
    let per_second = 30;
    let ground = Ground::new(On::Postgres, None, 600, "", &[("budget.writes_per_second", "30")]).await;
    let one = ground.daemon("one");
    ground.wait_for_payments(1, &[&one]).await;
    let (began, before) = (Clock::system().now(), ground.payments().await);
    let two = ground.daemon("two");
    let both = [&one, &two];
    // Until each has come round and seen the other, the second makes one request a second.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let sent = i64::try_from(ground.payments().await - before).unwrap();
    let at_most = (Clock::system().now() - began).num_milliseconds() * (per_second + 1) / 1_000 + 5;
    assert!(sent <= at_most, "{sent} payments, not {at_most}\n{}", logs(&both));
    let seen_at = Clock::system().now();
    ground.wait_for_payments(ground.payments().await + 150, &both).await;
    let took = Clock::system().now() - seen_at;
    assert!(took > TimeDelta::seconds(4), "150 payments within {took} at {per_second} a second");
    let store = ground.store().await;
    let shares = "SELECT MIN(sends) AS sum FROM nodes";
    assert!(count(&store, shares).await > 50, "both send\n{}", logs(&both));
    store.close().await;
    ground.assert_each_charged_once(&both).await;
    one.stop();
    two.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_doubles_and_loses_nothing() {
    // What never arrived rests for half a minute, and so many of them are no sign here that look-ups are broken.
    let paced = [("budget.writes_per_second", "50"), ("protocol.unknown_limit", "1000")];
    let ground = Ground::new(On::Postgres, None, 800, TROUBLED, &paced).await;
    let store = ground.store().await;
    let mut daemons = vec![ground.daemon("one"), ground.daemon("two")];
    for (node, share) in [("one", 120), ("two", 240), ("one", 360), ("two", 480)] {
        let place = usize::from(node == "two");
        ground.wait_for_payments(share, &daemons.iter().collect::<Vec<_>>()).await;
        let began = Clock::system().now();
        daemons.remove(place).stop();
        let took = Clock::system().now() - began;
        assert!(took < TimeDelta::seconds(35), "{node} was stopped after {took}, not within engine.stop_wait");
        let under_way = match node {
            "one" => "SELECT COUNT(*) AS sum FROM attempts WHERE lease_owner = 'one' AND state = 'sending'",
            _ => "SELECT COUNT(*) AS sum FROM attempts WHERE lease_owner = 'two' AND state = 'sending'",
        };
        assert_eq!(count(&store, under_way).await, 0, "{node} recorded every answer before it ended");
        println!("{node} was stopped within {} ms", took.num_milliseconds());
        daemons.insert(place, ground.daemon(node));
    }
    assert!(ground.payments().await < 800, "the last restart came before the end");
    ground.assert_each_charged_once(&daemons.iter().collect::<Vec<_>>()).await;
    store.close().await;
    for daemon in daemons {
        daemon.stop();
    }
}
