//! A PostgreSQL that keeps silent: frozen, or behind a network that drops everything. Nothing of the daemon waits for it for ever.

use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Answers under way are awaited so long; at the end two more waits of two seconds follow.
const STOP_WAIT: Duration = Duration::from_secs(5);
const ENDS_WITHIN: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_is_no_reason_to_be_killed_and_keeps_nobody_from_a_stop() {
    let cluster = Cluster::start_own();
    let arguments = ["--settle-after", "0s"];
    let mut ground = Ground::new(On::Postgres, Some(cluster.new_database()), 2_000, &arguments).await;
    let http = ground.listen();
    ground.flags.push(("engine.stop_wait".to_owned(), format!("{}s", STOP_WAIT.as_secs())));
    ground.flags.push(("budget.writes_per_second".to_owned(), "100".to_owned()));
    let path = ground.directory.path().join("notify");
    let fed = count_signs_of_life(UnixDatagram::bind(&path).unwrap());
    let mut daemon = Daemon::spawn_managed(&path, Duration::from_secs(24), &ground.config(), &ground.flags);
    ground.wait_for_payments(200).await;

    let frozen = cluster.freeze();
    let clock = Clock::system();
    let began = clock.since_boot();
    let fed_before = fed.load(Ordering::Relaxed);
    // Longer than the watchdog waits, and than a loop may take.
    while clock.since_boot() - began < Duration::from_secs(40) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (status, text) = refusals::told(http, "healthz").await;
        assert_eq!(status, 200, "{text}\n{}", daemon.log());
    }
    let fed = fed.load(Ordering::Relaxed) - fed_before;
    assert!(fed >= 5, "the watchdog was fed {fed} times:\n{}", daemon.log());
    assert!(daemon.is_alive(), "{}", daemon.log());
    assert_eq!(daemon.said("the database fails"), 1, "it is said once:\n{}", daemon.log());
    let (status, text) = refusals::told(http, "readyz").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("database: "), "{text}");
    let before = ground.payments().await;
    drop(frozen);
    ground.wait_for_payments(before + 200).await;
    assert_eq!(refusals::told(http, "readyz").await.0, 200, "{}", daemon.log());

    let frozen = cluster.freeze();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = clock.since_boot();
    daemon.signal("TERM");
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
    let took = clock.since_boot() - began;
    assert!(took < ENDS_WITHIN, "it took {took:?}:\n{}", daemon.log());
    drop(frozen);
    let daemon = ground.daemon();
    ground.assert_all_paid_once(2_000).await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_waits_for_a_silent_database_can_be_stopped() {
    let cluster = Cluster::start_own();
    let ground = Ground::new(On::Postgres, Some(cluster.new_database()), 1, &[]).await;
    let _frozen = cluster.freeze();
    let mut daemon = Daemon::spawn(&ground.config(), &ground.flags);
    daemon.wait_for("the database does not answer, dues waits for it");
    let clock = Clock::system();
    let began = clock.since_boot();
    daemon.signal("TERM");
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
    assert!(clock.since_boot() - began < Duration::from_secs(2), "{}", daemon.log());
}

/// How often the watchdog is fed, counted for as long as the test program runs.
fn count_signs_of_life(manager: UnixDatagram) -> Arc<AtomicU32> {
    let fed = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&fed);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read) = manager.recv(&mut bytes) {
            if bytes[..read].starts_with(b"WATCHDOG=1") {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    fed
}
