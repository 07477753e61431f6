//! SIGKILL at any instant, and how soon work goes on after it.

use std::time::Duration;

use dues::chance::Chance;
use dues::clock::Clock;

use super::ground::{Ground, TROUBLED, logs, wait_for_count};
use crate::support::process::Daemon;
use crate::support::world::{On, count};

/// Kills on each database.
const KILLS: u32 = 100;
/// So many charges are due for each kill, 2,000 in all: there is work until the last.
const CHARGES_A_KILL: u32 = 20;
/// So slow that there is.
const CHARGES_A_SECOND: &str = "30";
/// A kill comes within this long after its daemon says that it runs, and within up to [`SPAN_AT_MOST`] where the machine is so slow that
/// kills met no work.
const SPAN: Duration = Duration::from_millis(600);
const SPAN_AT_MOST: Duration = Duration::from_secs(8);
/// What the daemon says of the rows that its dead predecessor held.
const LEFT_BEHIND: &str = "a former process left work behind";

/// A number from the environment, for a soak or to repeat a run.
fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")))
}

/// Attempts that a start found leased by the process before it.
fn left_behind(daemon: &Daemon) -> u64 {
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains(LEFT_BEHIND));
    let said: Option<serde_json::Value> = line.map(|line| serde_json::from_str(line).unwrap());
    said.map_or(0, |said| said["attempts"].as_u64().unwrap())
}

async fn killed_at_random(on: On) {
    let kills = from_environment("DUES_KILLS").unwrap_or(KILLS);
    let seed = from_environment("DUES_SEED").unwrap_or_else(|| Chance::from_system().below(1 << 32));
    println!("{kills} kills on {on:?}; DUES_SEED={seed} repeats their instants");
    let chance = Chance::seeded(seed);
    let began = Clock::system().now();
    // What a kill leaves between its commit and its POST is absent until it has rested, and so many of them are no sign that look-ups are
    // broken.
    let paced = [("budget.writes_per_second", CHARGES_A_SECOND), ("protocol.unknown_limit", "10000")];
    let ground = Ground::new(on, None, kills * CHARGES_A_KILL, TROUBLED, &paced).await;
    let (mut interrupted, mut attempts, mut span) = (0, 0, SPAN);
    for kill in 0..kills {
        // One kill in five meets it while it starts.
        let daemon = if kill % 5 == 4 { ground.spawn("one") } else { ground.daemon("one") };
        tokio::time::sleep(Duration::from_millis(chance.below(span.as_millis().try_into().unwrap()))).await;
        let left = left_behind(&daemon);
        span = if left > 0 { (span / 2).max(SPAN) } else { (span * 5 / 4).min(SPAN_AT_MOST) };
        interrupted += u32::from(left > 0);
        attempts += left;
        daemon.kill();
    }
    let paid_by_then = ground.payments().await;
    let killed_for = Clock::system().now() - began;
    let daemon = ground.daemon("one");
    let told =
        || format!("{interrupted} of {kills} kills left work behind, {paid_by_then} payments\n{}", logs(&[&daemon]));
    assert!(paid_by_then < u64::from(kills * CHARGES_A_KILL), "no work until the last kill: {}", told());
    assert!(interrupted >= kills / 4, "only {}", told());
    ground.assert_each_charged_once(&[&daemon]).await;
    println!(
        "{on:?}: {kills} kills within {} s and {paid_by_then} payments, {interrupted} met work under way ({attempts} attempts); \
         {} charges, each paid once, after {} s",
        killed_for.num_seconds(),
        kills * CHARGES_A_KILL,
        (Clock::system().now() - began).num_seconds()
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_instants_double_and_lose_nothing_on_sqlite() {
    killed_at_random(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_instants_double_and_lose_nothing_on_postgres() {
    killed_at_random(On::Postgres).await;
}

async fn goes_on_at_once(on: On) {
    let began = Clock::system().now();
    let slow = "[[rule]]\nname = \"slow\"\nfault = \"slow\"\ndelay = \"1500ms\"\n";
    // Whoever waited for the lease to end would wait for longer than this test.
    let keys = [
        ("engine.in_flight", "64"),
        ("protocol.lease", "3m"),
        ("gateway.read_timeout", "5s"),
        ("gateway.timeout", "5s"),
    ];
    let ground = Ground::new(on, None, 300, slow, &keys).await;
    let store = ground.store().await;
    let daemon = ground.daemon("one");
    let sending = "SELECT COUNT(*) AS sum FROM attempts WHERE state = 'sending'";
    wait_for_count(&store, sending, |sum| sum == 64, Duration::from_secs(30), &[&daemon]).await;
    ground.wait_for_payments(64, &[&daemon]).await;
    let killed_at = Clock::system().now();
    daemon.kill();
    assert_eq!(count(&store, sending).await, 64, "all were under way");
    let before = ground.payments().await;
    let daemon = ground.daemon("one");
    ground.wait_for_payments(before + 1, &[&daemon]).await;
    let after = ground.requested_at().await.into_iter().filter(|at| *at > killed_at).min().unwrap();
    println!("{on:?}: {} ms from SIGKILL to the first charge, 64 in flight", (after - killed_at).num_milliseconds());
    assert_eq!(left_behind(&daemon), 64, "{}", daemon.log());
    ground.assert_each_charged_once(&[&daemon]).await;
    assert!(Clock::system().now() - began < chrono::TimeDelta::minutes(3), "their leases were not waited for");
    store.close().await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_takes_up_what_its_predecessor_left_at_once_on_sqlite() {
    goes_on_at_once(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_takes_up_what_its_predecessor_left_at_once_on_postgres() {
    goes_on_at_once(On::Postgres).await;
}
