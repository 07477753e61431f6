//! What is under way when a clock jumps: nothing is dated by the wrong one, and what was is brought back when it is set right.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use dues::chance::Chance;
use dues::clock::Clock;
use dues::engine::cancel::CancelError;
use dues::engine::lift::{self, LiftError};
use dues::engine::open;
use dues::engine::round::Round;
use dues::gateway::payments::Client;
use dues::sandbox::{self, Effect, Fault, Rule, Sandbox, Script};
use dues::store::db::{Asked, Hook, Moment, Step};

use crate::support::world::{BOTH, On, World, at, source_of};

/// A world on its own clock and a gateway on another, at the same time; three subscriptions fall due at 02:00 UTC.
struct Apart {
    world: World,
    gateway: Sandbox,
    gateways: Clock,
}

impl Apart {
    async fn new(on: On, rules: Vec<Rule>) -> Apart {
        let mut world = World::new(on, "2026-01-20T00:00:00Z", &[("installation.high_water_file", "none")]).await;
        let gateways = Clock::manual(at("2026-01-20T00:00:00Z"));
        let settings = sandbox::Settings::default();
        let key = settings.secret_key.clone();
        let gateway = Sandbox::new(settings, Script::of(rules), gateways.clone(), 7);
        world.engine.client = Client::new(gateway.in_process(), &key);
        world.round = Round::new(world.engine.clone());
        world.engine.take_name(false).await.unwrap();
        for reference in ["ORD-1", "ORD-2", "ORD-3"] {
            world.hand_over(reference, "monthly", "2026-01-20", None).await;
        }
        Apart { world, gateway, gateways }
    }

    /// Both clocks go on for so long, and the daemon comes round every five minutes.
    async fn go_on(&mut self, minutes: u64) -> Option<String> {
        let mut held = self.come_round().await;
        for _ in 0..minutes / 5 {
            for clock in [&self.world.clock, &self.gateways] {
                clock.advance(Duration::from_mins(5));
            }
            held = self.come_round().await;
        }
        held
    }

    async fn come_round(&mut self) -> Option<String> {
        self.world.round.until_quiet().await.unwrap();
        let held = self.world.engine.beat().await.unwrap().held;
        self.world.round.until_quiet().await.unwrap();
        held
    }

    /// An operator says that the clock is right as it is.
    async fn acknowledge(&self) {
        let mut tx = self.world.store.begin("acknowledge").await.unwrap();
        tx.acknowledge_fences("operator", "it looked right", self.world.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Everything about the attempts that is dated or counted.
    async fn attempts(&self) -> Vec<String> {
        self.world
            .lines(
                "SELECT a.idempotency_key || ' ' || a.state || ' ' || CAST(a.looks AS TEXT) || ' ' || CAST(a.lease_epoch AS TEXT) || ' ' || \
                 CAST(a.next_at AS TEXT) AS line FROM attempts a WHERE a.next_at IS NOT NULL ORDER BY a.id",
            )
            .await
    }

    async fn assert_each_paid_once(&self, story: &str) {
        assert_eq!(self.world.charges().await, ["ORD-1/0 paid", "ORD-2/0 paid", "ORD-3/0 paid"], "{story}");
        assert_eq!(self.gateway.books().captured_minor("HKD"), 3 * 12_800, "{story}");
        assert_eq!(self.world.collected_minor().await, 3 * 12_800, "{story}");
    }
}

/// One payment that takes six hours, one request that is lost, one decline.
fn troubles() -> Vec<Rule> {
    let slow = Effect::Settle { outcome: None, after: Some(Duration::from_hours(6)) };
    vec![
        Rule::new("slow", slow).for_source(&source_of("ORD-1")),
        Rule::fault("lost", Fault::LostRequest).for_source(&source_of("ORD-2")).times(1),
        Rule::decline("short", "20051").for_source(&source_of("ORD-3")).times(1),
    ]
}

#[tokio::test]
async fn nothing_that_is_under_way_is_dated_by_a_clock_that_jumped() {
    for on in BOTH {
        for days in [20, -20] {
            let mut apart = Apart::new(on, troubles()).await;
            assert_eq!(apart.go_on(125).await, None, "{on:?}");
            let states = ["ORD-1/0/1 pending", "ORD-2/0/1 unknown", "ORD-3/0/1 declined"];
            assert_eq!(apart.world.attempts().await, states, "{on:?}");
            let before = apart.attempts().await;
            apart.world.clock.jump(TimeDelta::days(days));
            apart.world.round.until_quiet().await.unwrap();
            assert_eq!(apart.attempts().await, before, "{on:?} {days}: it was seen before anything was dated");
            assert_eq!(apart.go_on(60).await.as_deref(), Some("clock"), "{on:?} {days}");
            assert_eq!(apart.world.attempts().await, states, "{on:?} {days}");
            let resumed = lift::resume_collecting(&apart.world.store, "on", "operator").await;
            assert!(matches!(resumed, Err(LiftError::Clock)), "{on:?}: which day it is is not known");
            let canceled = apart.world.engine.cancel("ORD-1", true, "asked", "operator").await;
            assert!(matches!(canceled, Err(CancelError::Clock)), "{on:?}: which period has begun is not known");
            apart.world.clock.jump(-TimeDelta::days(days));
            assert_eq!(apart.go_on(30).await, None, "{on:?} {days}");
            assert_eq!(apart.world.charges().await[1], "ORD-2/0 paid", "{on:?} {days}: sent again with its key");
            apart.go_on(10 * 60).await;
            assert_eq!(apart.world.charges().await[0], "ORD-1/0 paid", "{on:?} {days}: looked at all the while");
            apart.go_on(48 * 60).await;
            apart.assert_each_paid_once(&format!("{on:?} {days}")).await;
        }
    }
}

#[tokio::test]
async fn what_was_dated_by_a_wrong_clock_that_somebody_had_believed_is_brought_back() {
    for on in BOTH {
        let mut apart = Apart::new(on, troubles()).await;
        apart.go_on(125).await;
        apart.world.clock.jump(TimeDelta::days(20));
        assert_eq!(apart.go_on(5).await.as_deref(), Some("clock"), "{on:?}");
        apart.acknowledge().await;
        assert_eq!(apart.go_on(10).await, None, "{on:?}");
        let dated = apart.attempts().await;
        assert!(dated.iter().all(|it| it.contains("2026-02-")), "{on:?}: {dated:?}");
        apart.world.clock.jump(-TimeDelta::days(20));
        apart.go_on(5).await;
        let dated = apart.attempts().await;
        assert!(dated.iter().all(|it| it.contains("2026-01-2")), "{on:?}: {dated:?}");
        apart.go_on(8 * 60).await;
        assert_eq!(apart.world.charges().await[0], "ORD-1/0 paid", "{on:?}: and not in three weeks");
    }
}

/// How often each attempt may have been sent.
async fn sends(world: &World) -> Vec<String> {
    world.lines("SELECT CAST(a.sends AS TEXT) AS line FROM attempts a ORDER BY a.id").await
}

#[tokio::test]
async fn absence_is_watched_anew_after_a_clock_was_set_back_and_put_right() {
    for on in BOTH {
        // After a server error absence is watched for two hours.
        let before = Rule::fault("before", Fault::ErrorBefore(502)).for_source(&source_of("ORD-2")).times(1);
        let mut apart = Apart::new(on, vec![before]).await;
        apart.go_on(125).await;
        assert_eq!(apart.world.attempts().await[1], "ORD-2/0/1 unknown", "{on:?}");
        apart.world.clock.jump(-TimeDelta::days(20));
        assert_eq!(apart.go_on(10).await.as_deref(), Some("clock"), "{on:?}");
        apart.world.clock.jump(TimeDelta::days(20));
        assert_eq!(apart.go_on(60).await, None, "{on:?}");
        assert_eq!(sends(&apart.world).await, ["1", "1", "1"], "{on:?}: an hour is not enough");
        apart.go_on(90).await;
        assert_eq!(sends(&apart.world).await, ["1", "2", "1"], "{on:?}");
        apart.assert_each_paid_once(&format!("{on:?}")).await;
    }
}

#[tokio::test]
async fn a_key_that_was_sent_by_a_clock_that_ran_ahead_is_never_sent_again() {
    for on in BOTH {
        let lost = Rule::fault("lost", Fault::LostRequest).for_source(&source_of("ORD-2")).times(1);
        let mut apart = Apart::new(on, vec![lost]).await;
        assert_eq!(apart.go_on(5).await, None, "{on:?}");
        apart.world.clock.jump(TimeDelta::days(3));
        assert_eq!(apart.go_on(5).await.as_deref(), Some("clock"), "{on:?}");
        apart.acknowledge().await;
        // That it is not the gateway's is heard with the first answer, and wants a word of its own.
        assert_eq!(apart.go_on(5).await.as_deref(), Some("clock"), "{on:?}");
        apart.acknowledge().await;
        apart.go_on(5).await;
        assert_eq!(
            apart.world.attempts().await[1],
            "ORD-2/0/1 unknown",
            "{on:?}: sent three days early, as he wanted it"
        );
        apart.world.clock.jump(-TimeDelta::days(3));
        // The date that it bears comes, and with it the hours in which it looks young.
        apart.go_on(6 * 24 * 60).await;
        assert_eq!(sends(&apart.world).await, ["1", "1", "1"], "{on:?}");
        assert_eq!(apart.world.charges().await, ["ORD-1/0 paid", "ORD-2/0 in_review", "ORD-3/0 paid"], "{on:?}");
    }
}

/// Sets the clock forward once, when this work begins and it is armed.
#[derive(Debug)]
struct Jumps {
    clock: Clock,
    work: &'static str,
    armed: AtomicBool,
}

impl Hook for Jumps {
    fn at(&self, moment: Moment) -> Asked<'_> {
        if moment.work == self.work && moment.step == Step::Begin && self.armed.swap(false, Ordering::SeqCst) {
            self.clock.jump(TimeDelta::days(20));
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_the_jump_is_as_good_as_lost_and_found_when_the_clock_is_right() {
    for on in BOTH {
        let mut apart = Apart::new(on, Vec::new()).await;
        let clock = apart.world.clock.clone();
        let jumps = Arc::new(Jumps { clock, work: "settle", armed: AtomicBool::new(false) });
        let (store, transport) = (apart.world.store.with_hook(jumps.clone()), apart.gateway.in_process());
        let key = sandbox::Settings::default().secret_key;
        let engine =
            open::engine(&apart.world.settings, store, transport, &key, Chance::seeded(13), true).await.unwrap();
        apart.world.round = Round::new(engine.clone());
        apart.world.engine = engine;
        apart.world.engine.take_name(false).await.unwrap();
        apart.go_on(115).await;
        jumps.armed.store(true, Ordering::SeqCst);
        assert_eq!(apart.go_on(5).await.as_deref(), Some("clock"), "{on:?}");
        assert!(!jumps.armed.load(Ordering::SeqCst), "{on:?}: it jumped");
        assert_eq!(apart.gateway.books().payments.len(), 3, "{on:?}: they were sent before");
        let sending = ["ORD-1/0/1 sending", "ORD-2/0/1 sending", "ORD-3/0/1 sending"];
        assert_eq!(apart.world.attempts().await, sending, "{on:?}");
        apart.world.clock.jump(-TimeDelta::days(20));
        assert_eq!(apart.go_on(30).await, None, "{on:?}");
        apart.assert_each_paid_once(&format!("{on:?}")).await;
        assert_eq!(apart.gateway.books().payments.len(), 3, "{on:?}");
    }
}

/// Time passes, and no clock jumps, at a statement of this work, once and when it is armed.
#[derive(Debug)]
struct Slow {
    clock: Clock,
    armed: AtomicBool,
}

impl Hook for Slow {
    fn at(&self, moment: Moment) -> Asked<'_> {
        let here = moment.work == "beat" && moment.step == Step::Statement && moment.statement.contains("nodes");
        if here && self.armed.swap(false, Ordering::SeqCst) {
            self.clock.advance(Duration::from_secs(17));
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn a_round_that_takes_long_is_no_clock_that_jumped() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let slow = Arc::new(Slow { clock: world.clock.clone(), armed: AtomicBool::new(false) });
        world.engine.store = world.engine.store.with_hook(slow.clone());
        world.engine.take_name(false).await.unwrap();
        for _ in 0..5 {
            world.clock.advance(Duration::from_secs(5));
            slow.armed.store(true, Ordering::SeqCst);
            let beat = world.engine.beat().await.unwrap();
            assert!(
                !slow.armed.load(Ordering::SeqCst) && beat.held.is_none() && beat.raised.is_none(),
                "{on:?}: {beat:?}"
            );
        }
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
    }
}
