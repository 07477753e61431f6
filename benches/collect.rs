//! How many charges a second `dues run` collects and reconciles against the sandbox at zero latency, as its own process, on both
//! databases, with everything on this machine's cores. The figure that counts is a ratio taken in one run: sets against one row at a
//! time. What the due scans cost as the books grow, `benches/scan.rs` shows.
//!
//! `cargo bench --bench collect` · `-- --charges 20000` · `-- sqlite` · `-- postgres` · `-- --sets` (no ratio) · `-- --memory --charges 100000`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot go on ends")]
#![allow(clippy::float_arithmetic, reason = "rates for a person to read, not money")]

#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dues::chance::Chance;
use dues::clock::Clock;
use dues::config::{self, Sources};
use dues::engine::hand_over::HandOver;
use dues::engine::open;
use dues::sandbox::{self, Sandbox, Script};
use dues::store::customers::NewCustomer;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let charges = number_after(&arguments, "--charges").unwrap_or(20_000);
    let only = |word: &str| arguments.iter().any(|it| it == word);
    let all = !only("sqlite") && !only("postgres");
    print_profile();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _provider = rustls::crypto::ring::default_provider().install_default();
    for database in ["sqlite", "postgres"] {
        if !all && !only(database) {
            continue;
        }
        if only("--memory") {
            // Resident memory is promised for the default sizes of the engine's work.
            let sizes = [("engine.batch", "500"), ("engine.in_flight", "128"), ("engine.record_linger", "20ms")];
            runtime.block_on(measure(database, charges, &sizes)).print(database);
            continue;
        }
        let sets = runtime.block_on(measure(database, charges, &[]));
        sets.print(database);
        if only("--sets") {
            continue;
        }
        let single = [("engine.batch", "1"), ("engine.in_flight", "1"), ("engine.record_linger", "0s")];
        let rows = runtime.block_on(measure(database, charges / 20, &single));
        println!(
            "{database}: sets of rows collect {:.1} times as many charges a second as one row at a time ({:.0} against {:.0})\n",
            sets.rate() / rows.rate(),
            sets.rate(),
            rows.rate()
        );
    }
}

fn number_after(arguments: &[String], name: &str) -> Option<u32> {
    let place = arguments.iter().position(|it| it == name)?;
    arguments.get(place + 1)?.parse().ok()
}

fn print_profile() {
    println!("Every key that differs from the defaults (config/bench.toml):");
    for line in include_str!("../config/bench.toml").lines() {
        if !line.is_empty() && !line.starts_with('#') {
            println!("  {line}");
        }
    }
    println!();
}

/// What one run came to.
struct Measured {
    charges: u32,
    took: Duration,
    peak_kib: u64,
    ready: Duration,
    round_trips: String,
}

impl Measured {
    fn rate(&self) -> f64 {
        f64::from(self.charges) / self.took.as_secs_f64()
    }

    fn print(&self, database: &str) {
        println!(
            "{database}: {} charges paid in the sandbox's books in {:.2} s: {:.0} a second; peak resident memory {} MiB; \
             start to ready {} ms",
            self.charges,
            self.took.as_secs_f64(),
            self.rate(),
            self.peak_kib / 1024,
            self.ready.as_millis()
        );
        println!("{database}: round trips to the database by work: {}", self.round_trips);
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures this machine's time")]
async fn measure(database: &str, charges: u32, flags: &[(&str, &str)]) -> Measured {
    let directory = tempfile::tempdir().unwrap();
    let url = match database {
        "sqlite" => format!("sqlite:{}", directory.path().join("dues.db").display()),
        _ => std::env::var("DUES_BENCH_POSTGRES").unwrap_or_else(|_| postgres::Cluster::shared().new_database()),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = format!("http://{}", listener.local_addr().unwrap());
    let settings = sandbox::Settings { settle_after: Duration::ZERO, ..sandbox::Settings::default() };
    let sandbox = Sandbox::new(settings, Script::default(), Clock::system(), 1);
    let serving = sandbox.clone();
    let server = tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
    let mut all: Vec<(String, String)> =
        flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    all.push(("database.url".to_owned(), url));
    all.push(("gateway.url".to_owned(), gateway));
    hand_over(charges, &all, &sandbox).await;

    let started = std::time::Instant::now();
    let mut daemon = start(&all);
    let mut log = BufReader::new(daemon.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("dues runs") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the daemon ended before it was ready");
    }
    let ready = started.elapsed();
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        for line in log.lines().map_while(Result::ok) {
            rest.push(line);
        }
        rest
    });
    let mut begun = started;
    loop {
        let paid = paid_in_sandbox(&sandbox);
        if paid == 0 {
            begun = std::time::Instant::now();
        }
        if paid >= u64::from(charges) && settled_in_books(&all).await >= i64::from(charges) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(600), "the run does not end: {paid} of {charges}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = begun.elapsed();
    let peak_kib = peak_of(&daemon);
    let stopped = Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert!(daemon.wait().unwrap().success(), "the daemon stops with exit code 0");
    let rest = reader.join().unwrap();
    for line in rest.iter().filter(|line| line.contains("ERROR") || line.contains("WARN")) {
        println!("the daemon said: {line}");
    }
    let round_trips = rest.iter().rev().find_map(|line| line.split("\"round_trips\":\"").nth(1)).unwrap_or_default();
    server.abort();
    let round_trips = round_trips.split('"').next().unwrap_or_default().to_owned();
    Measured { charges, took, peak_kib, ready, round_trips }
}

fn paid_in_sandbox(sandbox: &Sandbox) -> u64 {
    let summary = sandbox.summary();
    assert_eq!(summary.references_captured_twice, 0, "a period was charged twice");
    summary.payments
}

async fn settled_in_books(flags: &[(String, String)]) -> i64 {
    let settings = settings(flags);
    let store = open::books(&settings, &Clock::system()).await.unwrap();
    let months = store.months().await.unwrap();
    store.close().await;
    months.iter().map(|month| month.collected_minor / 12_800).sum()
}

fn settings(flags: &[(String, String)]) -> config::Settings {
    let file = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/bench.toml");
    let sources = Sources { file: Some(file), environment: Vec::new(), flags: flags.to_vec() };
    match config::load(&sources) {
        Ok(loaded) => loaded.settings,
        Err(faults) => panic!("{faults}"),
    }
}

async fn hand_over(charges: u32, flags: &[(String, String)], sandbox: &Sandbox) {
    let settings = settings(flags);
    let now = Clock::system().now();
    // The books are two days old, so that what falls due yesterday did so while they stood: new books look it up before its first send.
    let begun = Duration::from_hours(48);
    let clock = Clock::manual(now - begun);
    let store = open::books(&settings, &clock).await.unwrap();
    let key = sandbox::Settings::default().secret_key;
    let transport = sandbox.in_process();
    let engine = open::engine(&settings, store, transport, &key, Chance::seeded(1), true).await.unwrap();
    clock.advance(begun);
    let today = now.date_naive() - chrono::Days::new(1);
    let mut set = Vec::new();
    for number in 0..charges {
        let hand_over = HandOver {
            reference: format!("BENCH-{number:06}"),
            plan: "bench".to_owned(),
            source_id: format!("src_{number:026}"),
            first_payment_id: None,
            customer: NewCustomer {
                reference: format!("BENCH-{number:06}"),
                name: Some("Wallet Customer".to_owned()),
                email: Some(format!("customer-{number}@example.com")),
                country: "HK".to_owned(),
            },
            anchor_on: today,
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
    // What is measured is collecting and reconciling; the periods are opened beforehand.
    while engine.bill().await.unwrap().done > 0 {}
    engine.store.close().await;
}

fn start(flags: &[(String, String)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
    command.arg("--config").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/config/bench.toml"));
    for (key, value) in flags {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    command.arg("run").env("DUES_SECRET_KEY", "sk_sbox_simulated").stderr(Stdio::piped()).stdout(Stdio::null());
    command.spawn().unwrap()
}

/// The highest resident memory of a process so far, in KiB.
fn peak_of(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
