//! The way to the books: opening them and taking the daemon's name, waiting for a database that is away. Alive meanwhile, though not of
//! use yet: readiness says so, and neither a restart nor the watchdog would help.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::chain;
use super::health::Health;
use super::signals::{Signals, Told};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::Settings;
use crate::engine::beat::BeatError;
use crate::engine::{Engine, EngineError, open};
use crate::gateway::transport::Transport;
use crate::interfaces::systemd;
use crate::store::StoreError;

/// Between two tries to reach the database.
const AGAIN: Duration = Duration::from_secs(2);

/// Opens the books, waiting for a database that is away. None: told to stop meanwhile.
pub(super) async fn open_engine(
    settings: &Settings,
    clock: &Clock,
    transport: Arc<dyn Transport>,
    secret_key: &SecretString,
    health: &Health,
    signals: &mut Signals,
) -> anyhow::Result<Option<Engine>> {
    let mut told = false;
    loop {
        let opened = async {
            let store = open::books(settings, clock).await?.impatient();
            let chance = Chance::from_system();
            let migrate = settings.database.migrate;
            open::engine(settings, store, Arc::clone(&transport), secret_key, chance, migrate).await
        };
        let error = match signals.unless_stopped(alive_during(opened)).await {
            None => return Ok(None),
            Some(Ok(engine)) => {
                health.database_answers();
                return Ok(Some(engine));
            }
            Some(Err(error)) if error.may_pass() => error,
            Some(Err(error)) => return Err(error.into()),
        };
        if !wait_for_database(&error, &mut told, health, signals).await {
            return Ok(None);
        }
    }
}

/// Takes the daemon's name, waiting for a database that is away; where the file `is_locked`, every lease on it is given back as well. How
/// many attempts a former process left behind. None: told to stop meanwhile.
pub(super) async fn take_name(
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
            Ok(released + all.map_err(EngineError::of("the start"))?)
        };
        match signals.unless_stopped(alive_during(taken)).await {
            None => return Ok(None),
            Some(Ok(released)) => {
                health.database_answers();
                return Ok(Some(released));
            }
            Some(Err(BeatError::Engine(EngineError::Store { source, .. }))) if source.may_pass() => {
                if !wait_for_database(&source, &mut told, health, signals).await {
                    return Ok(None);
                }
            }
            Some(Err(error)) => return Err(error.into()),
        }
    }
}

/// Says once that the database is waited for, and waits a little. False: told to stop meanwhile.
async fn wait_for_database(error: &StoreError, told: &mut bool, health: &Health, signals: &mut Signals) -> bool {
    health.database_fails(error);
    if !*told {
        *told = true;
        let error = chain(error);
        tracing::error!(error, "the database does not answer, dues waits for it: {error}");
        systemd::ready();
        systemd::status("waiting for the database");
    }
    systemd::watchdog();
    let again = tokio::time::sleep(AGAIN);
    tokio::pin!(again);
    loop {
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                Told::Stop => return false,
                Told::Reload => tracing::info!(
                    "the config is taken up again when the database answers; another database.url needs a restart"
                ),
            },
            () = &mut again => return true,
        }
    }
}

/// Feeds the watchdog beside `work`, which may be bringing a large schema up.
async fn alive_during<T>(work: impl Future<Output = T>) -> T {
    let every = super::sign_of_life();
    let feed = async {
        loop {
            tokio::time::sleep(every).await;
            systemd::watchdog();
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        () = feed => unreachable!("it goes on for ever"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::config::{self, Sources};
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
