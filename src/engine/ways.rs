//! The ways to the gateway: every request's, and beside it that of payments and that of looks, each with a circuit. Pure on instants;
//! budgets stand in `gate`.

use crate::clock::Instant;
use crate::config;
use crate::engine::refusals::Refusals;
use crate::gateway::circuit::{Asked, Cause, Circuit, Failure, Permit, Signal, State};
use crate::gateway::outcome::PostOutcome;

/// Requests of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// POST requests of attempts whose time has come.
    Write,
    /// Those of attempts that were looked up just now: they go before the others. Where the budget is empty because those take every token
    /// that it brings, it is overdrawn by one, which is made good before they go on.
    Resend,
    Read,
}

/// Every way.
#[derive(Debug)]
pub(super) struct Ways {
    /// Whether the gateway works, for us: every request's way.
    gateway: Way,
    /// Whether payments are taken: beside the gateway's, the way of every POST, and only a POST opens it again. Looks go on while it is
    /// closed to payments: they find what became of those that were sent.
    payments: Way,
    /// The same of looks, whose rate the gateway limits by itself.
    looks: Way,
    refusals: Refusals,
}

/// A circuit, and whose probe it is.
#[derive(Debug)]
struct Way {
    circuit: Circuit,
    /// The circuit let one request probe, and whoever was given it had nothing to send: the next who asks has it.
    spare_probe: bool,
}

/// Why requests are held back; none where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Causes {
    /// Why payments are, or all are.
    pub sends: Option<Cause>,
    /// Why looks alone are.
    pub looks: Option<Cause>,
}

impl Ways {
    /// All open.
    pub fn new(settings: &config::Circuit) -> Ways {
        Ways {
            gateway: Way::new(settings, Asked::All),
            payments: Way::new(settings, Asked::Posts),
            looks: Way::new(settings, Asked::Gets),
            refusals: Refusals::default(),
        }
    }

    /// What may go now of a kind, and where that is nothing, when one may probe.
    pub fn permit(&mut self, kind: Kind, now: Instant) -> (Permit, Option<Instant>) {
        let [own, gateway] = self.of(kind);
        let permit = own.permit(now);
        if permit == Permit::None {
            return (Permit::None, own.probe_at());
        }
        match gateway.permit(now) {
            Permit::All => (permit, None),
            Permit::Probe => (Permit::Probe, None),
            Permit::None => {
                own.give_back();
                (Permit::None, gateway.probe_at())
            }
        }
    }

    /// What was permitted was not sent. A probe that nobody sent would otherwise hold a circuit until it is taken for lost, and a verb that has
    /// nothing to send could take every probe from one that has.
    pub fn give_back(&mut self, kind: Kind) {
        for way in self.of(kind) {
            way.give_back();
        }
    }

    /// When a look may probe; none where looks go.
    pub fn look_probes_at(&self) -> Option<Instant> {
        self.gateway.probe_at().max(self.looks.probe_at())
    }

    /// Hears what a look came to; `is_limited`: the gateway limits our rate of them although we have paused.
    pub fn hear_look(&mut self, signal: Signal, is_limited: bool, now: Instant) {
        if signal == Signal::Success {
            self.looks.circuit.on_success(now);
        } else if is_limited {
            self.looks.circuit.on_failure(now, Failure::RateLimited);
        }
        self.gateway.circuit.note(now, signal);
    }

    /// Hears what the POST of a charge came to, and gives it back as it is to be settled: a 403 that payment after payment gets is our
    /// fault, although reads are admitted. `is_limited`: the gateway limits our rate although we have paused.
    pub fn hear_post(&mut self, charge_id: i64, outcome: PostOutcome, is_limited: bool, now: Instant) -> PostOutcome {
        let signal = outcome.signal();
        // The answer itself shows that the gateway works, and a refused key is refused to all. But trouble with payments may be theirs alone:
        // whether looks have it too, they find out by themselves.
        if matches!(signal, Signal::Success | Signal::Failure(Failure::OurFault { .. })) {
            self.gateway.circuit.note(now, signal.clone());
        }
        if is_limited {
            self.payments.circuit.on_failure(now, Failure::RateLimited);
        }
        let in_a_row = self.refusals.hear(charge_id, &outcome);
        match outcome {
            // While payments are held back as refused, one more 403 tells no more of its own payment than those before.
            PostOutcome::Rejected { status: 403, request_id, .. } if in_a_row || self.payments.is_refused() => {
                self.payments.circuit.on_failure(now, Failure::OurFault { status: 403 });
                PostOutcome::OurFault { status: 403, request_id }
            }
            // Of the right to pay only a payment tells, not the refusal of one.
            PostOutcome::Rejected { .. } if self.payments.is_refused() => outcome,
            outcome => {
                self.payments.circuit.note(now, signal);
                outcome
            }
        }
    }

    /// Why requests are held back.
    pub fn causes(&self) -> Causes {
        Causes { sends: self.gateway.cause().or_else(|| self.payments.cause()), looks: self.looks.cause() }
    }

    /// The ways that a request of a kind takes: its own, and every request's.
    fn of(&mut self, kind: Kind) -> [&mut Way; 2] {
        match kind {
            Kind::Write | Kind::Resend => [&mut self.payments, &mut self.gateway],
            Kind::Read => [&mut self.looks, &mut self.gateway],
        }
    }
}

impl Way {
    fn new(settings: &config::Circuit, asked: Asked) -> Way {
        Way { circuit: Circuit::new(settings, asked), spare_probe: false }
    }

    fn cause(&self) -> Option<Cause> {
        match self.circuit.state() {
            State::Closed { .. } => None,
            State::Open { cause, .. } | State::Probing { cause, .. } => Some(cause.clone()),
        }
    }

    fn is_refused(&self) -> bool {
        matches!(self.cause(), Some(Cause::OurFault { .. }))
    }

    /// What may go now; a spare probe goes to whoever asks.
    fn permit(&mut self, now: Instant) -> Permit {
        let permit = self.circuit.allows(now);
        let spare = std::mem::take(&mut self.spare_probe) && self.is_probing();
        if permit == Permit::None && spare {
            self.circuit.probe_goes(now);
            return Permit::Probe;
        }
        permit
    }

    fn give_back(&mut self) {
        self.spare_probe |= self.is_probing();
    }

    fn probe_at(&self) -> Option<Instant> {
        match self.circuit.state() {
            State::Closed { .. } => None,
            State::Open { probe_at, .. } => Some(*probe_at),
            State::Probing { next_probe_at, .. } => Some(*next_probe_at),
        }
    }

    fn is_probing(&self) -> bool {
        matches!(self.circuit.state(), State::Probing { .. })
    }
}

impl Causes {
    /// The one that is told first.
    pub fn first(self) -> Option<Cause> {
        self.sends.or(self.looks)
    }

    /// Says what begins to pause, and what goes on, where things stand like `is` now.
    pub fn tell(self, is: Causes) {
        for (what, was, is) in [("sending", self.sends, is.sends), ("looking up", self.looks, is.looks)] {
            match (was, is) {
                (None, Some(cause)) => tracing::error!(circuit.cause = %cause, "{what} pauses: {cause}"),
                (Some(_), None) => tracing::info!("{what} goes on"),
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
    }
}
