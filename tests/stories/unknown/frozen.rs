//! A process that is frozen inside the commit of `sending`: it is committed, minutes pass before the process hears of it, and another
//! may have taken the row over meanwhile. It must not send when it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dues::chance::Chance;
use dues::clock::Clock;
use dues::engine::open;
use dues::engine::round::Round;
use dues::sandbox::{self, Fault, Rule};
use dues::store::db::{Asked, Hook, Moment, Step};

use super::lost::{assert_paid_once, due_under, sends};
use crate::support::world::{BOTH, World, at};

/// How long the process is frozen.
const FROZEN: Duration = Duration::from_mins(10);

/// Freezes once, at this step of this work, when it is armed.
#[derive(Debug)]
struct Freezes {
    clock: Clock,
    work: &'static str,
    step: Step,
    armed: AtomicBool,
}

impl Hook for Freezes {
    fn at(&self, moment: Moment) -> Asked<'_> {
        let here = moment.work == self.work && moment.step == self.step;
        if here && self.armed.swap(false, Ordering::SeqCst) {
            self.clock.advance(FROZEN);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The same world, whose process will freeze there.
async fn freezing(mut world: World, work: &'static str, step: Step) -> (World, Arc<Freezes>) {
    let freezes = Arc::new(Freezes { clock: world.clock.clone(), work, step, armed: AtomicBool::new(false) });
    let (store, transport) = (world.store.with_hook(freezes.clone()), world.sandbox.in_process());
    let secret_key = sandbox::Settings::default().secret_key;
    let engine = open::engine(&world.settings, store, transport, &secret_key, Chance::seeded(13), true).await.unwrap();
    world.round = Round::new(engine.clone());
    world.engine = engine;
    (world, freezes)
}

/// Requests that reached the gateway or were lost on their way to it.
fn requests(world: &World) -> u32 {
    world.sandbox.books().key_sends.values().sum()
}

#[tokio::test]
async fn a_process_that_froze_in_the_commit_of_its_intent_does_not_send() {
    for on in BOTH {
        for step in [Step::Commit, Step::Committed] {
            let (mut world, freezes) = freezing(due_under(on, &[], Vec::new()).await, "lease to send", step).await;
            world.run_until("2026-01-20T01:59:59Z").await;
            world.clock.advance_to(at("2026-01-20T02:00:00Z"));
            freezes.armed.store(true, Ordering::SeqCst);
            world.round.until_quiet().await.unwrap();
            assert!(!freezes.armed.load(Ordering::SeqCst), "{on:?} {step:?}: it froze");
            assert_eq!((requests(&world), sends(&world).await), (0, vec!["1 1".to_owned()]), "{on:?} {step:?}");
            // Nothing was sent, but nobody knows that: its absence is watched as if it had been.
            assert_eq!(world.attempts().await, ["ORD-1/0/1 unknown"], "{on:?} {step:?}");
            world.run_until("2026-01-20T03:00:00Z").await;
            assert_eq!((requests(&world), sends(&world).await), (1, vec!["1 2".to_owned()]), "{on:?} {step:?}");
            assert_paid_once(&world, &format!("{on:?} {step:?}")).await;
        }
    }
}

#[tokio::test]
async fn a_process_that_froze_in_the_commit_of_a_resend_does_not_send() {
    for on in BOTH {
        for step in [Step::Commit, Step::Committed] {
            let lost = Rule::fault("lost", Fault::LostRequest).times(1);
            let (mut world, freezes) = freezing(due_under(on, &[], vec![lost]).await, "settle", step).await;
            world.run_until("2026-01-20T02:14:59Z").await;
            let before = requests(&world);
            freezes.armed.store(true, Ordering::SeqCst);
            world.run_until("2026-01-20T02:15:30Z").await;
            assert!(!freezes.armed.load(Ordering::SeqCst), "{on:?} {step:?}: it froze");
            assert_eq!((requests(&world), sends(&world).await), (before, vec!["1 2".to_owned()]), "{on:?} {step:?}");
            world.run_until("2026-01-20T03:00:00Z").await;
            assert_eq!(sends(&world).await, ["1 3"], "{on:?} {step:?}");
            assert_paid_once(&world, &format!("{on:?} {step:?}")).await;
        }
    }
}
