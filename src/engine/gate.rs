//! The way out to the gateway: how many requests may go now, by budget and circuit. Shared by all verbs of one daemon.

use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::config;
use crate::engine::share::Part;
use crate::engine::turns::Turns;
use crate::engine::ways::Ways;
use crate::gateway::budget::TokenBucket;
use crate::gateway::circuit::{Cause, Permit, Signal};
use crate::gateway::meter::Reads;
use crate::gateway::outcome::PostOutcome;

pub(super) use crate::engine::ways::Kind;
pub(super) use grant::Grant;

mod grant;

/// After the gateway said that we ask too much, nothing is sent for so long.
const PAUSE_AFTER_RATE_LIMIT: TimeDelta = TimeDelta::seconds(1);

/// Budget and circuits of one gateway host.
#[derive(Debug)]
pub struct Gate(Mutex<Inside>);

#[derive(Debug)]
struct Inside {
    writes: TokenBucket,
    reads: TokenBucket,
    ways: Ways,
    /// When reads that were not granted may be asked for again.
    turns: Turns,
    /// Requests that were made since the start.
    writes_spent: u64,
    reads_spent: u64,
}

/// What readiness and status show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateState {
    /// Whether requests go.
    pub closed: bool,
    /// Why not, and what to do.
    pub cause: Option<String>,
}

/// What is shown to who measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateFigures {
    /// Why requests are held back, in one word; none where they go.
    pub cause: Option<&'static str>,
    /// The budget of POST requests.
    pub writes: BudgetFigures,
    /// The budget of GET requests.
    pub reads: BudgetFigures,
}

/// One budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetFigures {
    /// Requests a second that this daemon may make now; none where there is no limit.
    pub per_second: Option<u32>,
    /// Requests that it has made since it started.
    pub spent: u64,
}

impl Gate {
    /// A gate with full buckets and a closed circuit.
    pub fn new(budget: &config::Budget, circuit: &config::Circuit) -> Self {
        Gate(Mutex::new(Inside {
            writes: TokenBucket::new(budget.writes_per_second),
            reads: TokenBucket::new(budget.reads_per_second),
            ways: Ways::new(circuit),
            turns: Turns::default(),
            writes_spent: 0,
            reads_spent: 0,
        }))
    }

    /// Up to `wanted` requests of a kind, taken from the budget. While a circuit is open a single request of its kind probes now and
    /// then; while that is the gateway's, of whichever kind asks first and has something to send.
    pub(super) fn ask(&self, kind: Kind, wanted: u32, now: Instant) -> Grant<'_> {
        let (requests, wake_at) = self.0.lock().unwrap_or_else(PoisonError::into_inner).grant(kind, wanted, now);
        Grant { gate: self, kind, requests, wake_at }
    }

    /// How many would be granted now, and when more might be. Nothing is taken.
    pub(super) fn could_grant(&self, kind: Kind, wanted: u32, now: Instant) -> (u32, Option<Instant>) {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (requests, wake_at) = inside.grant(kind, wanted, now);
        inside.give_back(kind, requests);
        (requests, wake_at)
    }

    /// How long each of so many reads has to wait that were not granted now.
    pub(super) fn turns(&self, count: usize, now: Instant) -> Vec<TimeDelta> {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let probe_at = inside.ways.look_probes_at();
        let first = inside.reads.next_at(now).max(probe_at).unwrap_or(now);
        let rate = inside.reads.rate(now).and_then(|rate| i32::try_from(rate).ok()).unwrap_or(i32::MAX);
        let pace = TimeDelta::seconds(1) / rate.max(1);
        (0..count).map(|_| inside.turns.next(now, first, pace) - now).collect()
    }

    /// When to come round, while reads wait for their turn.
    pub(super) fn comes_round_at(&self, now: Instant) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).turns.comes_round_at(now)
    }

    /// Notes what a look came to, for which one read was granted.
    pub(super) fn note_look(&self, signal: Signal, reads: Reads, now: Instant) {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was = inside.ways.causes();
        let is_limited = inside.spend(1, reads, now);
        inside.ways.hear_look(signal, is_limited, now);
        was.tell(inside.ways.causes());
    }

    /// Notes what the POST of a charge came to, and gives it back as it is to be settled.
    pub(super) fn note_post(&self, charge_id: i64, outcome: PostOutcome, reads: Reads, now: Instant) -> PostOutcome {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was = inside.ways.causes();
        // The gateway has asked for a pause, and limits our rate all the same after it: that counts. The rest of a volley does not.
        let pauses = matches!(outcome, PostOutcome::Unsent { pause: true, .. });
        let is_limited = pauses && inside.writes.pause_until(now + PAUSE_AFTER_RATE_LIMIT);
        if inside.spend(0, reads, now) {
            inside.ways.hear_look(Signal::Nothing, true, now);
        }
        let settled = inside.ways.hear_post(charge_id, outcome, is_limited, now);
        was.tell(inside.ways.causes());
        settled
    }

    /// The account's budget is shared: this daemon has its part of it, one request a second of each kind at least.
    pub(super) fn take(&self, part: Part) {
        let daemons = match part {
            Part::Equal { among } => among,
            Part::Least => u32::MAX,
        };
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inside.writes.share_among(daemons);
        inside.reads.share_among(daemons);
    }

    /// How it stands.
    pub fn state(&self) -> GateState {
        let cause = self.0.lock().unwrap_or_else(PoisonError::into_inner).ways.causes().first();
        GateState { closed: cause.is_none(), cause: cause.map(|cause| cause.to_string()) }
    }

    /// The same in figures.
    pub fn figures(&self, now: Instant) -> GateFigures {
        let inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = |bucket: &TokenBucket, spent| BudgetFigures { per_second: bucket.rate(now), spent };
        GateFigures {
            cause: inside.ways.causes().first().map(|cause| match cause {
                Cause::ServerTrouble { .. } => "server_trouble",
                Cause::RateLimited { .. } => "rate_limited",
                Cause::OurFault { .. } => "refused",
            }),
            writes: figures(&inside.writes, inside.writes_spent),
            reads: figures(&inside.reads, inside.reads_spent),
        }
    }
}

impl Inside {
    /// Takes up to `wanted` requests; how many, and when there may be more.
    fn grant(&mut self, kind: Kind, wanted: u32, now: Instant) -> (u32, Option<Instant>) {
        if wanted == 0 {
            return (0, None);
        }
        let (wanted, probes) = match self.ways.permit(kind, now) {
            (Permit::All, _) => (wanted, false),
            (Permit::Probe, _) => (1, true),
            (Permit::None, probe_at) => return (0, probe_at),
        };
        let (bucket, take): (_, fn(&mut TokenBucket, _, _) -> _) = match kind {
            Kind::Write => (&mut self.writes, TokenBucket::take),
            Kind::Resend => (&mut self.writes, TokenBucket::overdraw),
            Kind::Read => (&mut self.reads, TokenBucket::take),
        };
        let requests = take(bucket, now, wanted);
        let wake_at = bucket.next_at(now);
        if probes && requests == 0 {
            self.ways.give_back(kind);
        }
        (requests, wake_at)
    }

    fn give_back(&mut self, kind: Kind, unused: u32) {
        if unused == 0 {
            return;
        }
        match kind {
            Kind::Write | Kind::Resend => self.writes.give_back(unused),
            Kind::Read => self.reads.give_back(unused),
        }
        self.ways.give_back(kind);
    }

    /// Takes from the budget what was read beyond what was granted. Whether the gateway limited our rate, and this is the first that we hear
    /// of it since the last pause.
    fn spend(&mut self, granted: u32, reads: Reads, now: Instant) -> bool {
        let beyond = reads.made.saturating_sub(granted);
        self.reads.debit(now, beyond);
        self.reads_spent += u64::from(beyond);
        reads.rate_limited && self.reads.pause_until(now + PAUSE_AFTER_RATE_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::clock::instant_from_micros;
    use crate::gateway::circuit::{Failure, Trouble};
    use crate::gateway::outcome::Reason;

    const NOTHING_READ: Reads = Reads { made: 0, rate_limited: false };
    const ONE_READ: Reads = Reads { made: 1, rate_limited: false };

    fn at(millis: i64) -> Instant {
        instant_from_micros(1_800_000_000_000_000 + millis * 1_000)
    }

    /// A hundred requests of a kind a second; probes after a minute.
    fn gate() -> Gate {
        let (budget, minute) = (NonZeroU32::new(100), Duration::from_mins(1));
        Gate::new(
            &config::Budget { writes_per_second: budget, reads_per_second: budget },
            &config::Circuit {
                failures: NonZeroU32::MIN,
                probe_after: minute,
                probe_after_refusal: minute,
                gateway_host: "127.0.0.1".to_owned(),
            },
        )
    }

    fn take(gate: &Gate, kind: Kind, wanted: u32, now: Instant) -> u32 {
        let grant = gate.ask(kind, wanted, now);
        let requests = grant.requests();
        grant.used();
        requests
    }

    fn forbidden() -> PostOutcome {
        PostOutcome::Rejected { status: 403, error_codes: Vec::new(), request_id: None }
    }

    fn not_payable() -> PostOutcome {
        PostOutcome::Rejected { status: 422, error_codes: Vec::new(), request_id: None }
    }

    fn broken() -> PostOutcome {
        PostOutcome::Unknown { reason: Reason::Status(503), server_error: true, request_id: None }
    }

    /// A gate that holds payments back because three charges were forbidden.
    fn refused() -> Gate {
        let gate = gate();
        let settled = [1, 2, 3].map(|charge_id| gate.note_post(charge_id, forbidden(), NOTHING_READ, at(0)));
        assert!(matches!(settled[1], PostOutcome::Rejected { .. }));
        assert!(matches!(settled[2], PostOutcome::OurFault { status: 403, .. }));
        gate
    }

    #[test]
    fn while_payments_are_refused_reads_go_on_and_say_nothing_of_it() {
        let gate = refused();
        assert_eq!(take(&gate, Kind::Read, 5, at(0)), 5);
        gate.note_look(Signal::Success, Reads { made: 1, rate_limited: false }, at(0));
        assert!(!gate.state().closed);
        let figures = gate.figures(at(0));
        assert_eq!((figures.cause, figures.reads.spent, figures.writes.spent), (Some("refused"), 5, 0));
        assert_eq!(figures.writes.per_second, Some(100));
        let early = gate.ask(Kind::Write, 5, at(59_999));
        assert_eq!((early.requests(), early.wake_at), (0, Some(at(60_000))));
        assert_eq!(take(&gate, Kind::Write, 5, at(60_000)), 1);
        assert!(matches!(
            gate.note_post(9, forbidden(), NOTHING_READ, at(60_000)),
            PostOutcome::OurFault { status: 403, .. }
        ));
        assert_eq!(take(&gate, Kind::Write, 5, at(119_999)), 0);
    }

    #[test]
    fn of_the_right_to_pay_only_a_payment_tells_and_no_refusal_of_another_kind() {
        let gate = refused();
        assert_eq!(take(&gate, Kind::Write, 5, at(60_000)), 1);
        assert_eq!(gate.note_post(9, not_payable(), NOTHING_READ, at(60_000)), not_payable());
        assert!(!gate.state().closed);
        assert_eq!((take(&gate, Kind::Write, 5, at(119_999)), take(&gate, Kind::Write, 5, at(120_000))), (0, 1));
        let again = gate.note_post(10, forbidden(), NOTHING_READ, at(120_000));
        assert!(
            matches!(again, PostOutcome::OurFault { status: 403, .. }),
            "although it is the first in a row: {again:?}"
        );
    }

    #[test]
    fn what_was_spent_is_what_was_used_and_what_was_read_beyond_that() {
        let gate = gate();
        let spent = || {
            let figures = gate.figures(at(0));
            (figures.writes.spent, figures.reads.spent)
        };
        assert_eq!((take(&gate, Kind::Write, 5, at(0)), take(&gate, Kind::Write, 4, at(0))), (5, 4));
        drop(gate.ask(Kind::Write, 9, at(0)));
        assert_eq!((take(&gate, Kind::Read, 2, at(0)), take(&gate, Kind::Read, 4, at(0))), (2, 4));
        assert_eq!(spent(), (9, 6));
        gate.note_look(Signal::Success, Reads { made: 4, rate_limited: false }, at(0));
        gate.note_post(1, not_payable(), Reads { made: 2, rate_limited: false }, at(0));
        assert_eq!(spent(), (9, 11), "three pages beyond the first, and two after a payment");
        assert_eq!(take(&gate, Kind::Read, 1, at(10)), 0, "the budget is overdrawn by one");
        assert_eq!(take(&gate, Kind::Read, 1, at(20)), 1);
    }

    #[test]
    fn a_probe_that_nobody_needed_goes_to_whoever_asks_next() {
        let gate = refused();
        let probe = gate.ask(Kind::Write, 5, at(60_000));
        assert_eq!(probe.requests(), 1);
        drop(gate.ask(Kind::Read, 1, at(60_000)));
        assert_eq!(take(&gate, Kind::Write, 5, at(60_000)), 0, "a read's leave is no probe");
        drop(probe);
        assert_eq!(take(&gate, Kind::Write, 5, at(119_000)), 1);
        assert_eq!(take(&gate, Kind::Write, 5, at(178_999)), 0, "one at a time, from when it went");
        assert_eq!(take(&gate, Kind::Write, 5, at(179_000)), 1, "it is taken for lost");
    }

    #[test]
    fn one_rate_limit_only_pauses_and_one_after_each_of_several_pauses_holds_payments_back() {
        let gate = gate();
        let limited = || PostOutcome::Unsent { reason: Reason::RateLimited, pause: true };
        for second in 0..5 {
            let now = at(second * 1_100);
            assert!(gate.state().closed, "{second}");
            let sent = take(&gate, Kind::Write, 5, now);
            assert!(sent > 0, "{second}: the pause is over");
            // A volley is one rate limit, however large it is.
            for _ in 0..64 {
                gate.note_post(1, limited(), NOTHING_READ, now);
            }
            assert_eq!(take(&gate, Kind::Write, 5, now + TimeDelta::milliseconds(999)), 0);
        }
        assert_eq!(gate.figures(at(4_400)).cause, Some("rate_limited"));
        assert!(gate.state().cause.is_some_and(|cause| cause.contains("it took no POST requests")));
        assert_eq!(gate.ask(Kind::Write, 5, at(64_399)).wake_at, Some(at(64_400)));
        assert_eq!(take(&gate, Kind::Read, 5, at(64_399)), 5, "looks go on");
        gate.note_look(Signal::Success, ONE_READ, at(64_399));
        assert_eq!(take(&gate, Kind::Write, 5, at(64_400)), 1, "one probe");
        gate.note_post(2, limited(), NOTHING_READ, at(64_401));
        assert_eq!(take(&gate, Kind::Write, 5, at(124_400)), 0);
        assert_eq!(take(&gate, Kind::Write, 5, at(124_401)), 1, "and another after the same wait");
        gate.note_post(3, not_payable(), NOTHING_READ, at(124_402));
        assert!(gate.state().closed && take(&gate, Kind::Write, 2, at(124_600)) == 2);
    }

    #[test]
    fn trouble_with_payments_alone_leaves_looks_alone_and_only_a_payment_ends_it() {
        let gate = gate();
        gate.note_post(1, broken(), NOTHING_READ, at(0));
        assert_eq!(gate.figures(at(0)).cause, Some("server_trouble"));
        assert!(gate.state().cause.is_some_and(|cause| cause.contains("the last 1 POST requests met server errors")));
        assert_eq!(take(&gate, Kind::Read, 3, at(0)), 3);
        gate.note_look(Signal::Success, ONE_READ, at(0));
        assert_eq!(take(&gate, Kind::Write, 5, at(59_999)), 0, "a look that is answered proves nothing of payments");
        assert_eq!(take(&gate, Kind::Write, 5, at(60_000)), 1);
        gate.note_look(Signal::Success, ONE_READ, at(60_001));
        assert!(!gate.state().closed);
        let refused = gate.note_post(2, forbidden(), NOTHING_READ, at(60_002));
        assert!(matches!(refused, PostOutcome::Rejected { status: 403, .. }), "that payment's own: nothing is refused");
        assert!(gate.state().closed);
    }

    #[test]
    fn a_payment_probes_where_both_ways_let_it_and_looks_may_go_first() {
        let gate = gate();
        gate.note_post(1, broken(), NOTHING_READ, at(0));
        gate.note_look(Signal::Failure(Failure::ServerTrouble(Trouble::TimeOut)), ONE_READ, at(5_000));
        let early = gate.ask(Kind::Write, 5, at(60_000));
        assert_eq!((early.requests(), early.wake_at), (0, Some(at(65_000))), "the gateway's own wait is longer");
        drop(early);
        assert_eq!(take(&gate, Kind::Read, 5, at(65_000)), 1);
        assert_eq!(take(&gate, Kind::Write, 5, at(65_000)), 0, "one at a time");
        gate.note_look(Signal::Success, ONE_READ, at(65_100));
        assert_eq!(take(&gate, Kind::Write, 5, at(65_100)), 1, "its probe was kept");
        gate.note_post(1, broken(), NOTHING_READ, at(65_200));
        assert_eq!((take(&gate, Kind::Write, 5, at(65_300)), take(&gate, Kind::Read, 2, at(65_300))), (0, 2));
    }

    #[test]
    fn looks_that_are_limited_after_each_pause_are_held_back_alone() {
        let gate = gate();
        let limited = Reads { made: 1, rate_limited: true };
        for second in 0..5 {
            assert!(gate.state().closed && take(&gate, Kind::Read, 5, at(second * 1_100)) > 0, "{second}");
            gate.note_look(Signal::Nothing, limited, at(second * 1_100));
        }
        assert!(gate.state().cause.is_some_and(|cause| cause.contains("it took no GET requests")));
        assert_eq!(gate.turns(1, at(4_400)), [TimeDelta::minutes(1)]);
        assert_eq!(take(&gate, Kind::Write, 5, at(4_400)), 5);
        gate.note_post(1, not_payable(), NOTHING_READ, at(4_400));
        assert_eq!((take(&gate, Kind::Read, 5, at(64_399)), take(&gate, Kind::Read, 5, at(64_400))), (0, 1));
        gate.note_look(Signal::Success, ONE_READ, at(64_500));
        assert!(gate.state().closed);
    }

    #[test]
    fn the_probe_after_a_403_costs_a_read_and_its_rate_limit_pauses_reads() {
        let gate = gate();
        assert_eq!(take(&gate, Kind::Read, 100, at(0)), 10);
        gate.note_post(1, forbidden(), Reads { made: 1, rate_limited: false }, at(0));
        assert_eq!(take(&gate, Kind::Read, 100, at(19)), 0);
        assert_eq!(take(&gate, Kind::Read, 100, at(20)), 1);
        gate.note_post(1, forbidden(), Reads { made: 1, rate_limited: true }, at(20));
        assert_eq!(take(&gate, Kind::Read, 100, at(1_019)), 0);
        assert_eq!(take(&gate, Kind::Write, 100, at(1_019)), 10, "writes are not paused");
        assert!(take(&gate, Kind::Read, 100, at(1_100)) > 0);
    }

    #[test]
    fn what_is_not_used_of_a_grant_goes_back() {
        let gate = gate();
        let mut grant = gate.ask(Kind::Write, 8, at(0));
        grant.keep(3);
        assert_eq!((grant.requests(), take(&gate, Kind::Write, 100, at(0))), (3, 7));
        drop(grant);
        assert_eq!(take(&gate, Kind::Write, 100, at(0)), 3);
    }

    #[test]
    fn who_only_asks_what_could_be_had_keeps_it_from_nobody() {
        let refused = refused();
        assert_eq!(refused.could_grant(Kind::Write, 5, at(59_999)), (0, Some(at(60_000))));
        assert_eq!(refused.could_grant(Kind::Write, 5, at(60_000)).0, 1);
        assert_eq!(take(&refused, Kind::Write, 5, at(60_000)), 1, "the probe is still there");
        let gate = gate();
        assert_eq!((gate.could_grant(Kind::Write, 100, at(0)).0, take(&gate, Kind::Write, 100, at(0))), (10, 10));
    }

    #[test]
    fn what_was_looked_up_goes_although_others_take_every_token() {
        let gate = gate();
        assert_eq!(take(&gate, Kind::Write, 100, at(0)), 10);
        assert_eq!(take(&gate, Kind::Resend, 12, at(0)), 1, "one beyond what is there");
        assert_eq!(take(&gate, Kind::Resend, 1, at(0)), 0);
        assert_eq!(
            (take(&gate, Kind::Write, 1, at(10)), take(&gate, Kind::Write, 1, at(20))),
            (0, 1),
            "it is made good"
        );
        assert_eq!(refused().ask(Kind::Resend, 5, at(59_999)).requests(), 0, "no circuit is opened by it");
    }

    #[test]
    fn reads_that_are_not_granted_get_turns_as_fast_as_the_budget_brings_them() {
        let gate = gate();
        assert_eq!(take(&gate, Kind::Read, 100, at(0)), 10);
        assert_eq!(gate.turns(3, at(0)), [10, 20, 30].map(TimeDelta::milliseconds));
        assert_eq!(gate.turns(1, at(0)), [TimeDelta::milliseconds(40)]);
        assert_eq!(gate.comes_round_at(at(0)), Some(at(40)));
    }
}
