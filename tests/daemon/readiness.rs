//! Each part of a daemon that may not be ready, as it is told over HTTP: in words, and as a figure.

use dues::store::db::Statement;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::*;
use support::world::BOTH;

/// Waits until the daemon says so of its readiness, and of this part of it.
async fn told_of(http: std::net::SocketAddr, part: &str, is_ready: bool, words: &str, daemon: &Daemon) {
    let line = format!("dues_ready{{part=\"{part}\"}} {}", u8::from(is_ready));
    let mut seen = String::new();
    for _ in 0..150 {
        let (status, text) = refusals::told(http, "readyz").await;
        let (_, page) = refusals::told(http, "metrics").await;
        let agrees = page.lines().any(|it| it == line);
        if agrees && (status == 200) == is_ready && text.contains(words) {
            return;
        }
        seen = format!("{status} {text}\n{page}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{line} and {words:?} were not told within 30 s but\n{seen}\n{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_file_is_told_with_what_to_do() {
    let mut ground = Ground::new(On::Sqlite, None, 1, &["--settle-after", "0s"]).await;
    ground.flags.push(("database.busy_timeout".to_owned(), "500ms".to_owned()));
    let http = ground.listen();
    let daemon = ground.daemon();
    told_of(http, "database", true, "ready", &daemon).await;
    let options = SqliteConnectOptions::new().filename(ground.directory.path().join("dues.db"));
    let mut other = SqliteConnection::connect_with(&options.busy_timeout(Duration::from_secs(30))).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let words = "another program holds a lock on the file";
    told_of(http, "database", false, words, &daemon).await;
    let (_, page) = refusals::told(http, "metrics").await;
    assert!(page.lines().any(|it| it == "dues_database_up 1"), "it can be read:\n{page}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    told_of(http, "database", true, "ready", &daemon).await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_alone_that_fail_and_too_many_unknown_outcomes_are_told_while_looks_are_answered() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    let rule = "[[rule]]\nname = \"storm\"\nfault = \"error_before\"\nstatus = 503\non = \"post\"\n";
    std::fs::write(rules.path(), rule).unwrap();
    let script = rules.path().display().to_string();
    for on in BOTH {
        let mut ground = Ground::new(on, None, 10, &["--settle-after", "0s", "--script", &script]).await;
        let http = ground.listen();
        let daemon = ground.daemon();
        told_of(http, "outcomes", false, "outcomes are unknown, and 5 may be: sending pauses", &daemon).await;
        told_of(http, "gateway", false, "POST requests met server errors or silence", &daemon).await;
        let (_, page) = refusals::told(http, "metrics").await;
        for line in [
            "dues_unknown_limit_passed 1",
            "dues_gateway_circuit_open 1",
            "dues_gateway_circuit_cause{cause=\"server_trouble\"} 1",
        ] {
            assert!(page.lines().any(|it| it == line), "{on:?} {line} is missing in\n{page}");
        }
        let against = metrics::value(&page, "dues_attempts_unknown_against_limit");
        assert!(against.is_some_and(|it| it > 5), "{on:?}\n{page}");
        assert_eq!(daemon.said("\"sending pauses: "), 1, "{on:?}: look-ups do not end it\n{}", daemon.log());
        assert_eq!(daemon.said("\"sending goes on\""), 0, "{on:?}: look-ups do not end it\n{}", daemon.log());
        daemon.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_are_held_or_braked_are_told() {
    for on in BOTH {
        let mut ground = Ground::new(on, None, 1, &["--settle-after", "0s"]).await;
        let http = ground.listen();
        let daemon = ground.daemon();
        told_of(http, "books", true, "ready", &daemon).await;
        let store = ground.store().await;
        let now = Clock::system().now();
        for (column, words) in
            [("braked", "books: collecting is stopped"), ("held", "books: HELD (a test), see dues ledger show")]
        {
            let set: &'static str =
                format!("UPDATE installation SET {column}_at = $1, {column}_reason = 'a test'").leak();
            let mut tx = store.begin("test").await.unwrap();
            tx.run(Statement::new(set).bind(now)).await.unwrap();
            tx.commit().await.unwrap();
            told_of(http, "books", false, words, &daemon).await;
        }
        let clear =
            "UPDATE installation SET held_at = NULL, held_reason = NULL, braked_at = NULL, braked_reason = NULL";
        let mut tx = store.begin("test").await.unwrap();
        tx.run(Statement::new(clear)).await.unwrap();
        tx.commit().await.unwrap();
        told_of(http, "books", true, "ready", &daemon).await;
        store.close().await;
        daemon.stop();
    }
}
