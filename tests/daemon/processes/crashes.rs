//! A PostgreSQL that crashes and comes back while two daemons charge.

use super::ground::{Ground, TROUBLED, logs};
use crate::support::postgres::Cluster;
use crate::support::world::On;

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_crashes_under_two_daemons_doubles_and_loses_nothing() {
    let cluster = Cluster::start_own();
    // What never arrived rests for half a minute, and so many of them are no sign here that look-ups are broken.
    let paced = [("budget.writes_per_second", "60"), ("protocol.unknown_limit", "1000")];
    let ground = Ground::new(On::Postgres, Some(cluster.new_database()), 1_000, TROUBLED, &paced).await;
    let mut one = ground.daemon("one");
    let mut two = ground.daemon("two");
    for payments in [150, 350, 550] {
        ground.wait_for_payments(payments, &[&one, &two]).await;
        cluster.restart_immediate();
    }
    assert!(ground.payments().await < 1_000, "the last crash came before the end");
    ground.assert_each_charged_once(&[&one, &two]).await;
    assert!(one.is_alive() && two.is_alive(), "{}", logs(&[&one, &two]));
    one.stop();
    two.stop();
}
