//! The daemon: one loop a verb, woken by cron lines, bells and landing answers; signals, readiness and the watchdog around them.

mod alert;
mod greet;
mod health;
mod http;
mod living;
mod metrics;
mod opening;
mod page;
mod reload;
mod signals;
mod snapshot;
mod verbs;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use secrecy::SecretString;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Settings, Sources};
use crate::engine::schedule::{Cron, CronBells};
use crate::gateway::http::Http;
use crate::interfaces::kept_files::KeptFiles;
use crate::interfaces::systemd;
use crate::store::{DatabaseUrl, Store, StoreError};
use health::Health;
use living::Living;
use opening::{open_engine, take_name};
use signals::Signals;
use verbs::{AuditVerb, BillVerb, CollectVerb, DunVerb, ReconcileVerb};

/// So long the database is waited for at the end, twice.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Between two signs of life: heartbeat, status line, watchdog.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Runs until it is told to stop.
///
/// # Errors
/// What keeps it from running: a pin that disagrees, a second daemon on the file, a port that is taken.
pub async fn run(
    settings: Settings,
    sources: Sources,
    secret_key: &SecretString,
    verify_first: bool,
) -> anyhow::Result<()> {
    let clock = Clock::system();
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let url = DatabaseUrl::parse(secrecy::ExposeSecret::expose_secret(&settings.database.url))?;
    let lock = Store::lock_file(&url)?;
    let health = Arc::new(Health::new(clock.clone()));
    let stop = CancellationToken::new();
    let tracker = TaskTracker::new();
    if let Some(address) = settings.http_listen {
        let server = http::Server::bind(address).await?;
        tracker.spawn(server.serve(Arc::clone(&health), stop.clone()));
    }
    if let Some(address) = settings.return_listen {
        let page = page::Page::bind(address).await?;
        tracker.spawn(page.serve(stop.clone()));
    }
    let transport = Arc::new(Http::new(&settings.gateway)?);
    let Some(engine) = open_engine(&settings, &clock, transport, secret_key, &health, &mut signals).await? else {
        tracing::info!("stopped before the database was reached");
        return Ok(());
    };
    engine.steady.await_gateway();
    engine.steady.expect_rounds(engine.clock.since_boot());
    health.watch(&engine);
    let Some(released) = take_name(&engine, verify_first, lock.is_some(), &health, &mut signals).await? else {
        tracing::info!("stopped before the database was reached");
        return Ok(());
    };
    if released > 0 {
        tracing::info!(attempts = released, "a former process left work behind; it is taken up now");
    }
    if engine.high_water.path().is_none() {
        tracing::warn!("installation.high_water_file has no place: a restored backup is known by its age alone");
    }
    let (rules_sent, rules) = watch::channel(Arc::clone(&engine.rules));
    let cron_bells = CronBells::default();
    let cron = Cron::start(&settings.schedule, &cron_bells).await.context("the cron lines could not be started")?;
    let daemon = verbs::Daemon { health: Arc::clone(&health), stop: stop.clone(), rules };
    let own = Arc::new(Notify::new());
    daemon.spawn(&tracker, BillVerb::new(engine.clone()), &cron_bells.bill, &own);
    daemon.spawn(&tracker, DunVerb::new(engine.clone()), &cron_bells.dun, &own);
    // Nothing rings for the audit: it comes round by itself, and is never in a hurry.
    daemon.spawn(&tracker, AuditVerb::new(&engine), &own, &own);
    daemon.spawn(&tracker, CollectVerb::new(&engine), &cron_bells.collect, &engine.bells.collect);
    daemon.spawn(&tracker, ReconcileVerb::new(&engine), &cron_bells.reconcile, &engine.bells.reconcile);
    tracker.spawn(greet::greet(engine.clone(), stop.clone()));
    tracker.spawn(alert::follow(engine.clone(), settings.alerts_command.clone(), stop.clone()));
    if let Some(place) = settings.finance.snapshot.clone() {
        let every = settings.finance.snapshot_every;
        let kept = KeptFiles::of(&sources, &settings);
        tracker.spawn(snapshot::follow(engine.store.clone(), place, kept, every, stop.clone()));
    }
    systemd::ready();
    if !engine.rules.withheld.is_empty() {
        health.withholds(engine.rules.withheld.clone());
        tracing::error!("the plans of the books are in use: {}", withheld(&engine.rules.withheld));
    }
    tracing::info!(
        node = %engine.node,
        database = engine.store.kind(),
        gateway = settings.gateway.url,
        "dues runs"
    );
    let living =
        Living { engine: engine.clone(), health: &health, settings: &settings, sources: &sources, rules: &rules_sent };
    let replaced = living.until_stopped(&mut signals).await;

    systemd::stopping();
    tracing::info!("stopping: nothing new is sent, answers under way are awaited");
    stop.cancel();
    cron.stop().await;
    tracker.close();
    let drained = tokio::select! {
        biased;
        () = signals.stop() => false,
        done = tokio::time::timeout(settings.engine.stop_wait, tracker.wait()) => done.is_ok(),
    };
    if !drained {
        tracing::warn!("answers are still under way; they are looked up at the next start");
    }
    if replaced.is_none() {
        let stopped = engine.store.node_stopped(&engine.node, &engine.process, clock.now());
        if !matches!(tokio::time::timeout(LAST_WORDS, stopped).await, Ok(Ok(()))) {
            tracing::warn!("the books could not be told of the stop; the next start looks as after a crash");
        }
    }
    // A connection that is lost in a wait for its lock must not hold up the end of the process.
    let closed = tokio::time::timeout(LAST_WORDS, engine.store.close()).await;
    if closed.is_err() {
        tracing::warn!("the database did not close in time; nothing is lost by that");
    }
    let round_trips = engine.store.round_trips();
    let round_trips: Vec<String> = round_trips.iter().map(|(work, trips)| format!("{work} {trips}")).collect();
    tracing::info!(round_trips = round_trips.join(", "), "stopped");
    replaced.map_or(Ok(()), |error| Err(error.into()))
}

/// How often a sign of life is given.
fn sign_of_life() -> Duration {
    systemd::watchdog_interval().map_or(SIGN_OF_LIFE, |interval| SIGN_OF_LIFE.min(interval / 3))
}

/// What plans whose price is not agreed on wait for.
pub(super) fn withheld(names: &BTreeSet<String>) -> String {
    let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    format!(
        "the price of {names} changes by more than limits.price_change_percent: `dues plans` shows it, and \
         `dues plans --accept PLAN --reason TEXT` takes it up"
    )
}

/// An error and its causes in one line.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(it) = cause {
        // Some libraries repeat a cause in the text above it.
        let words = it.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = it.source();
    }
    text
}
