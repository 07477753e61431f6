//! The daemon at work beside its loops: it comes round, takes up a changed config, and gives signs of life, until it is told to stop.
//! Nothing here waits for the database without listening to signals, and no sign of life waits for the database.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::health::{BEAT, Health};
use super::signals::{Signals, Told};
use super::{chain, reload, sign_of_life, withheld};
use crate::config::{self, Settings, Sources};
use crate::engine::beat::BeatError;
use crate::engine::{Engine, EngineError, Rules};
use crate::interfaces::systemd;
use crate::store::StoreError;

/// What a daemon at work goes by.
pub(super) struct Living<'a> {
    pub engine: Engine,
    pub health: &'a Health,
    /// What it was started with.
    pub settings: &'a Settings,
    /// Where a reload reads the config.
    pub sources: &'a Sources,
    /// Where the loops hear of new rules.
    pub rules: &'a watch::Sender<Arc<Rules>>,
}

/// A config that is not taken up.
struct Refused {
    why: String,
    /// The plans whose price waits for an operator, where that is why.
    withheld: Option<BTreeSet<String>>,
}

impl Refused {
    fn because(why: impl ToString) -> Refused {
        // A log line of text has no second line.
        Refused { why: why.to_string().replace('\n', "; "), withheld: None }
    }
}

impl Living<'_> {
    /// Lives until it is told to stop. Some: another process has taken this daemon's name.
    pub async fn until_stopped(mut self, signals: &mut Signals) -> Option<BeatError> {
        let health = self.health;
        health.expects(BEAT);
        let replaced = tokio::select! {
            biased;
            replaced = self.turns(signals) => replaced,
            () = signs_of_life(health) => None,
        };
        health.ended(BEAT);
        replaced
    }

    async fn turns(&mut self, signals: &mut Signals) -> Option<BeatError> {
        let every = sign_of_life();
        let mut rules_told = false;
        loop {
            self.health.came_round(BEAT, 0);
            // Also one that was asked for before there was anything to reload.
            if signals.take_reload() {
                systemd::reloading();
                signals.unless_stopped(self.reload()).await?;
                systemd::ready();
                rules_told = false;
            }
            self.health.came_round(BEAT, 0);
            tokio::select! {
                biased;
                told = signals.next() => match told {
                    Told::Stop => return None,
                    Told::Reload => continue,
                },
                () = tokio::time::sleep(every) => {}
            }
            self.health.came_round(BEAT, 0);
            match signals.unless_stopped(self.engine.beat()).await? {
                Ok(beat) => {
                    self.health.stands(&beat);
                    rules_told = rules_told || signals.unless_stopped(tell_catch_up(&self.engine)).await?.is_ok();
                }
                Err(error @ BeatError::Replaced(_)) => {
                    tracing::error!(%error, "this daemon ends: {error}");
                    return Some(error);
                }
                Err(BeatError::Engine(EngineError::Store { source, .. })) => self.health.database_fails(&source),
                Err(BeatError::HighWater(error)) => {
                    tracing::error!(%error, "the mark outside the books is not known: {error}")
                }
            }
        }
    }

    /// Takes up plans, dunning, declines and times from a config that is right, and names what it leaves; a wrong one changes nothing, and
    /// the status line says so until a right one is taken up.
    async fn reload(&mut self) {
        match self.new_rules().await {
            Ok((loaded, left_out)) => {
                self.health.withholds(loaded.withheld.clone());
                self.health.reload_was_refused(None);
                self.engine.rules = Arc::new(loaded);
                self.rules.send_replace(Arc::clone(&self.engine.rules));
                if left_out.is_empty() {
                    tracing::info!("the new config is in use; a new secret key is taken up by a restart alone");
                } else {
                    let keys = left_out.join(", ");
                    tracing::warn!("these keys change only by a restart: {keys}; the rest of the new config is in use");
                }
            }
            Err(Refused { why, withheld }) => {
                if let Some(names) = withheld {
                    self.health.withholds(names);
                }
                self.health.reload_was_refused(Some(why.clone()));
                tracing::error!("the new config is refused; the old one stays: {why}");
            }
        }
        systemd::status(&self.health.line());
    }

    /// The rules of a new config, and the changed keys that are not taken up with them; or why there are none.
    async fn new_rules(&self) -> Result<(Rules, Vec<&'static str>), Refused> {
        let store = &self.engine.store;
        let loaded = config::load(self.sources).map_err(Refused::because)?.settings;
        let left_out = reload::left_out(self.settings, &loaded).map_err(Refused::because)?;
        // Asked first, so that a config that is refused has written nothing.
        let held = Rules::withheld_of(&loaded, store).await.map_err(|error| Refused::because(chain(&error)))?;
        if !held.is_empty() {
            return Err(Refused { withheld: Some(held.clone()), ..Refused::because(withheld(&held)) });
        }
        let rules = Rules::load(&loaded, store).await.map_err(|error| Refused::because(chain(&error)))?;
        Ok((rules, left_out))
    }
}

/// Says in the books by which rules this daemon catches up: an import of another config is refused then.
async fn tell_catch_up(engine: &Engine) -> Result<(), StoreError> {
    let rules = engine.rules.catch_up.of_handed_over();
    engine.store.tell_catch_up(&engine.node, &engine.process, &rules).await
}

/// Tells the service manager and the log how the daemon is, whatever it waits for.
async fn signs_of_life(health: &Health) {
    let every = sign_of_life();
    let mut hung = Vec::new();
    loop {
        tokio::time::sleep(every).await;
        let hanging = health.hanging();
        if hanging.is_empty() {
            systemd::watchdog();
        }
        say(&hung, &hanging);
        hung = hanging;
        systemd::status(&health.line());
    }
}

/// Says which loops hang, at each change: after the watchdog's abort the journal is all that is left of it.
fn say(before: &[&str], now: &[&str]) {
    if before == now {
        return;
    }
    if now.is_empty() {
        tracing::info!("every loop comes round again");
    } else {
        tracing::error!(
            "{} does not come round; under systemd the watchdog ends this process and starts another, which looks up what was under way",
            now.join(", ")
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// What was logged.
    #[derive(Debug, Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_change_of_what_hangs_is_logged_once() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            let turns: [&[&str]; 6] = [&[], &["collect"], &["collect"], &["bill", "collect"], &[], &[]];
            for turn in turns.windows(2) {
                say(turn[0], turn[1]);
            }
        });
        let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = String::from_utf8(bytes).expect("it is text");
        let said: Vec<&str> = said.lines().collect();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("ERROR") && said[0].contains(": collect does not come round"), "{said:?}");
        assert!(said[1].contains("ERROR") && said[1].contains(": bill, collect does not come round"), "{said:?}");
        assert!(said[2].contains("INFO") && said[2].contains("every loop comes round again"), "{said:?}");
    }
}
