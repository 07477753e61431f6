//! A database that fails under load: locked by another program, out of space, crashed. The daemon stays and nobody pays twice.

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_sqlite_file_is_waited_for() {
    let mut ground = Ground::new(On::Sqlite, None, 2_000, &["--settle-after", "0s"]).await;
    ground.flags.push(("database.busy_timeout".to_owned(), "500ms".to_owned()));
    let mut daemon = ground.daemon();
    ground.wait_for_payments(100).await;
    let options = SqliteConnectOptions::new().filename(ground.directory.path().join("dues.db"));
    let patient = options.busy_timeout(Duration::from_secs(30));
    let mut other = SqliteConnection::connect_with(&patient).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    daemon.wait_for("the database fails");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(daemon.is_alive(), "{}", daemon.log());
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    ground.flags.retain(|(key, _)| key != "database.busy_timeout");
    ground.assert_all_paid_once(2_000).await;
    // On a busy machine the lock may be held up before and after as well: each time it is said once, and that it answers in between.
    let (fails, answers) = (daemon.said("the database fails"), daemon.said("the database answers"));
    assert!(0 < fails && fails < answers, "{fails} {answers}\n{}", daemon.log());
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_charges_nobody_twice() {
    let mut ground = Ground::new(On::Sqlite, None, 2_000, &["--settle-after", "0s"]).await;
    ground.flags.push(("engine.stop_wait".to_owned(), "1s".to_owned()));
    // The write-ahead log of two thousand charges is larger than this, the file that they stand in is not.
    let mut daemon = Daemon::spawn_on_a_small_disk(6 * 1024, &ground.config(), &ground.flags);
    daemon.wait_for("the database fails");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(daemon.is_alive(), "{}", daemon.log());
    assert_eq!(daemon.said("the database fails"), 1, "it is said once:\n{}", daemon.log());
    daemon.stop();
    assert!(ground.payments().await < 2_000, "the disk was full before the end");
    let daemon = ground.daemon();
    ground.assert_all_paid_once(2_000).await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_twice_is_survived() {
    let cluster = Cluster::start_own();
    let ground = Ground::new(On::Postgres, Some(cluster.new_database()), 2_000, &["--settle-after", "0s"]).await;
    let mut daemon = ground.daemon();
    for payments in [300, 900] {
        ground.wait_for_payments(payments).await;
        cluster.restart_immediate();
    }
    ground.assert_all_paid_once(2_000).await;
    assert!(daemon.is_alive(), "{}", daemon.log());
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_is_waited_for_with_a_word() {
    let mut ground = Ground::new(On::Sqlite, None, 1, &[]).await;
    // A directory cannot be opened as a file, not even by root.
    let directory = ground.directory.path().join("books");
    std::fs::create_dir(&directory).unwrap();
    ground.flags.retain(|(key, _)| key != "database.url");
    ground.flags.push(("database.url".to_owned(), format!("sqlite:{}", directory.display())));
    let daemon = Daemon::spawn(&ground.config(), &ground.flags);
    daemon.wait_for("the database does not answer, dues waits for it");
    assert!(daemon.log().contains("it is a directory; name a file in it"), "{}", daemon.log());
    daemon.stop();
}
