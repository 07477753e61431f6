//! What the due scans cost as the books grow: 10,000 due among a hundred thousand subscriptions, each with a paid charge behind it,
//! against 10,000 due among a million. Both are measured in one run, on both databases; what counts is the ratio.
//!
//! `cargo bench --bench scan` · `-- sqlite` · `-- postgres` · `-- --few 10000 --many 100000`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot go on ends")]
#![allow(clippy::float_arithmetic, reason = "ratios for a person to read, not money")]

#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use dues::chance::Chance;
use dues::clock::Clock;
use dues::config::{self, Sources};
use dues::engine::hand_over::HandOver;
use dues::engine::{Engine, open};
use dues::sandbox::{self, Sandbox, Script};
use dues::store::attempts::Lease;
use dues::store::customers::NewCustomer;
use dues::store::db::Statement;

/// How many are due, whatever stands beside them.
const DUE: u32 = 10_000;
/// A scan is measured so often, and its shortest time counts.
const TIMES: usize = 5;

/// Subscriptions beside the one that was handed over, the first `$2` of them due at `$3`, the others at `$4`; behind each a schedule
/// and a paid period.
const GROW: [(&str, &[Given]); 4] = [
    (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
         INSERT INTO subscriptions (public_id, reference, customer_id, source_id, state, handed_over_at, next_index, \
         next_charge_at, bill_at, created_at) SELECT 'sub_' || n.i, 'many ' || n.i, s.customer_id, s.source_id, 'active', \
         s.created_at, 1, s.next_charge_at, CASE WHEN n.i <= $2 THEN $3 ELSE $4 END, s.created_at \
         FROM n, subscriptions s WHERE s.reference = 'SEED'",
        &[Given::Rows, Given::Due, Given::Now, Given::Later],
    ),
    (
        "INSERT INTO segments (subscription_id, first_index, plan_id, anchor_on, zone, hour, interval_unit, interval_count) \
         SELECT s.id, g.first_index, g.plan_id, g.anchor_on, g.zone, g.hour, g.interval_unit, g.interval_count \
         FROM subscriptions s, segments g JOIN subscriptions o ON o.id = g.subscription_id \
         WHERE o.reference = 'SEED' AND s.reference <> 'SEED'",
        &[],
    ),
    (
        "INSERT INTO charges (public_id, subscription_id, period_index, period_start_at, period_end_at, plan_id, reference, \
         amount_minor, currency, state, due_at, opened_at, paid_at, paid_by) SELECT 'chg_' || s.id, s.id, 0, $1, $1, g.plan_id, \
         'many ' || s.id, 12800, 'HKD', 'paid', $1, $1, $1, 'pay_' || s.id \
         FROM subscriptions s JOIN segments g ON g.subscription_id = s.id WHERE s.reference <> 'SEED'",
        &[Given::Now],
    ),
    (
        "INSERT INTO attempts (charge_id, n, idempotency_key, kind, state, customer_id, payment_id, lease_until, lease_epoch, \
         sends, looks, late_looks, first_sent_at, last_sent_at, server_error, created_at, settled_at) \
         SELECT c.id, 1, 'many ' || c.id, 'recurring', 'captured', s.customer_id, c.paid_by, $1, 1, 1, 0, 0, $1, $1, 0, $1, $1 \
         FROM charges c JOIN subscriptions s ON s.id = c.subscription_id WHERE c.state = 'paid'",
        &[Given::Now],
    ),
];

/// What a statement above is given, in the order of its places.
#[derive(Clone, Copy)]
enum Given {
    Rows,
    Due,
    Now,
    Later,
}

/// The three costs of one size.
struct Cost {
    subscriptions: u32,
    to_bill: Duration,
    to_send: Duration,
    bill: Duration,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let few = number_after(&arguments, "--few").unwrap_or(100_000);
    let many = number_after(&arguments, "--many").unwrap_or(1_000_000);
    let named = |word: &str| arguments.iter().any(|it| it == word);
    let all = !named("sqlite") && !named("postgres");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _provider = rustls::crypto::ring::default_provider().install_default();
    for database in ["sqlite", "postgres"] {
        if all || named(database) {
            let (few, many) = runtime.block_on(async { (measure(database, few).await, measure(database, many).await) });
            report(database, &few, &many);
        }
    }
}

fn number_after(arguments: &[String], name: &str) -> Option<u32> {
    let place = arguments.iter().position(|it| it == name)?;
    arguments.get(place + 1)?.parse().ok()
}

fn report(database: &str, few: &Cost, many: &Cost) {
    println!("{database}: {DUE} due among {} subscriptions, against among {}", few.subscriptions, many.subscriptions);
    for (what, small, large) in [
        ("the scan of bill", few.to_bill, many.to_bill),
        ("the scan of collect", few.to_send, many.to_send),
        ("bill, all of it", few.bill, many.bill),
    ] {
        println!(
            "{database}: {what}: {:.1} ms against {:.1} ms, {:.2} times as much",
            small.as_secs_f64() * 1e3,
            large.as_secs_f64() * 1e3,
            large.as_secs_f64() / small.as_secs_f64()
        );
    }
    println!();
}

#[expect(clippy::disallowed_methods, reason = "a bench measures this machine's time")]
async fn measure(database: &str, subscriptions: u32) -> Cost {
    let directory = tempfile::tempdir().unwrap();
    let url = match database {
        "sqlite" => format!("sqlite:{}", directory.path().join("dues.db").display()),
        _ => postgres::Cluster::shared().new_database(),
    };
    let engine = books(&url, subscriptions).await;
    let now = engine.clock.now();
    let mut to_bill = Duration::MAX;
    for _ in 0..TIMES {
        let mut tx = engine.store.begin("bench").await.unwrap();
        let began = std::time::Instant::now();
        let rows = tx.subscriptions_to_bill(now, 2 * DUE).await.unwrap();
        to_bill = to_bill.min(began.elapsed());
        assert_eq!(u32::try_from(rows.len()), Ok(DUE));
    }
    let began = std::time::Instant::now();
    while engine.bill().await.unwrap().done > 0 {}
    let bill = began.elapsed();
    let mut to_send = Duration::MAX;
    for _ in 0..TIMES {
        let mut tx = engine.store.begin("bench").await.unwrap();
        let claim = Lease { owner: "bench", now: engine.clock.now(), until: now, charge_id: None, limit: 2 * DUE };
        let began = std::time::Instant::now();
        let rows = tx.claim_to_send(&claim).await.unwrap();
        to_send = to_send.min(began.elapsed());
        assert_eq!(u32::try_from(rows.len()), Ok(DUE));
    }
    engine.store.close().await;
    Cost { subscriptions, to_bill, to_send, bill }
}

async fn books(url: &str, subscriptions: u32) -> Engine {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/bench.toml");
    let flags = vec![("database.url".to_owned(), url.to_owned())];
    let loaded = config::load(&Sources { file: Some(file), environment: Vec::new(), flags });
    let settings = loaded.unwrap_or_else(|faults| panic!("{faults}")).settings;
    let clock = Clock::system();
    let store = open::books(&settings, &clock).await.unwrap();
    let sandbox = Sandbox::new(sandbox::Settings::default(), Script::default(), clock.clone(), 1);
    let key = sandbox::Settings::default().secret_key;
    let engine = open::engine(&settings, store, sandbox.in_process(), &key, Chance::seeded(1), true).await.unwrap();
    let now = clock.now();
    let hand_over = HandOver {
        reference: "SEED".to_owned(),
        plan: "bench".to_owned(),
        source_id: format!("src_{:026}", 0),
        first_payment_id: None,
        customer: NewCustomer {
            reference: "SEED".to_owned(),
            name: Some("Wallet Customer".to_owned()),
            email: Some("customer@example.com".to_owned()),
            country: "HK".to_owned(),
        },
        // Its second period began yesterday at the latest, and its third has not begun.
        anchor_on: now.date_naive() - chrono::Days::new(33),
        zone: "Asia/Hong_Kong".parse().unwrap(),
        next_charge_on: None,
    };
    engine.hand_over(&[engine.acceptable(hand_over).unwrap()]).await.unwrap();
    let later = now + TimeDelta::days(20);
    let mut tx = engine.store.begin("grow").await.unwrap();
    tx.run(Statement::new("UPDATE subscriptions SET bill_at = $1").bind(later)).await.unwrap();
    for (text, given) in GROW {
        let statement = given.iter().fold(Statement::new(text), |statement, it| match it {
            Given::Rows => statement.bind(subscriptions),
            Given::Due => statement.bind(DUE),
            Given::Now => statement.bind(now - TimeDelta::hours(1)),
            Given::Later => statement.bind(later),
        });
        tx.run(statement).await.unwrap();
    }
    tx.run(Statement::new("ANALYZE")).await.unwrap();
    tx.commit().await.unwrap();
    engine
}
