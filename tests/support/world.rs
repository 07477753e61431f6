//! A small world: a sandbox, an engine on real books, and one clock that both read and the test turns.

use std::time::Duration;

use dues::chance::Chance;
use dues::clock::{Clock, Instant};
use dues::config::{self, Settings, Sources};
use dues::engine::Engine;
use dues::engine::hand_over::HandOver;
use dues::engine::open;
use dues::engine::round::Round;
use dues::row;
use dues::sandbox::{self, Sandbox, Script};
use dues::store::customers::NewCustomer;
use dues::store::db::Statement;
use dues::store::{DatabaseUrl, Store};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::postgres::Cluster;

/// Which database a test runs on. Every promise of the books is kept on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
}

pub const BOTH: [On; 2] = [On::Sqlite, On::Postgres];

/// A sandbox, an engine and one clock.
pub struct World {
    pub clock: Clock,
    pub sandbox: Sandbox,
    pub settings: Settings,
    pub engine: Engine,
    pub round: Round,
    pub store: Store,
    _directory: TempDir,
}

/// The plans that stories speak of. Hours are local to the subscription.
const PLANS: &[(&str, &str)] = &[
    ("installation.name", "test"),
    ("installation.environment", "live"),
    ("gateway.url", "https://api.checkout.com"),
    ("gateway.processing_channel_id", "pc_ekaubqrravqupfxde7kxvd2t3i"),
    ("gateway.success_url", "https://example.com/payments/success"),
    ("gateway.failure_url", "https://example.com/payments/failure"),
    ("plans.monthly.amount_minor", "12800"),
    ("plans.monthly.currency", "HKD"),
    ("plans.monthly.interval", "month"),
    ("plans.monthly.billing_hour", "10"),
    ("plans.monthly.description", "Monthly plan"),
    ("plans.weekly.amount_minor", "1100"),
    ("plans.weekly.currency", "HKD"),
    ("plans.weekly.interval", "week"),
    ("plans.weekly.description", "Weekly plan"),
    ("plans.daily.amount_minor", "100"),
    ("plans.daily.currency", "HKD"),
    ("plans.daily.interval", "day"),
    ("plans.daily.description", "Daily plan"),
];

/// A URL of empty books; a SQLite file stands in `directory`.
pub fn empty_books(on: On, directory: &TempDir) -> String {
    match on {
        On::Sqlite => format!("sqlite:{}", directory.path().join("dues.db").display()),
        On::Postgres => Cluster::shared().new_database(),
    }
}

/// The settings of a test: the defaults, the plans above, and `flags` over them.
pub fn settings(url: &str, flags: &[(&str, &str)]) -> Settings {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let mut all: Vec<(String, String)> = PLANS.iter().map(own).collect();
    all.retain(|(key, _)| !flags.iter().any(|(flag, _)| flag == key));
    all.extend(flags.iter().map(own));
    all.push(("database.url".to_owned(), url.to_owned()));
    let nowhere = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/empty.toml");
    match config::load(&Sources { file: Some(nowhere), environment: Vec::new(), flags: all }) {
        Ok(loaded) => loaded.settings,
        Err(faults) => panic!("the test's settings are wrong:\n{faults}"),
    }
}

/// An instant in the words of RFC 3339.
pub fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

impl World {
    /// A world that begins at `start`, on `on`, with `flags` over the usual settings.
    pub async fn new(on: On, start: &str, flags: &[(&str, &str)]) -> World {
        let directory = tempfile::tempdir().unwrap();
        let url = empty_books(on, &directory);
        let settings = settings(&url, flags);
        let clock = Clock::manual(at(start));
        let sandbox_settings = sandbox::Settings::default();
        let secret_key = sandbox_settings.secret_key.clone();
        let sandbox = Sandbox::new(sandbox_settings, Script::default(), clock.clone(), 7);
        let url = DatabaseUrl::parse(settings.database.url.expose_secret()).unwrap();
        let store = Store::open(&url, 4, Duration::from_secs(10), clock.clone()).await.unwrap();
        let chance = Chance::seeded(11);
        let engine =
            open::engine(&settings, store.clone(), sandbox.in_process(), &secret_key, chance, true).await.unwrap();
        World { clock, sandbox, settings, round: Round::new(engine.clone()), engine, store, _directory: directory }
    }

    /// The same world after a restart of the daemon: on its own books, or on those at `url`.
    pub async fn restarted(self, url: Option<&str>) -> World {
        self.store.close().await;
        let mut settings = self.settings;
        if let Some(url) = url {
            settings.database.url = url.to_owned().into();
        }
        let parsed = DatabaseUrl::parse(settings.database.url.expose_secret()).unwrap();
        let store = Store::open(&parsed, 4, Duration::from_secs(10), self.clock.clone()).await.unwrap();
        let secret_key = sandbox::Settings::default().secret_key;
        let transport = self.sandbox.in_process();
        let engine =
            open::engine(&settings, store.clone(), transport, &secret_key, Chance::seeded(12), true).await.unwrap();
        World { round: Round::new(engine.clone()), engine, store, settings, ..self }
    }

    /// A copy of the books as they are now, and the world that goes on from it.
    pub async fn backed_up(self) -> (World, String) {
        self.store.close().await;
        let url = self.settings.database.url.expose_secret().to_owned();
        let copy = match url.strip_prefix("sqlite:") {
            Some(path) => {
                let copy = format!("{path}.backup");
                std::fs::copy(path, &copy).unwrap();
                format!("sqlite:{copy}")
            }
            None => Cluster::shared().copy_of(&url),
        };
        (self.restarted(None).await, copy)
    }

    /// Hands over a subscription whose wallet is `src_` and its reference.
    pub async fn hand_over(&self, reference: &str, plan: &str, anchor_on: &str, next_charge_on: Option<&str>) {
        self.hand_over_on(&source_of(reference), reference, plan, anchor_on, next_charge_on).await;
    }

    /// The same on a wallet of its own.
    pub async fn hand_over_on(
        &self,
        source_id: &str,
        reference: &str,
        plan: &str,
        anchor_on: &str,
        next_charge_on: Option<&str>,
    ) {
        let hand_over = handed_over(source_id, reference, plan, anchor_on, next_charge_on);
        let acceptable = self.engine.acceptable(hand_over).unwrap();
        self.engine.hand_over(&[acceptable]).await.unwrap();
    }

    /// Goes through time to `until`, stopping wherever the books have something to do.
    pub async fn run_until(&mut self, until: &str) {
        let until = at(until);
        loop {
            self.round.until_quiet().await.unwrap();
            let now = self.clock.now();
            match self.store.next_work_at().await.unwrap() {
                Some(next) if next <= until && now < until => {
                    // What is due and yet not done waits for the budget or the circuit, and the daemon comes round again.
                    let comes_round = now + chrono::TimeDelta::seconds(15);
                    self.clock.advance_to(if next > now { next } else { comes_round.min(until) });
                }
                _ => break,
            }
        }
        self.clock.advance_to(until);
        self.round.until_quiet().await.unwrap();
    }

    /// The text cells that a query gives, a row a line, cells separated by one space. Its one column is called `line`.
    pub async fn lines(&self, query: &'static str) -> Vec<String> {
        lines(&self.store, query).await
    }

    /// Charges as `reference/period state`, in order.
    pub async fn charges(&self) -> Vec<String> {
        self.lines(
            "SELECT s.reference || '/' || CAST(c.period_index AS TEXT) || ' ' || c.state AS line FROM charges c \
             JOIN subscriptions s ON s.id = c.subscription_id ORDER BY s.reference, c.period_index",
        )
        .await
    }

    /// Attempts as `reference/period/n state`, in order.
    pub async fn attempts(&self) -> Vec<String> {
        self.lines(
            "SELECT s.reference || '/' || CAST(c.period_index AS TEXT) || '/' || CAST(a.n AS TEXT) || ' ' || a.state AS line \
             FROM attempts a JOIN charges c ON c.id = a.charge_id JOIN subscriptions s ON s.id = c.subscription_id \
             ORDER BY s.reference, c.period_index, a.n",
        )
        .await
    }

    /// Subscriptions as `reference state`, in order.
    pub async fn subscriptions(&self) -> Vec<String> {
        self.lines("SELECT reference || ' ' || state AS line FROM subscriptions ORDER BY reference").await
    }

    /// The reasons of open review cases, in order.
    pub async fn reviews(&self) -> Vec<String> {
        self.lines("SELECT reason AS line FROM review_cases WHERE resolved_at IS NULL ORDER BY reason").await
    }

    /// What our books say was taken, in minor units.
    pub async fn collected_minor(&self) -> i64 {
        let text = "SELECT CAST(COALESCE(SUM(captured_minor), 0) AS BIGINT) AS sum FROM payments";
        let row: SumRow = self.store.read_one(Statement::new(text)).await.unwrap();
        row.sum
    }

    /// Our books and the sandbox's are equal to the cent, and no period was paid twice.
    pub async fn assert_books_agree(&self) {
        let theirs = self.sandbox.books();
        assert_eq!(self.collected_minor().await, theirs.captured_minor("HKD"));
        for (reference, captures) in theirs.captures_by_reference() {
            assert!(captures <= 1, "{reference} was captured {captures} times");
        }
        assert_eq!(theirs.rule_breaches.total(), 0, "{:?}", theirs.rule_breaches);
        assert!(theirs.unknown_fields.is_empty(), "{:?}", theirs.unknown_fields);
    }
}

/// The wallet's source id that a reference has in a test.
pub fn source_of(reference: &str) -> String {
    let word: String = reference.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("src_{:a<26}", word.to_lowercase())
}

row! { LineRow { line: String } }
row! { SumRow { sum: i64 } }

/// The text cells that a query gives, whose one column is called `line`.
pub async fn lines(store: &Store, query: &'static str) -> Vec<String> {
    let rows: Vec<LineRow> = store.read(Statement::new(query)).await.unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

/// The number that a query gives; its one column is called `sum`.
pub async fn count(store: &Store, query: &'static str) -> i64 {
    let row: SumRow = store.read_one(Statement::new(query)).await.unwrap();
    row.sum
}

/// A subscription as a merchant hands it over.
pub fn handed_over(
    source_id: &str,
    reference: &str,
    plan: &str,
    anchor_on: &str,
    next_charge_on: Option<&str>,
) -> HandOver {
    HandOver {
        reference: reference.to_owned(),
        plan: plan.to_owned(),
        source_id: source_id.to_owned(),
        first_payment_id: None,
        customer: NewCustomer {
            reference: format!("customer of {reference}"),
            name: Some("Wallet Customer".to_owned()),
            email: Some(format!("{}@example.com", reference.to_lowercase())),
            country: "HK".to_owned(),
        },
        anchor_on: anchor_on.parse().unwrap(),
        zone: "Asia/Hong_Kong".parse().unwrap(),
        next_charge_on: next_charge_on.map(|on| on.parse().unwrap()),
    }
}
