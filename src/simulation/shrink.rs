//! From a run that fails to a small one that still fails: kinds of faults are left out, and the population is halved.

use std::time::Duration;

use super::faults::Kind;
use super::{Plan, Report, SimulationError};
use crate::clock::Clock;

/// The smallest plan that is found within `patience` and still breaks a promise, with its report and story.
///
/// # Errors
/// [`SimulationError`].
pub fn smallest(plan: &Plan, patience: Duration) -> Result<(Plan, Report), SimulationError> {
    let clock = Clock::system();
    let until = clock.since_boot() + patience;
    let mut best = plan.clone();
    let mut report = best.play(true)?;
    loop {
        let smaller = [
            Plan { subscriptions: best.subscriptions / 2, ..best.clone() },
            Plan { months: best.months / 2, ..best.clone() },
            Plan { daemons: Some(best.daemons().saturating_sub(1)), ..best.clone() },
        ];
        let fewer = Kind::ALL.iter().filter(|kind| best.kinds.has(**kind));
        let fewer = fewer.map(|kind| Plan { kinds: best.kinds.without(*kind), ..best.clone() });
        let tries = smaller.into_iter().chain(fewer.collect::<Vec<_>>());
        let possible = |it: &Plan| it.subscriptions > 0 && it.months > 0 && it.daemons() > 0;
        let mut found = None;
        for candidate in tries.filter(possible) {
            if clock.since_boot() >= until {
                return Ok((best, report));
            }
            let played = candidate.play(true)?;
            if !played.breaches.is_empty() {
                found = Some((candidate, played));
                break;
            }
        }
        match found {
            Some((candidate, played)) => (best, report) = (candidate, played),
            None => return Ok((best, report)),
        }
    }
}
