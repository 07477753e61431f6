//! What a monitoring system reads of a daemon at work, on both databases.

use super::*;
use support::world::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn what_an_alarm_goes_by_is_measured_on_both_databases() {
    for on in BOTH {
        let rules = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(rules.path(), "[[rule]]\nname = \"open\"\noutcome = \"pending\"\ntimes = 1\n").unwrap();
        let script = rules.path().display().to_string();
        let mut ground = Ground::new(on, None, 2, &["--settle-after", "0s", "--script", &script]).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let http = listener.local_addr().unwrap();
        drop(listener);
        ground.flags.push(("http.listen".to_owned(), http.to_string()));
        let daemon = ground.daemon();
        ground.wait_for_payments(2).await;
        let mut page = String::new();
        for _ in 0..100 {
            page = refusals::told(http, "metrics").await.1;
            let (pending, age) =
                (value(&page, "dues_attempts_pending"), value(&page, "dues_attempts_pending_oldest_age_seconds"));
            if pending == Some(1) && age >= Some(1) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(value(&page, "dues_attempts_pending"), Some(1), "{on:?}\n{page}");
        let age = value(&page, "dues_attempts_pending_oldest_age_seconds");
        assert!(age.is_some_and(|age| (1..60).contains(&age)), "{on:?}\n{page}");
        assert_eq!(value(&page, "dues_attempt_sends_max"), Some(1), "{on:?}\n{page}");
        // Both clocks are this machine's; the gateway tells whole seconds.
        let ahead = value(&page, "dues_database_clock_ahead_of_gateway_seconds");
        assert!(ahead.is_some_and(|ahead| (-1..=1).contains(&ahead)), "{on:?}\n{page}");
        for nothing in [
            "dues_attempts_unknown_oldest_age_seconds",
            "dues_review_cases_open_oldest_age_seconds",
            "dues_hold_age_seconds",
            "dues_charges_held",
            "dues_charges_held_oldest_age_seconds",
            "dues_audit_differences_total",
        ] {
            assert_eq!(value(&page, nothing), Some(0), "{on:?} {nothing}\n{page}");
        }
        assert!(value(&page, "dues_fences_raised_total").is_some(), "{on:?}\n{page}");
        daemon.stop();
    }
}

/// The value of a family without labels.
pub fn value(page: &str, name: &str) -> Option<i64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
