//! Daemons that really work at the same time, on tasks of their own: what PostgreSQL is for. Time stands still while they work, and
//! nothing is repeated by its seed but what was drawn.

use std::time::Duration;

use tokio::task::JoinSet;

use super::daemons::{Daemon, Turned, Worked};
use super::points::Standing;
use crate::clock::Instant;

/// Between two looks whether one has died.
const DEATH_WATCH: Duration = Duration::from_millis(2);

/// Lets every daemon work until each of them rests or is dead. What their turns came to, together.
pub(super) async fn work_together(daemons: &mut [Daemon], now: Instant) -> Turned {
    let mut all = Turned::default();
    let mut tasks: JoinSet<(usize, Worked)> = JoinSet::new();
    let mut working = Vec::new();
    for (place, daemon) in daemons.iter_mut().enumerate() {
        if let Some(work) = daemon.take_work() {
            working.push((place, tasks.spawn(async move { (place, work.await) })));
        }
    }
    while !working.is_empty() {
        let ended = tokio::time::timeout(DEATH_WATCH, tasks.join_next()).await;
        if let Ok(Some(Ok((place, worked)))) = ended {
            working.retain(|(it, _)| *it != place);
            let daemon = &mut daemons[place];
            // One that died at its last exchange may still have come to the end of its turn.
            if daemon.points.standing() == Standing::Dead {
                daemon.die(now);
                all.done += 1;
            } else {
                all.done += daemon.rest(worked, now).done;
            }
        }
        working.retain(|(place, task)| {
            let daemon = &mut daemons[*place];
            if daemon.points.standing() != Standing::Dead || task.is_finished() {
                return true;
            }
            task.abort();
            daemon.die(now);
            all.done += 1;
            false
        });
    }
    // What was aborted is gone before anybody works again: its transactions are rolled back.
    while tasks.join_next().await.is_some() {}
    all
}
