//! The real process against the real protocol: two programs on loopback, a real database, real signals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test stands on may end it")]

#[path = "../support/mod.rs"]
mod support;

mod away;
mod logs;
mod manager;
mod metrics;
mod outages;
mod pages;
mod postgres;
mod processes;
mod readiness;
mod refusals;
mod reloads;
mod restore;
mod signals;
mod silence;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dues::chance::Chance;
use dues::clock::Clock;
use dues::config::{self, Settings, Sources};
use dues::engine::hand_over::HandOver;
use dues::engine::open;
use dues::sandbox::{self, Sandbox, Script};
use dues::store::Store;
use dues::store::customers::NewCustomer;
use support::postgres::Cluster;
use support::process::Daemon;
use support::world::{On, empty_books};

/// Short times, so that what takes hours in production takes seconds here. The rules are the same.
const TIMES: &str = r#"
[installation]
name = "daemon-test"
environment = "sandbox"
node = "one"
[gateway]
connect_timeout = "1s"
read_timeout = "2s"
timeout = "3s"
[budget]
writes_per_second = "unlimited"
reads_per_second = "unlimited"
[circuit]
probe_after = "1s"
probe_after_refusal = "1s"
[protocol]
key_life = "24h"
key_margin = "2h"
settle_wait = "2s"
settle_wait_after_server_error = "2s"
lookup_after = ["0s", "1s"]
look_again = "1s"
resend = "same_key"
auto_after_window = false
send_within = "1s"
lease = "6s"
[polls]
first = ["0s", "1s", "2s"]
[log]
format = "json"
[plans.monthly]
amount_minor = 12800
currency = "HKD"
interval = "month"
description = "Monthly plan"
"#;

/// A sandbox as a process of its own, a config, and books with subscriptions that are due.
struct Ground {
    directory: tempfile::TempDir,
    sandbox: Child,
    gateway: String,
    flags: Vec<(String, String)>,
}

impl Ground {
    async fn new(on: On, url: Option<String>, subscriptions: u32, sandbox_arguments: &[&str]) -> Ground {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("dues.toml"), TIMES).unwrap();
        let mut sandbox = Command::new(env!("CARGO_BIN_EXE_dues"))
            .args(["--json", "sandbox", "--listen", "127.0.0.1:0"])
            .args(sandbox_arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let out = sandbox.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut first).unwrap();
        let told: serde_json::Value = serde_json::from_str(&first).unwrap();
        let gateway = told["url"].as_str().unwrap().to_owned();
        let url = url.unwrap_or_else(|| empty_books(on, &directory));
        let flags = vec![("database.url".to_owned(), url), ("gateway.url".to_owned(), gateway.clone())];
        let ground = Ground { directory, sandbox, gateway, flags };
        ground.hand_over(subscriptions).await;
        ground
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("dues.toml")
    }

    fn settings(&self) -> Settings {
        let sources = Sources { file: Some(self.config()), environment: Vec::new(), flags: self.flags.clone() };
        match config::load(&sources) {
            Ok(loaded) => loaded.settings,
            Err(faults) => panic!("{faults}"),
        }
    }

    async fn store(&self) -> Store {
        open::books(&self.settings(), &Clock::system()).await.unwrap()
    }

    /// Lets the daemon listen for HTTP, at an address that is free now.
    fn listen(&mut self) -> std::net::SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        self.flags.push(("http.listen".to_owned(), address.to_string()));
        address
    }

    /// A command of the program on these books: its exit code, and what it printed.
    fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
        command.arg("--config").arg(self.config()).args(arguments).env("USER", "tester");
        for (key, value) in &self.flags {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let out = command.output().unwrap();
        let printed = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8(printed).unwrap())
    }

    fn daemon(&self) -> Daemon {
        Daemon::start(&self.config(), &self.flags)
    }

    /// Hands over subscriptions whose first period began yesterday.
    async fn hand_over(&self, count: u32) {
        let now = Clock::system().now();
        // The books are two days old, so that what falls due yesterday did so while they stood: new books look it up before its first send.
        let begun = Duration::from_hours(48);
        let clock = Clock::manual(now - begun);
        let key = sandbox::Settings::default().secret_key;
        let nobody = Sandbox::new(sandbox::Settings::default(), Script::default(), clock.clone(), 1).in_process();
        let settings = self.settings();
        let store = open::books(&settings, &clock).await.unwrap();
        let engine = open::engine(&settings, store, nobody, &key, Chance::seeded(3), true).await.unwrap();
        clock.advance(begun);
        let mut set = Vec::new();
        for number in 0..count {
            let hand_over = HandOver {
                reference: format!("ORD-{number:05}"),
                plan: "monthly".to_owned(),
                source_id: format!("src_{number:026}"),
                first_payment_id: None,
                customer: NewCustomer {
                    reference: format!("ORD-{number:05}"),
                    name: Some("Wallet Customer".to_owned()),
                    email: Some(format!("customer-{number}@example.com")),
                    country: "HK".to_owned(),
                },
                anchor_on: now.date_naive() - chrono::Days::new(1),
                zone: "Asia/Hong_Kong".parse().unwrap(),
                next_charge_on: None,
            };
            set.push(engine.acceptable(hand_over).unwrap());
            if set.len() == 1000 {
                engine.hand_over(&set).await.unwrap();
                set.clear();
            }
        }
        engine.hand_over(&set).await.unwrap();
        engine.store.close().await;
    }

    async fn books(&self, path: &str) -> serde_json::Value {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let text = client.get(format!("{}{path}", self.gateway)).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// How many payments the sandbox has made.
    async fn payments(&self) -> u64 {
        self.books("/sandbox/books/summary").await["payments"].as_u64().unwrap()
    }

    async fn wait_for_payments(&self, at_least: u64) {
        for _ in 0..1200 {
            if self.payments().await >= at_least {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the sandbox has no {at_least} payments after 30 s");
    }

    async fn paid(&self, store: &Store) -> i64 {
        store.months().await.unwrap().iter().map(|month| month.collected_minor).sum::<i64>() / 12_800
    }

    /// Waits until every charge is paid in our books, and holds the sandbox's against them.
    async fn assert_all_paid_once(&self, count: u32) {
        let store = self.store().await;
        let mut paid = 0;
        for _ in 0..600 {
            paid = self.paid(&store).await;
            if paid == i64::from(count) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(paid, i64::from(count), "every charge is paid within two minutes");
        let books = self.books("/sandbox/books").await;
        let mut captures = std::collections::BTreeMap::new();
        for payment in books["payments"].as_array().unwrap() {
            assert_eq!(payment["captured_minor"], 12_800, "{payment}");
            *captures.entry(payment["reference"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        let twice: Vec<_> = captures.iter().filter(|(_, captures)| **captures != 1).collect();
        assert!(twice.is_empty(), "captured more than once: {twice:?}");
        assert_eq!(captures.len(), usize::try_from(count).unwrap());
        assert_eq!(books["rule_breaches"]["resent_too_soon"], 0, "{}", books["rule_breaches"]);
        let taken = store.taken().await.unwrap();
        let sums: Vec<i64> = taken.iter().map(|it| it.captured_minor).collect();
        assert_eq!(sums, [i64::from(count) * 12_800], "our books say the same sum");
        assert_eq!(store.exceptions().await.unwrap(), 0);
        assert_eq!(store.open_reviews().await.unwrap(), 0);
        store.close().await;
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Nothing of a test outlives it.
        let _already_gone = self.sandbox.kill();
        let _already_waited = self.sandbox.wait();
    }
}

async fn killed_three_times(on: On) {
    let ground = Ground::new(on, None, 10_000, &["--settle-after", "0s"]).await;
    for share in [2_000, 4_500, 7_000] {
        let daemon = ground.daemon();
        ground.wait_for_payments(share).await;
        daemon.kill();
    }
    assert!(ground.payments().await < 10_000, "the third kill came before the end");
    let daemon = ground.daemon();
    ground.assert_all_paid_once(10_000).await;
    daemon.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_charges_survive_three_kills_on_sqlite() {
    killed_three_times(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_charges_survive_three_kills_on_postgres() {
    killed_three_times(On::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_awaits_the_answers_under_way_and_records_them() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), "[[rule]]\nname = \"slow\"\nfault = \"slow\"\ndelay = \"700ms\"\n").unwrap();
    let script = rules.path().display().to_string();
    let ground = Ground::new(On::Sqlite, None, 300, &["--settle-after", "0s", "--script", &script]).await;
    let mut daemon = ground.daemon();
    ground.wait_for_payments(20).await;
    daemon.signal("TERM");
    assert!(daemon.end().success(), "{}", daemon.log());
    let store = ground.store().await;
    let left = support::world::count(&store, "SELECT COUNT(*) AS sum FROM attempts WHERE state = 'sending'").await;
    assert_eq!(left, 0, "every answer under way was recorded");
    store.close().await;
    let daemon = ground.daemon();
    ground.assert_all_paid_once(300).await;
    daemon.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_one_file_is_refused() {
    let ground = Ground::new(On::Sqlite, None, 1, &[]).await;
    let first = ground.daemon();
    let mut second = Daemon::spawn(&ground.config(), &ground.flags);
    assert!(!second.end().success());
    assert!(second.log().contains("use PostgreSQL for several"), "{}", second.log());
    first.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_waited_for() {
    let cluster = Cluster::start_own();
    let ground = Ground::new(On::Postgres, Some(cluster.new_database()), 3_000, &["--settle-after", "0s"]).await;
    let daemon = ground.daemon();
    ground.wait_for_payments(500).await;
    cluster.stop();
    daemon.wait_for("the database fails");
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.start();
    ground.assert_all_paid_once(3_000).await;
    // Each loop may find its own connection gone; none says it at every tick.
    let said = daemon.log().matches("the database fails").count();
    assert!((1..=5).contains(&said), "it is said {said} times:\n{}", daemon.log());
    daemon.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_stops_sending_and_changes_nothing() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), "sk_sbox_another").unwrap();
    let key_file = keys.path().display().to_string();
    let mut ground = Ground::new(On::Sqlite, None, 50, &["--secret-key-file", &key_file]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = listener.local_addr().unwrap();
    drop(listener);
    ground.flags.push(("http.listen".to_owned(), http.to_string()));
    let daemon = ground.daemon();
    daemon.wait_for("sending pauses");
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let ready = client.get(format!("http://{http}/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("secret key"));
    let alive = client.get(format!("http://{http}/healthz")).send().await.unwrap();
    assert_eq!(alive.status(), 200, "a wrong key is no reason to be restarted");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let store = ground.store().await;
    for (what, query) in [
        ("a charge moved", "SELECT COUNT(*) AS sum FROM charges WHERE state NOT IN ('due', 'collecting')"),
        ("a subscription moved", "SELECT COUNT(*) AS sum FROM subscriptions WHERE state <> 'active'"),
        ("a dunning case was opened", "SELECT COUNT(*) AS sum FROM dunning_cases"),
        ("a second attempt was made", "SELECT COUNT(*) AS sum FROM attempts WHERE n > 1"),
    ] {
        assert_eq!(support::world::count(&store, query).await, 0, "{what}");
    }
    store.close().await;
    daemon.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_up_a_good_config_and_leaves_a_bad_one() {
    let ground = Ground::new(On::Sqlite, None, 1, &[]).await;
    let daemon = ground.daemon();
    let more = format!(
        "{TIMES}[plans.yearly]\namount_minor = 99000\ncurrency = \"HKD\"\ninterval = \"year\"\ndescription = \"Yearly\"\n"
    );
    std::fs::write(ground.config(), more).unwrap();
    daemon.signal("HUP");
    daemon.wait_for("the new config is in use");
    std::fs::write(ground.config(), format!("{TIMES}[engine]\nbatchh = 3\n")).unwrap();
    daemon.signal("HUP");
    daemon.wait_for("the old one stays");
    assert!(daemon.log().contains("batchh"), "{}", daemon.log());
    daemon.kill();
}

#[test]
fn a_database_in_a_missing_directory_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("dues.toml");
    std::fs::write(&config, TIMES).unwrap();
    let missing = format!("sqlite:{}", Path::new("/nonexistent/dues.db").display());
    let flags = [("database.url".to_owned(), missing), ("gateway.url".to_owned(), "http://127.0.0.1:1".to_owned())];
    let mut daemon = Daemon::spawn(&config, &flags);
    assert!(!daemon.end().success());
    assert!(daemon.log().contains("the directory /nonexistent is missing; make it"), "{}", daemon.log());
}
