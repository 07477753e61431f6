//! The daemon: one loop a verb, woken by cron lines, bells and landing answers; signals, readiness and the watchdog around them.

mod alert;
mod greet;
mod health;
mod http;
mod metrics;
mod page;
mod reload;
mod snapshot;
mod verbs;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use secrecy::SecretString;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::{self, Settings, Sources};
use crate::engine::beat::BeatError;
use crate::engine::schedule::{Cron, CronBells};
use crate::engine::{Engine, EngineError, Rules, open};
use crate::gateway::http::Http;
use crate::interfaces::kept_files::KeptFiles;
use crate::interfaces::systemd;
use crate::store::{DatabaseUrl, Store, StoreError};
use health::Health;
use verbs::{AuditVerb, BillVerb, CollectVerb, DunVerb, ReconcileVerb};

/// Between two tries to reach the database at the start.
const DATABASE_AGAIN: Duration = Duration::from_secs(2);
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
        tracing::error!("the plans of the books are in use: {}", withheld(&engine.rules.withheld));
    }
    tracing::info!(
        node = %engine.node,
        database = engine.store.kind(),
        gateway = settings.gateway.url,
        "dues runs"
    );
    let replaced = live(&engine, &health, &settings, &sources, &rules_sent, &mut signals).await;

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
        if !matches!(tokio::time::timeout(DATABASE_AGAIN, stopped).await, Ok(Ok(()))) {
            tracing::warn!("the books could not be told of the stop; the next start looks as after a crash");
        }
    }
    // A connection that is lost in a wait for its lock must not hold up the end of the process.
    let closed = tokio::time::timeout(DATABASE_AGAIN, engine.store.close()).await;
    if closed.is_err() {
        tracing::warn!("the database did not close in time; nothing is lost by that");
    }
    let round_trips = engine.store.round_trips();
    let round_trips: Vec<String> = round_trips.iter().map(|(work, trips)| format!("{work} {trips}")).collect();
    tracing::info!(round_trips = round_trips.join(", "), "stopped");
    replaced.map_or(Ok(()), |error| Err(error.into()))
}

/// Opens the books, waiting for a database that is away. None: told to stop meanwhile.
async fn open_engine(
    settings: &Settings,
    clock: &Clock,
    transport: Arc<Http>,
    secret_key: &SecretString,
    health: &Health,
    signals: &mut Signals,
) -> anyhow::Result<Option<Engine>> {
    let mut told = false;
    loop {
        let opened = async {
            let store = open::books(settings, clock).await?;
            let chance = Chance::from_system();
            let migrate = settings.database.migrate;
            open::engine(settings, store, transport.clone(), secret_key, chance, migrate).await
        };
        let error = match opened.await {
            Ok(engine) => {
                health.database_answers();
                return Ok(Some(engine));
            }
            Err(error) if error.may_pass() => error,
            Err(error) => return Err(error.into()),
        };
        if !wait_for_database(&error, &mut told, health, signals).await {
            return Ok(None);
        }
    }
}

/// Takes the daemon's name, waiting for a database that is away; where the file `is_locked`, every lease on it is given back as well. How
/// many attempts a former process left behind. None: told to stop meanwhile.
async fn take_name(
    engine: &Engine,
    verify_first: bool,
    is_locked: bool,
    health: &Health,
    signals: &mut Signals,
) -> anyhow::Result<Option<u64>> {
    let mut told = false;
    loop {
        let taken = async {
            let released = engine.take_name(verify_first).await?;
            if !is_locked {
                return Ok(released);
            }
            let all = engine.store.release_all_leases(engine.clock.now()).await;
            Ok(released + all.map_err(EngineError::of("take name"))?)
        };
        match taken.await {
            Ok(released) => {
                health.database_answers();
                return Ok(Some(released));
            }
            Err(BeatError::Engine(EngineError::Store { source, .. })) if source.may_pass() => {
                if !wait_for_database(&source, &mut told, health, signals).await {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Says once that the database is waited for, and waits a little. False: told to stop meanwhile.
async fn wait_for_database(error: &StoreError, told: &mut bool, health: &Health, signals: &mut Signals) -> bool {
    health.database_fails(error);
    if !*told {
        *told = true;
        tracing::error!(error = %chain(error), "the database does not answer; dues waits for it");
        // Alive, though not of use yet: readiness says so, and a restart would not help.
        systemd::ready();
        systemd::status("waiting for the database");
    }
    systemd::watchdog();
    tokio::select! {
        biased;
        () = signals.stop() => false,
        () = tokio::time::sleep(DATABASE_AGAIN) => true,
    }
}

/// Signs of life and reloads, until told to stop. Some: another process has taken this daemon's name.
async fn live(
    engine: &Engine,
    health: &Health,
    settings: &Settings,
    sources: &Sources,
    rules: &watch::Sender<Arc<Rules>>,
    signals: &mut Signals,
) -> Option<BeatError> {
    let mut engine = engine.clone();
    let every = systemd::watchdog_interval().map_or(SIGN_OF_LIFE, |interval| SIGN_OF_LIFE.min(interval / 3));
    loop {
        tokio::select! {
            biased;
            told = signals.next() => match told {
                Told::Stop => return None,
                Told::Reload => {
                    systemd::reloading();
                    reload(&engine, settings, sources, rules, health).await;
                    engine.rules = Arc::clone(&rules.borrow());
                    systemd::ready();
                }
            },
            () = tokio::time::sleep(every) => {
                match engine.beat().await {
                    Ok(beat) => health.stands(&beat),
                    Err(error @ BeatError::Replaced(_)) => {
                        tracing::error!(%error, "this daemon ends");
                        return Some(error);
                    }
                    Err(BeatError::Engine(EngineError::Store { source, .. })) => health.database_fails(&source),
                    Err(BeatError::HighWater(error)) => tracing::error!(%error, "the mark outside the books is not known"),
                }
                if health.loops_come_round() {
                    systemd::watchdog();
                }
                systemd::status(&health.line());
            }
        }
    }
}

/// Takes up plans, dunning, declines and times from a config that is right, and names what it leaves; a wrong one changes nothing, and
/// the status line says so until a right one is taken up.
async fn reload(
    engine: &Engine,
    running: &Settings,
    sources: &Sources,
    rules: &watch::Sender<Arc<Rules>>,
    health: &Health,
) {
    let refused = match new_rules(engine, running, sources).await {
        Ok((loaded, left_out)) => {
            rules.send_replace(Arc::new(loaded));
            if left_out.is_empty() {
                tracing::info!("the new config is in use");
            } else {
                let keys = left_out.join(", ");
                tracing::warn!("these keys change only by a restart: {keys}; the rest of the new config is in use");
            }
            None
        }
        Err(why) => {
            tracing::error!("the new config is refused; the old one stays: {why}");
            Some(why)
        }
    };
    health.reload_was_refused(refused);
    systemd::status(&health.line());
}

/// The rules of a new config, and the changed keys that are not taken up with them; or why there are none.
async fn new_rules(
    engine: &Engine,
    running: &Settings,
    sources: &Sources,
) -> Result<(Rules, Vec<&'static str>), String> {
    let loaded = config::load(sources).map_err(|faults| faults.to_string())?.settings;
    let left_out = reload::left_out(running, &loaded).map_err(|refused| refused.to_string())?;
    // Asked first, so that a config that is refused has written nothing.
    let held = Rules::withheld_of(&loaded, &engine.store).await.map_err(|error| chain(&error))?;
    if !held.is_empty() {
        return Err(withheld(&held));
    }
    let rules = Rules::load(&loaded, &engine.store).await.map_err(|error| chain(&error))?;
    Ok((rules, left_out))
}

/// What a plan whose price is not agreed on waits for.
fn withheld(names: &BTreeSet<String>) -> String {
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
        text.push_str(": ");
        text.push_str(&it.to_string());
        cause = it.source();
    }
    text
}

/// What the process is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Stop,
    Reload,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::sandbox::{self, Sandbox, Script};
    use crate::store::db::{Asked, Hook, Moment, Trouble};

    /// A database that is away for the first step of taking the name.
    #[derive(Debug, Default)]
    struct AwayOnce(AtomicU32);

    impl Hook for AwayOnce {
        fn at(&self, moment: Moment) -> Asked<'_> {
            let fails = moment.work == "take name" && self.0.fetch_add(1, Ordering::SeqCst) < 1;
            Box::pin(std::future::ready(if fails { Err(Trouble::Cut) } else { Ok(()) }))
        }
    }

    #[tokio::test]
    async fn a_name_is_taken_when_the_database_is_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", directory.path().join("dues.db").display());
        let flags = [("installation.name", "books"), ("database.url", &*url)];
        let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = config::load(&Sources::of_flags(flags.to_vec())).expect("the settings are right").settings;
        let clock = Clock::system();
        let gateway = sandbox::Settings::default();
        let key = gateway.secret_key.clone();
        let transport = Sandbox::new(gateway, Script::default(), clock.clone(), 1).in_process();
        let store = open::books(&settings, &clock).await.expect("the file is made");
        let mut engine =
            open::engine(&settings, store, transport, &key, Chance::seeded(1), true).await.expect("it opens");
        engine.store = engine.store.with_hook(Arc::new(AwayOnce::default()));
        let (health, mut signals) = (Health::new(clock), Signals::listen().expect("signals"));
        let taken = take_name(&engine, false, true, &health, &mut signals).await.expect("it waits");
        assert_eq!(taken, Some(0));
        assert!(health.not_ready().is_empty());
    }
}
