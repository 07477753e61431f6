//! Cron lines wake ticks, and that is all they do: what is due is always a question to the books. The lines are UTC, because the
//! scheduler keeps the offset a zone had when a job was made (mvniekerk/tokio-cron-scheduler#107).

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::config::Schedule;

/// The bells that cron lines ring.
#[derive(Debug, Clone, Default)]
pub struct CronBells {
    /// Wakes `bill`.
    pub bill: Arc<Notify>,
    /// Wakes `collect`.
    pub collect: Arc<Notify>,
    /// Wakes `reconcile`.
    pub reconcile: Arc<Notify>,
    /// Wakes `dun`.
    pub dun: Arc<Notify>,
}

/// A running scheduler; it rings until it is stopped.
pub struct Cron(JobScheduler);

impl Cron {
    /// Starts ringing `bells` by the cron lines of `schedule`.
    ///
    /// # Errors
    /// The scheduler's own; config has checked the lines.
    pub async fn start(schedule: &Schedule, bells: &CronBells) -> Result<Cron, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        for (line, bell) in [
            (&schedule.bill, &bells.bill),
            (&schedule.collect, &bells.collect),
            (&schedule.reconcile, &bells.reconcile),
            (&schedule.dun, &bells.dun),
        ] {
            let bell = Arc::clone(bell);
            // A bell that rings while its verb is at work is heard once, afterwards: verbs never overlap themselves.
            scheduler.add(Job::new(line.as_str(), move |_, _| bell.notify_one())?).await?;
        }
        scheduler.start().await?;
        Ok(Cron(scheduler))
    }

    /// Rings no more.
    pub async fn stop(mut self) {
        if let Err(error) = self.0.shutdown().await {
            tracing::warn!(%error, "the cron scheduler did not stop cleanly");
        }
    }
}
