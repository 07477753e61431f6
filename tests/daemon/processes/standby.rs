//! A primary that dies under load, and its standby that is promoted in its place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ground::{Ground, logs, wait_for_count};
use crate::support::postgres::Cluster;
use crate::support::world::{On, count};

/// Answers that are under way when the primary dies.
const SLOW: &str = "[[rule]]\nname = \"slow\"\nfault = \"slow\"\ndelay = \"300ms\"\nper_mille = 300\n";
const PACED: [(&str, &str); 1] = [("budget.writes_per_second", "50")];

/// The one address of a primary, whichever it is: a link to the directory of its socket.
struct Address {
    directory: tempfile::TempDir,
}

impl Address {
    fn of(primary: &Cluster) -> Address {
        // Not below TMPDIR: a socket's path has 107 bytes at most.
        let address = Address { directory: tempfile::tempdir_in("/tmp").unwrap() };
        address.leads_to(primary.directory());
        address
    }

    fn link(&self) -> PathBuf {
        self.directory.path().join("primary")
    }

    fn leads_to(&self, sockets: &Path) {
        let next = self.directory.path().join("next");
        std::os::unix::fs::symlink(sockets, &next).unwrap();
        std::fs::rename(next, self.link()).unwrap();
    }

    /// The URL of a database of `primary` at this address.
    fn url(&self, primary: &Cluster) -> String {
        let directory = primary.directory().display().to_string();
        primary.new_database().replace(&directory, &self.link().display().to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_standby_that_is_promoted_under_load_knows_every_send() {
    let primary = Cluster::start_own();
    let standby = primary.start_standby();
    primary.wait_for_standby();
    let address = Address::of(&primary);
    let ground = Ground::new(On::Postgres, Some(address.url(&primary)), 800, SLOW, &PACED).await;
    let daemon = ground.daemon("one");
    ground.wait_for_payments(250, &[&daemon]).await;
    primary.crash();
    standby.promote();
    address.leads_to(standby.directory());
    assert!(ground.payments().await < 800, "it was promoted before the end");
    let store = ground.store().await;
    let raised = "SELECT COUNT(*) AS sum FROM fences WHERE reason = 'timeline'";
    wait_for_count(&store, raised, |sum| sum == 1, Duration::from_secs(30), &[&daemon]).await;
    ground.assert_each_charged_once(&[&daemon]).await;
    let fences = count(&store, "SELECT COUNT(*) AS sum FROM fences").await;
    assert_eq!(fences, 1, "no send was lost\n{}", logs(&[&daemon]));
    store.close().await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_that_a_promoted_standby_does_not_know_are_found_at_the_gateway() {
    let primary = Cluster::start_own();
    let address = Address::of(&primary);
    let standby = primary.start_standby();
    let ground = Ground::new(On::Postgres, Some(address.url(&primary)), 800, SLOW, &PACED).await;
    let daemon = ground.daemon("one");
    ground.wait_for_payments(200, &[&daemon]).await;
    standby.cut_off();
    let known = ground.payments().await;
    ground.wait_for_payments(known + 100, &[&daemon]).await;
    primary.crash();
    standby.promote();
    address.leads_to(standby.directory());
    let store = ground.store().await;
    let lost = "SELECT CAST(COALESCE(SUM(lost_sends), 0) AS BIGINT) AS sum FROM fences WHERE reason = 'rewound'";
    let lost = wait_for_count(&store, lost, |sum| sum > 0, Duration::from_secs(30), &[&daemon]).await;
    ground.assert_each_charged_once(&[&daemon]).await;
    assert_eq!(count(&store, "SELECT COUNT(*) AS sum FROM fences WHERE holds = 1").await, 0, "{}", logs(&[&daemon]));
    println!("{lost} sends were lost with the primary and found at the gateway");
    store.close().await;
    daemon.stop();
}
