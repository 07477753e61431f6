//! The promises of the PostgreSQL that tests run on: it starts, it can crash and come back, and it leaves nothing behind.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::postgres::Cluster;
use sqlx::{Connection, PgConnection};

#[tokio::test]
async fn a_new_database_is_empty_and_answers() {
    let url = Cluster::shared().new_database();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (version, tables): (String, i64) =
        sqlx::query_as("SELECT version(), (SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public')")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert!(version.starts_with("PostgreSQL "), "{version}");
    assert_eq!(tables, 0);
    assert_ne!(Cluster::shared().new_database(), url);
}

#[tokio::test]
async fn what_was_committed_survives_a_crash_and_a_stop() {
    let cluster = Cluster::start_own();
    let url = cluster.new_database();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE kept (n BIGINT)").execute(&mut connection).await.unwrap();
    sqlx::query("INSERT INTO kept VALUES (7)").execute(&mut connection).await.unwrap();

    cluster.restart_immediate();
    assert!(sqlx::query("SELECT 1").execute(&mut connection).await.is_err(), "the old connection must be gone");
    cluster.stop();
    assert!(PgConnection::connect(&url).await.is_err(), "a stopped cluster must not answer");
    cluster.start();

    let mut connection = PgConnection::connect(&url).await.unwrap();
    let kept: i64 = sqlx::query_scalar("SELECT n FROM kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(kept, 7);

    let directory = cluster.directory().to_owned();
    drop(cluster);
    assert!(!directory.exists(), "{} was left behind", directory.display());
}

/// Set in the process that is to own a cluster.
const OWNER: &str = "DUES_TEST_OWNS_A_CLUSTER";

#[test]
fn a_killed_test_program_leaves_no_cluster_behind() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres::owns_a_cluster_until_it_is_killed", "--nocapture"])
        .env(OWNER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let directory = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .find_map(|line| line.split_once("cluster at ").map(|(_, directory)| directory.to_owned()))
        .unwrap();
    let directory = Path::new(&directory);
    assert!(directory.exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    let gone = (0..300).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        !directory.exists()
    });
    assert!(gone, "{} was left behind", directory.display());
}

#[test]
fn owns_a_cluster_until_it_is_killed() {
    // The test above runs this one in a process of its own, and kills it; without that there is nothing to own.
    if std::env::var_os(OWNER).is_none() {
        return;
    }
    let cluster = Cluster::start_own();
    println!("cluster at {}", cluster.directory().display());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
