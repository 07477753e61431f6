//! Many runs, on a few threads: their sums, what was seen at all, and the first that failed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Plan, Report, SimulationError};

/// What a whole campaign must have seen: a path that is never taken is a path that is not tested.
pub const SOMETIMES: &[&str] = &[
    "5xx hid an effect",
    "a person is asked",
    "absent, and sent again",
    "answer replayed by key",
    "books known to be set back",
    "canceled in the middle",
    "clock jump seen",
    "crash after post",
    "crash at a look",
    "crash between sending and post",
    "duplicate refused with 409",
    "duplicate refused with 429",
    "fence raised",
    "given up after dunning",
    "hold acknowledged",
    "hold reached",
    "look-up adopted a payment",
    "outcome unknown",
    "resend with its own key",
    "send given back",
    "status flip found",
    "stranger adopted",
    "the key's life was over",
    "work of another daemon taken over",
];

/// The sums of a campaign.
#[derive(Debug, Clone, Default)]
pub struct Campaign {
    /// Runs played.
    pub runs: u64,
    /// Subscription-months under faults.
    pub months: u64,
    /// Faults that struck.
    pub faults: u64,
    /// What was counted.
    pub counts: BTreeMap<&'static str, u64>,
    /// The hashes of all stories, made one.
    pub hash: u64,
    /// The first plan that failed, in the order of plans.
    pub failed: Option<(Plan, Report)>,
}

impl Campaign {
    /// Plays `plans` on `threads` threads; stops at the first failure.
    ///
    /// # Errors
    /// [`SimulationError`] of the first run that could not be played.
    pub fn play(plans: &[Plan], threads: usize) -> Result<Campaign, SimulationError> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let reports: Mutex<BTreeMap<usize, Result<Report, SimulationError>>> = Mutex::default();
        std::thread::scope(|scope| {
            for thread in 0..threads.max(1) {
                let (next, stop, reports) = (&next, &stop, &reports);
                scope.spawn(move || {
                    if plans.iter().all(|plan| plan.postgres.is_none()) {
                        stay_on_one_core(thread);
                    }
                    while !stop.load(Ordering::Relaxed) {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(plan) = plans.get(place) else { return };
                        let report = plan.play(false);
                        if report.as_ref().map_or(true, |report| !report.breaches.is_empty()) {
                            stop.store(true, Ordering::Relaxed);
                        }
                        reports.lock().unwrap_or_else(PoisonError::into_inner).insert(place, report);
                    }
                });
            }
        });
        let mut campaign = Campaign::default();
        for (place, report) in reports.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let report = report?;
            campaign.runs += 1;
            campaign.months += report.months;
            campaign.faults += report.faults;
            campaign.hash = campaign.hash.rotate_left(5) ^ report.hash;
            for (name, count) in &report.counts {
                *campaign.counts.entry(name).or_default() += count;
            }
            if !report.breaches.is_empty() && campaign.failed.is_none() {
                campaign.failed = Some((plans[place].clone(), report));
            }
        }
        Ok(campaign)
    }

    /// What was never seen and should have been.
    pub fn never_seen(&self) -> Vec<&'static str> {
        SOMETIMES.iter().copied().filter(|name| self.counts.get(name).copied().unwrap_or_default() == 0).collect()
    }
}

/// Keeps this thread, and those that it starts, on one core: a run and its database take turns, and a turn that is passed on within a
/// core costs a third of one that wakes another. Where the system refuses, nothing is lost but time.
fn stay_on_one_core(thread: usize) {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return };
    let cores: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    if let Some(core) = cores.get(thread % cores.len().max(1)) {
        let mut one = rustix::thread::CpuSet::new();
        one.set(*core);
        let _stays = rustix::thread::sched_setaffinity(None, &one);
    }
}
