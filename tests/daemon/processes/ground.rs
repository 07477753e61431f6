//! What these tests stand on: a sandbox as a process of its own, a config, and books with subscriptions that are due.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dues::chance::Chance;
use dues::clock::{Clock, Instant};
use dues::config::{self, Settings, Sources};
use dues::engine::hand_over::HandOver;
use dues::engine::open;
use dues::sandbox::{self, Sandbox, Script};
use dues::store::Store;
use dues::store::customers::NewCustomer;

use crate::support::process::Daemon;
use crate::support::world::{On, count, empty_books, lines};

/// Short times, so that what takes hours in production takes seconds here. The rules are the same; the 30 seconds that a key rests
/// before it is sent again are no setting and stay.
const TIMES: &str = r#"
[installation]
name = "processes-test"
environment = "sandbox"
[gateway]
connect_timeout = "1s"
read_timeout = "2s"
timeout = "2s"
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
const AMOUNT_MINOR: i64 = 12_800;

/// Every way in which an answer goes missing, and answers that are under way when something happens. What never arrived rests for 30
/// seconds before it is sent again, so it stops in time for the end not to wait for it twice.
pub const TROUBLED: &str = r#"
[[rule]]
name = "lost answers"
fault = "lost_response"
every = 40
[[rule]]
name = "errors after the effect"
fault = "error_after"
every = 45
[[rule]]
name = "lost requests"
fault = "lost_request"
every = 30
times = 5
[[rule]]
name = "errors before the effect"
fault = "error_before"
every = 33
times = 5
[[rule]]
name = "slow answers"
fault = "slow"
delay = "400ms"
per_mille = 300
"#;

/// What is not paid, and why it may be.
const OPEN: &str = "SELECT c.state || ', ' || COALESCE(a.state || ' sends ' || CAST(a.sends AS TEXT) || ' looks ' || \
    CAST(a.looks AS TEXT) || ' sent ' || CAST(a.last_sent_at AS TEXT) || ' next ' || CAST(a.next_at AS TEXT), '-') AS line \
    FROM charges c LEFT JOIN attempts a ON a.charge_id = c.id WHERE c.state <> 'paid' ORDER BY c.id LIMIT 20";

/// A wait looks again after this long.
const AGAIN: Duration = Duration::from_millis(25);

pub struct Ground {
    directory: tempfile::TempDir,
    sandbox: Child,
    gateway: String,
    client: reqwest::Client,
    flags: Vec<(String, String)>,
    charges: u32,
}

impl Ground {
    /// A ground on which so many charges are due. `keys` are set over the short times.
    pub async fn new(on: On, url: Option<String>, charges: u32, script: &str, keys: &[(&str, &str)]) -> Ground {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("dues.toml"), TIMES).unwrap();
        let rules = directory.path().join("rules.toml");
        std::fs::write(&rules, script).unwrap();
        let mut sandbox = Command::new(env!("CARGO_BIN_EXE_dues"))
            .args(["--json", "sandbox", "--listen", "127.0.0.1:0", "--settle-after", "0s", "--script"])
            .arg(&rules)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(sandbox.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let told: serde_json::Value = serde_json::from_str(&first).unwrap();
        let gateway = told["url"].as_str().unwrap().to_owned();
        let url = url.unwrap_or_else(|| empty_books(on, &directory));
        let mut flags = vec![("database.url".to_owned(), url), ("gateway.url".to_owned(), gateway.clone())];
        flags.extend(keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let ground = Ground { directory, sandbox, gateway, client, flags, charges };
        ground.hand_over().await;
        ground
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("dues.toml")
    }

    fn flags_of(&self, node: &str) -> Vec<(String, String)> {
        let mark = self.directory.path().join(format!("sends-{node}")).display().to_string();
        let own = [("installation.node", node), ("installation.high_water_file", &mark)];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.flags.iter().cloned().chain(own).collect()
    }

    fn settings(&self) -> Settings {
        let sources = Sources { file: Some(self.config()), environment: Vec::new(), flags: self.flags_of("test") };
        match config::load(&sources) {
            Ok(loaded) => loaded.settings,
            Err(faults) => panic!("{faults}"),
        }
    }

    /// The books, beside the daemons.
    pub async fn store(&self) -> Store {
        open::books(&self.settings(), &Clock::system()).await.unwrap()
    }

    /// Starts a daemon of this name and waits until it says that it runs.
    pub fn daemon(&self, node: &str) -> Daemon {
        Daemon::start(&self.config(), &self.flags_of(node))
    }

    /// Starts one, whatever comes of it.
    pub fn spawn(&self, node: &str) -> Daemon {
        Daemon::spawn(&self.config(), &self.flags_of(node))
    }

    /// Hands over subscriptions whose first period began yesterday.
    async fn hand_over(&self) {
        let now = Clock::system().now();
        // The books are two days old, so that what falls due yesterday did so while they stood: new books look it up before its first send.
        let begun = Duration::from_hours(48);
        let clock = Clock::manual(now - begun);
        let key = sandbox::Settings::default().secret_key;
        let nobody = Sandbox::new(sandbox::Settings::default(), Script::default(), clock.clone(), 1).in_process();
        let store = open::books(&self.settings(), &clock).await.unwrap();
        let engine = open::engine(&self.settings(), store, nobody, &key, Chance::seeded(3), true).await.unwrap();
        clock.advance(begun);
        let one = |number: u32| {
            let reference = format!("ORD-{number:05}");
            let hand_over = HandOver {
                plan: "monthly".to_owned(),
                source_id: format!("src_{number:026}"),
                first_payment_id: None,
                customer: NewCustomer {
                    reference: reference.clone(),
                    name: Some("Wallet Customer".to_owned()),
                    email: Some(format!("customer-{number}@example.com")),
                    country: "HK".to_owned(),
                },
                reference,
                anchor_on: now.date_naive() - chrono::Days::new(1),
                zone: "Asia/Hong_Kong".parse().unwrap(),
                next_charge_on: None,
            };
            engine.acceptable(hand_over).unwrap()
        };
        let all: Vec<_> = (0..self.charges).map(one).collect();
        for set in all.chunks(1_000) {
            engine.hand_over(set).await.unwrap();
        }
        engine.store.close().await;
    }

    async fn asked(&self, path: &str) -> serde_json::Value {
        let text = self.client.get(format!("{}{path}", self.gateway)).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// How many payments the sandbox has made.
    pub async fn payments(&self) -> u64 {
        self.asked("/sandbox/books/summary").await["payments"].as_u64().unwrap()
    }

    /// Waits until the sandbox has made so many payments.
    pub async fn wait_for_payments(&self, at_least: u64, daemons: &[&Daemon]) {
        for _ in 0..2400 {
            if self.payments().await >= at_least {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
        panic!("the sandbox has no {at_least} payments after 60 s\n{}", logs(daemons));
    }

    /// When each payment was asked for, in order.
    pub async fn requested_at(&self) -> Vec<Instant> {
        let books = self.asked("/sandbox/books").await;
        let payments = books["payments"].as_array().unwrap();
        payments.iter().map(|it| it["requested_at"].as_str().unwrap().parse().unwrap()).collect()
    }

    /// How often each key was sent.
    pub async fn key_sends(&self) -> Vec<u64> {
        let books = self.asked("/sandbox/books").await;
        books["key_sends"].as_object().unwrap().values().map(|it| it.as_u64().unwrap()).collect()
    }

    /// Waits until every charge is paid, as long as it goes forward, then holds the sandbox's books against ours: each reference
    /// captured once, equal sums, no rule broken on either side, nothing left open.
    pub async fn assert_each_charged_once(&self, daemons: &[&Daemon]) {
        let store = self.store().await;
        let (mut paid, mut still) = (0, 0);
        while paid < i64::from(self.charges) {
            // The rests of a key, one after the other: it rests anew from where the machine's clock was set forward.
            if still >= 900 {
                let open = lines(&store, OPEN).await;
                panic!("{paid} charges are paid, and for 180 s no other was: {open:?}\n{}", logs(daemons));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = count(&store, "SELECT COUNT(*) AS sum FROM charges WHERE state = 'paid'").await;
            still = if now > paid { 0 } else { still + 1 };
            paid = now;
        }
        let books = self.asked("/sandbox/books").await;
        let mut captures: BTreeMap<String, u32> = BTreeMap::new();
        for payment in books["payments"].as_array().unwrap() {
            assert_eq!(payment["captured_minor"], AMOUNT_MINOR, "{payment}");
            *captures.entry(payment["reference"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        captures.retain(|_, captures| *captures > 1);
        let told = || logs(daemons);
        assert!(captures.is_empty(), "captured more than once: {captures:?}\n{}", told());
        assert_eq!(books["payments"].as_array().unwrap().len(), usize::try_from(self.charges).unwrap());
        for breach in ["resent_too_soon", "in_flight", "other_body"] {
            assert_eq!(books["rule_breaches"][breach], 0, "{}\n{}", books["rule_breaches"], told());
        }
        let sums: Vec<i64> = store.taken().await.unwrap().iter().map(|it| it.captured_minor).collect();
        assert_eq!(sums, [i64::from(self.charges) * AMOUNT_MINOR], "our books say the same sum\n{}", told());
        for (what, query) in [
            ("charges", "SELECT COUNT(*) - COUNT(DISTINCT subscription_id) AS sum FROM charges"),
            (
                "attempts that are not final",
                "SELECT COUNT(*) AS sum FROM attempts WHERE state IN ('created', 'sending', 'unknown', 'pending')",
            ),
            ("broken rules", "SELECT COUNT(*) AS sum FROM finance_exceptions"),
            ("review cases", "SELECT COUNT(*) AS sum FROM review_cases"),
        ] {
            assert_eq!(count(&store, query).await, 0, "{what}\n{}", told());
        }
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

/// Waits until a count of the books is as wanted, for at most `limit`.
pub async fn wait_for_count(
    store: &Store,
    query: &'static str,
    wanted: impl Fn(i64) -> bool,
    limit: Duration,
    daemons: &[&Daemon],
) -> i64 {
    let mut last = 0;
    for _ in 0..limit.as_millis() / AGAIN.as_millis() {
        last = count(store, query).await;
        if wanted(last) {
            return last;
        }
        tokio::time::sleep(AGAIN).await;
    }
    panic!("{query} is {last} after {} s\n{}", limit.as_secs(), logs(daemons));
}

/// What the daemons have said, one after the other.
pub fn logs(daemons: &[&Daemon]) -> String {
    daemons.iter().enumerate().map(|(n, daemon)| format!("-- daemon {n} said:\n{}\n", daemon.log())).collect()
}
