//! What a person or a service manager says with a signal.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stop_ends_at_once_and_loses_nothing() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), "[[rule]]\nname = \"slow\"\nfault = \"slow\"\ndelay = \"1900ms\"\n").unwrap();
    let script = rules.path().display().to_string();
    let ground = Ground::new(On::Sqlite, None, 100, &["--settle-after", "0s", "--script", &script]).await;
    let mut daemon = ground.daemon();
    ground.wait_for_payments(20).await;
    daemon.signal("TERM");
    daemon.wait_for("stopping:");
    daemon.signal("TERM");
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
    assert_eq!(daemon.said("answers are still under way"), 1, "it did not wait for them:\n{}", daemon.log());
    let log = daemon.log();
    let last = log.lines().last().unwrap();
    let round_trips = last.split("\"round_trips\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let counted = |work: &str| work.split_once(' ').is_some_and(|(_, count)| !count.is_empty());
    assert!(round_trips.split(", ").all(counted) && !round_trips.contains('{'), "{last}");
    let daemon = ground.daemon();
    ground.assert_all_paid_once(100).await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reload_leaves_the_daemon_charging() {
    let ground = Ground::new(On::Sqlite, None, 1, &["--settle-after", "0s"]).await;
    let daemon = ground.daemon();
    ground.assert_all_paid_once(1).await;
    std::fs::write(ground.config(), TIMES.replace("lease = \"6s\"", "lease = \"6 sheep\"")).unwrap();
    daemon.signal("HUP");
    daemon.wait_for("the old one stays");
    assert!(daemon.log().contains("protocol.lease"), "the wrong key is named:\n{}", daemon.log());
    std::fs::write(ground.config(), TIMES).unwrap();
    // The one that is there stays as it is; five more come due.
    ground.hand_over(6).await;
    ground.assert_all_paid_once(6).await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_names_the_keys_that_wait_for_a_restart() {
    let ground = Ground::new(On::Sqlite, None, 1, &["--settle-after", "0s"]).await;
    let daemon = ground.daemon();
    let more = "[engine]\nbatch = 100\nstop_wait = \"1s\"\n[http]\nlisten = \"127.0.0.1:9464\"\n";
    std::fs::write(ground.config(), format!("{TIMES}{more}").replace("format = \"json\"", "format = \"text\""))
        .unwrap();
    daemon.signal("HUP");
    daemon.wait_for(
        "these keys change only by a restart: engine.stop_wait, http.listen, log.format; the rest of the new config is in use",
    );
    std::fs::write(ground.config(), TIMES.replace("daemon-test", "other-books")).unwrap();
    daemon.signal("HUP");
    daemon.wait_for(
        "the old one stays: these keys change only by a restart, and nothing else is taken up with them: installation.name",
    );
    assert_eq!(daemon.said("the new config is in use"), 1, "{}", daemon.log());
    daemon.stop();
}
