//! A PostgreSQL that does not answer, and an answer that nobody waits for any more: neither keeps a connection, nor what it would have said.

use std::time::Duration;

use dues::clock::Clock;
use dues::store::db::{ANSWER_WITHIN, Statement};
use dues::store::{DatabaseUrl, Store, StoreError};

use crate::support::postgres::Cluster;
use crate::support::world::count;

const BUSY: Duration = Duration::from_secs(5);

/// Books on one connection, so that one that is not given back is missed at once.
async fn on_one_connection(url: &str) -> Store {
    Store::open(&DatabaseUrl::parse(url).unwrap(), 1, BUSY, Clock::system()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_longer_waited_for_reaches_nobody_and_keeps_no_connection() {
    let store = on_one_connection(&Cluster::shared().new_database()).await;
    let soon = Duration::from_millis(200);
    let slow = || Statement::new("SELECT 1 FROM pg_sleep(60)");
    let read = tokio::time::timeout(soon, store.read::<(i32,)>(slow())).await;
    assert!(read.is_err(), "it is still to come");
    assert_eq!(count(&store, "SELECT CAST(2 AS BIGINT) AS sum").await, 2);
    let mut tx = store.begin("test").await.unwrap();
    assert!(tokio::time::timeout(soon, tx.run(slow())).await.is_err());
    drop(tx);
    assert_eq!(count(&store, "SELECT CAST(3 AS BIGINT) AS sum").await, 3);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_committed_is_rolled_back_before_the_connection_is_lent_again() {
    let store = on_one_connection(&Cluster::shared().new_database()).await;
    let mut tx = store.begin("test").await.unwrap();
    tx.run(Statement::new("CREATE TABLE things (n BIGINT)")).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.begin("test").await.unwrap();
    tx.run(Statement::new("INSERT INTO things VALUES (1)")).await.unwrap();
    drop(tx);
    let mut tx = store.begin("test").await.unwrap();
    tx.run(Statement::new("INSERT INTO things VALUES (2)")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&store, "SELECT CAST(SUM(n) AS BIGINT) AS sum FROM things").await, 2);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_given_up_on_and_asked_anew_when_it_answers() {
    let cluster = Cluster::start_own();
    let store = on_one_connection(&cluster.new_database()).await.impatient();
    let mut tx = store.begin("test").await.unwrap();
    tx.run(Statement::new("CREATE TABLE things (n BIGINT)")).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.begin("test").await.unwrap();
    tx.run(Statement::new("INSERT INTO things VALUES (1)")).await.unwrap();
    let frozen = cluster.freeze();
    let clock = Clock::system();
    let began = clock.since_boot();
    let committed = tx.commit().await;
    let took = clock.since_boot() - began;
    assert!((ANSWER_WITHIN..ANSWER_WITHIN + BUSY).contains(&took), "{took:?}");
    let silent =
        |source: &sqlx::Error| matches!(source, sqlx::Error::Io(it) if it.kind() == std::io::ErrorKind::TimedOut);
    let Err(error @ StoreError::Database { step: "commit", .. }) = committed else { panic!("{committed:?}") };
    assert!(matches!(&error, StoreError::Database { source, .. } if silent(source)) && error.may_pass(), "{error:?}");
    // The connection is closed, and no other is to be had.
    assert!(matches!(store.begin("test").await, Err(StoreError::Busy { .. })));
    drop(frozen);
    // Whether it was committed nobody knew; the server had it all.
    let known = count(&store, "SELECT COUNT(*) AS sum FROM things").await;
    assert!((0..=1).contains(&known), "{known}");
    let mut tx = store.begin("test").await.unwrap();
    tx.run(Statement::new("INSERT INTO things VALUES (2)")).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}
