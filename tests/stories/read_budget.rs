//! Every read is taken from the budget, and what exceeds it waits: no second brings the gateway more of them than the config says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dues::clock::{Clock, Instant};
use dues::engine::round::Round;
use dues::gateway::payments::Client;
use dues::gateway::transport::{Exchange, Method, Request, Transport};
use dues::sandbox::{self, Fault, On as Requests, Rule, Script};

use crate::support::world::{BOTH, On, World, at};

/// One read more than granted is found out only when it was made.
const READS_PER_SECOND: usize = 10;
const BURST_AND_ONE_OVERDRAWN: usize = 2;

#[tokio::test]
async fn the_second_read_of_a_decline_is_taken_from_the_budget() {
    for on in BOTH {
        let (mut world, watched) = world(on, &[]).await;
        world.sandbox.set_script(Script::of([Rule::decline("empty wallet", "20051")]));
        world.run_until("2026-01-20T02:00:30Z").await;
        step(&mut world, "2026-01-20T02:02:00Z").await;
        assert!(world.attempts().await.iter().all(|state| state.ends_with("declined")), "{on:?}");
        assert_eq!(watched.reads().len(), 80, "{on:?}: each payment and its actions");
        assert!(watched.most_in_a_second() <= READS_PER_SECOND + BURST_AND_ONE_OVERDRAWN, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn look_ups_before_a_send_wait_for_their_turn_and_no_charge_is_lost() {
    for on in BOTH {
        let (mut world, watched) = world(on, &[("protocol.look_first", "always")]).await;
        world.run_until("2026-01-20T01:59:59.9Z").await;
        step(&mut world, "2026-01-20T02:00:02Z").await;
        assert!(!world.sandbox.books().payments.is_empty(), "{on:?}: the first turns have come");
        let waiting = world.lines("SELECT CAST(COUNT(*) AS TEXT) AS line FROM attempts WHERE state = 'created'").await;
        assert_ne!(waiting, ["0"], "{on:?}: the last have not");
        step(&mut world, "2026-01-20T02:00:06Z").await;
        assert_eq!(world.sandbox.books().payments.len(), 40, "{on:?}");
        assert_eq!(watched.reads().len(), 40, "{on:?}: one look-up each");
        assert!(watched.most_in_a_second() <= READS_PER_SECOND + BURST_AND_ONE_OVERDRAWN, "{on:?}");
        let leases = world.lines("SELECT CAST(MAX(lease_epoch) AS TEXT) AS line FROM attempts").await;
        assert_eq!(leases, ["3"], "{on:?}: put off once, looked up once, sent once");
        world.run_until("2026-01-21T00:00:00Z").await;
        assert!(world.attempts().await.iter().all(|state| state.ends_with("captured")), "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_look_up_probes_an_open_circuit_where_it_comes_first() {
    for on in BOTH {
        let flags = [("protocol.look_first", "always"), ("circuit.failures", "1")];
        let (mut world, _) = world(on, &flags).await;
        let down = Rule::fault("down", Fault::ErrorBefore(503)).on(Requests::Any);
        let down = down.between(at("2026-01-20T00:00:00Z"), at("2026-01-20T04:00:00Z"));
        world.sandbox.set_script(Script::of([down]));
        world.run_until("2026-01-20T03:59:00Z").await;
        assert!(!world.engine.gate.state().closed, "{on:?}");
        world.run_until("2026-01-20T05:00:00Z").await;
        assert!(world.engine.gate.state().closed, "{on:?}");
        assert!(world.attempts().await.iter().all(|state| state.ends_with("captured")), "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn looking_first_costs_one_read_for_each_charge_that_was_due_and_none_afterwards() {
    for on in BOTH {
        let mut reads = Vec::new();
        for verify_first in [false, true] {
            let (mut world, watched) = world(on, &[("protocol.gap", "2h")]).await;
            world.engine.take_name(false).await.unwrap();
            world.clock.advance_to(at("2026-01-20T02:01:00Z"));
            world.engine.take_name(verify_first).await.unwrap();
            world.run_until("2026-01-21T00:00:00Z").await;
            let first = watched.reads().len();
            world.run_until("2026-02-21T00:00:00Z").await;
            assert_eq!(world.sandbox.books().payments.len(), 80, "{on:?}: two months of forty");
            world.assert_books_agree().await;
            reads.push((first, watched.reads().len() - first));
        }
        let [(usual, month), (verified, month_after)] = reads[..] else { panic!("two runs") };
        assert_eq!(verified, usual + 40, "{on:?}: one look-up before each first send");
        assert_eq!(month_after, month, "{on:?}: the fence is past");
        assert_eq!(month, usual, "{on:?}");
    }
}

/// Forty subscriptions that fall due at the same instant.
async fn world(on: On, flags: &[(&str, &str)]) -> (World, Arc<Watched>) {
    let mut all = vec![("budget.reads_per_second", "10"), ("budget.writes_per_second", "1000")];
    all.extend(flags);
    let mut world = World::new(on, "2026-01-20T01:00:00Z", &all).await;
    let watched = Arc::new(Watched {
        inner: world.sandbox.in_process(),
        clock: world.clock.clone(),
        reads: Mutex::new(Vec::new()),
    });
    let seam = Arc::clone(&watched) as Arc<dyn Transport>;
    world.engine.client = Client::new(seam, &sandbox::Settings::default().secret_key);
    world.round = Round::new(world.engine.clone());
    for number in 0..40 {
        world.hand_over(&format!("ORD-{number}"), "monthly", "2026-01-20", None).await;
    }
    (world, watched)
}

/// Goes round ten times a second, as a daemon would that the budget wakes.
async fn step(world: &mut World, until: &str) {
    while world.clock.now() < at(until) {
        world.clock.advance(Duration::from_millis(100));
        world.round.until_quiet().await.unwrap();
    }
}

/// The way to the sandbox, with the instant of each read.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn Transport>,
    clock: Clock,
    reads: Mutex<Vec<Instant>>,
}

impl Watched {
    fn reads(&self) -> Vec<Instant> {
        self.reads.lock().unwrap().clone()
    }

    /// The most reads that any second saw.
    fn most_in_a_second(&self) -> usize {
        let reads = self.reads();
        let within = |from: &Instant| reads.iter().filter(|it| **it >= *from && **it - *from < SECOND).count();
        reads.iter().map(within).max().unwrap_or_default()
    }
}

const SECOND: chrono::TimeDelta = chrono::TimeDelta::seconds(1);

impl Transport for Watched {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        if request.method == Method::Get {
            self.reads.lock().unwrap().push(self.clock.now());
        }
        self.inner.exchange(request)
    }
}
