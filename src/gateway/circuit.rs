//! When sending pauses because the gateway is in trouble or refuses our key. Pure on instants: no timer, no task.

use std::fmt;
use std::time::Duration;

use crate::clock::Instant;
use crate::config;

/// So often in a row must the gateway limit our rate, each time after a pause that it had asked for, until nothing but a probe is sent.
pub const RATE_LIMITS_IN_A_ROW: u32 = 5;

/// Decides whether a request may go. Closed: all may; open: none; after a wait one probes.
#[derive(Debug, Clone)]
pub struct Circuit {
    failures: u32,
    probe_after: Duration,
    probe_after_refusal: Duration,
    host: String,
    asked: Asked,
    state: State,
}

/// Which requests a circuit hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// GET requests, and what the answer to any request shows of all.
    All,
    /// POST requests.
    Posts,
    /// GET requests.
    Gets,
}

/// What readiness shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Requests go.
    Closed {
        /// Server errors and time-outs since the last success.
        failures_in_a_row: u32,
        /// Rate limits since then, of which each came after a pause.
        rate_limits_in_a_row: u32,
    },
    /// None goes.
    Open {
        /// Since when.
        since: Instant,
        /// When one may probe.
        probe_at: Instant,
        /// Why, and what to do.
        cause: Cause,
    },
    /// One is under way to find out.
    Probing {
        /// Open since.
        since: Instant,
        /// A probe that has not reported by then is taken for lost, and another may go.
        next_probe_at: Instant,
        /// Why it is open.
        cause: Cause,
    },
}

/// Nothing has failed since the last success.
const CLOSED: State = State::Closed { failures_in_a_row: 0, rate_limits_in_a_row: 0 };

/// Why the circuit is open. `Display` names the operator's next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// 5xx answers, time-outs, refused connections.
    ServerTrouble {
        /// So many in a row.
        failures: u32,
        /// Of these requests.
        asked: Asked,
        /// The gateway's host and port.
        host: String,
        /// The last of them.
        last: Trouble,
    },
    /// 429 after 429, and the pauses between them do not help.
    RateLimited {
        /// So many in a row.
        times: u32,
        /// Of these requests.
        asked: Asked,
    },
    /// 401 or 403, and not for one payment alone.
    OurFault {
        /// Which of them.
        status: u16,
    },
}

/// What may go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Everything.
    All,
    /// One request; its outcome must be reported.
    Probe,
    /// Nothing.
    None,
}

/// How a request met an error of the server's or no answer. Holds no body, no URL and no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No connection was made; what the system or TLS said.
    NoConnection(String),
    /// Nothing came in time.
    TimeOut,
    /// The answer broke off, or none came at all; what was noticed.
    BrokenOff(String),
    /// A 5xx.
    Status(u16),
}

/// A failure that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// 5xx, time-out, refused connection.
    ServerTrouble(Trouble),
    /// 429, to a request that was made after the pause for the one before.
    RateLimited,
    /// Our key or account is refused.
    OurFault {
        /// 401 or 403.
        status: u16,
    },
}

/// What an outcome says to the circuit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The gateway works.
    Success,
    /// It does not, for us.
    Failure(Failure),
    /// Neither: an odd answer, or a rate limit, of which whoever keeps the budget knows whether it counts.
    Nothing,
}

impl Circuit {
    /// A closed circuit over these requests.
    pub fn new(settings: &config::Circuit, asked: Asked) -> Self {
        Circuit {
            failures: settings.failures.get(),
            probe_after: settings.probe_after,
            probe_after_refusal: settings.probe_after_refusal,
            host: settings.gateway_host.clone(),
            asked,
            state: CLOSED,
        }
    }

    /// What may go now. A [`Permit::Probe`] is given once; the next one only after its outcome, or when it is taken for lost.
    pub fn allows(&mut self, now: Instant) -> Permit {
        let (since, due_at, cause) = match &self.state {
            State::Closed { .. } => return Permit::All,
            State::Open { since, probe_at, cause } => (*since, *probe_at, cause),
            State::Probing { since, next_probe_at, cause } => (*since, *next_probe_at, cause),
        };
        let next_probe_at = now + self.wait(cause);
        // A wait longer than the rule's own means that the clock was set back: counted anew from now, it ends some time.
        let due_at = due_at.min(next_probe_at);
        if now < due_at {
            match &mut self.state {
                State::Open { probe_at: kept, .. } | State::Probing { next_probe_at: kept, .. } => *kept = due_at,
                State::Closed { .. } => {}
            }
            return Permit::None;
        }
        self.state = State::Probing { since, next_probe_at, cause: cause.clone() };
        Permit::Probe
    }

    /// The probe that was given goes only now: it is taken for lost when the whole wait is over again.
    pub fn probe_goes(&mut self, now: Instant) {
        if let State::Probing { since, cause, .. } = &self.state {
            self.state = State::Probing { since: *since, next_probe_at: now + self.wait(cause), cause: cause.clone() };
        }
    }

    /// Hears what an outcome says.
    pub fn note(&mut self, now: Instant, signal: Signal) {
        match signal {
            Signal::Success => self.on_success(now),
            Signal::Failure(failure) => self.on_failure(now, failure),
            Signal::Nothing => {}
        }
    }

    /// A request was answered. While open, without a probe, it is the late answer to a request from before, and says nothing.
    pub fn on_success(&mut self, _now: Instant) {
        match self.state {
            State::Closed { .. } | State::Probing { .. } => self.state = CLOSED,
            State::Open { .. } => {}
        }
    }

    /// A request failed. While open only a refusal of our key still counts: it names another remedy and waits longer.
    pub fn on_failure(&mut self, now: Instant, failure: Failure) {
        let (since, cause) = match (&self.state, failure) {
            (State::Closed { failures_in_a_row, rate_limits_in_a_row }, failure) => {
                let (mut failures, mut limits) = (*failures_in_a_row, *rate_limits_in_a_row);
                match failure {
                    Failure::ServerTrouble(_) => failures = failures.saturating_add(1),
                    Failure::RateLimited => limits = limits.saturating_add(1),
                    Failure::OurFault { .. } => {}
                }
                let opens = match failure {
                    Failure::ServerTrouble(_) => failures >= self.failures,
                    Failure::RateLimited => limits >= RATE_LIMITS_IN_A_ROW,
                    Failure::OurFault { .. } => true,
                };
                if !opens {
                    self.state = State::Closed { failures_in_a_row: failures, rate_limits_in_a_row: limits };
                    return;
                }
                (now, self.cause(failure, failures, limits))
            }
            (State::Open { cause: Cause::OurFault { .. }, .. }, _)
            | (State::Open { .. }, Failure::ServerTrouble(_) | Failure::RateLimited) => return,
            (State::Open { since, .. }, failure @ Failure::OurFault { .. }) => (*since, self.cause(failure, 0, 0)),
            (State::Probing { since, cause, .. }, failure) => {
                // What opened it for another reason has not been counted: the probe is one more than it takes to open.
                let failures = match cause {
                    Cause::ServerTrouble { failures, .. } => failures.saturating_add(1),
                    Cause::RateLimited { .. } | Cause::OurFault { .. } => self.failures,
                };
                let limits = match cause {
                    Cause::RateLimited { times, .. } => times.saturating_add(1),
                    Cause::ServerTrouble { .. } | Cause::OurFault { .. } => RATE_LIMITS_IN_A_ROW,
                };
                (*since, self.cause(failure, failures, limits))
            }
        };
        self.state = State::Open { since, probe_at: now + self.wait(&cause), cause };
    }

    fn cause(&self, failure: Failure, failures: u32, times: u32) -> Cause {
        match failure {
            Failure::ServerTrouble(last) => {
                Cause::ServerTrouble { failures, asked: self.asked, host: self.host.clone(), last }
            }
            Failure::RateLimited => Cause::RateLimited { times, asked: self.asked },
            Failure::OurFault { status } => Cause::OurFault { status },
        }
    }

    /// How it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn wait(&self, cause: &Cause) -> Duration {
        match cause {
            Cause::ServerTrouble { .. } | Cause::RateLimited { .. } => self.probe_after,
            Cause::OurFault { .. } => self.probe_after_refusal,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::ServerTrouble { failures, asked, host, last } => write!(
                f,
                "the last {failures} {asked} met server errors or silence, last: {host}, {last}; see the gateway's status page and this machine's \
                 network; sending goes on by itself once a probe is answered"
            ),
            Cause::RateLimited { times, asked } => write!(
                f,
                "the gateway limits our rate (429): {times} times in a row, after a pause each, it took no {asked}; see what else uses this \
                 account, or lower [budget]; it goes on by itself once a probe is answered"
            ),
            Cause::OurFault { status: 401 } => f.write_str(
                "the gateway refuses our key (401); check the secret key, that it belongs to this environment, and that it was \
                 not revoked",
            ),
            Cause::OurFault { status } => write!(
                f,
                "the gateway refuses our requests ({status}); check the key's permissions, the processing channel and the \
                 account's allowed addresses"
            ),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Asked::All => "requests",
            Asked::Posts => "POST requests",
            Asked::Gets => "GET requests",
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NoConnection(why) => write!(f, "no connection ({why})"),
            Trouble::TimeOut => f.write_str("time-out"),
            Trouble::BrokenOff(why) => write!(f, "no whole answer ({why})"),
            Trouble::Status(status) => write!(f, "HTTP {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::clock::instant_from_micros;

    const REFUSED: Failure = Failure::OurFault { status: 401 };
    const TROUBLE: Failure = Failure::ServerTrouble(Trouble::Status(503));

    fn trouble(failures: u32, last: Trouble) -> Cause {
        Cause::ServerTrouble { failures, asked: Asked::All, host: "127.0.0.1:8462".to_owned(), last }
    }

    fn at(seconds: i64) -> Instant {
        instant_from_micros((1_800_000_000 + seconds) * 1_000_000)
    }

    /// Opens after three failures, probes after 30 s, or 600 s after a refusal.
    fn circuit() -> Circuit {
        let settings = config::Circuit {
            failures: NonZeroU32::new(3).unwrap(),
            probe_after: Duration::from_secs(30),
            probe_after_refusal: Duration::from_secs(600),
            gateway_host: "127.0.0.1:8462".to_owned(),
        };
        Circuit::new(&settings, Asked::All)
    }

    fn opened_by(failure: Failure) -> Circuit {
        let mut circuit = circuit();
        for _ in 0..3 {
            circuit.on_failure(at(0), failure.clone());
        }
        circuit
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let mut circuit = circuit();
        for second in 0..10 {
            circuit.on_failure(at(second), TROUBLE);
            circuit.on_failure(at(second), TROUBLE);
            circuit.note(at(second), Signal::Nothing);
            assert_eq!(circuit.allows(at(second)), Permit::All);
            circuit.on_success(at(second));
        }
        for _ in 0..3 {
            circuit.on_failure(at(10), TROUBLE);
        }
        let cause = trouble(3, Trouble::Status(503));
        assert_eq!(circuit.state(), &State::Open { since: at(10), probe_at: at(40), cause });
        assert_eq!(circuit.allows(at(39)), Permit::None);
    }

    #[test]
    fn one_probe_goes_at_a_time_and_its_success_closes() {
        let mut circuit = opened_by(TROUBLE);
        assert_eq!(circuit.allows(at(30)), Permit::Probe);
        assert_eq!(circuit.allows(at(30)), Permit::None);
        circuit.on_success(at(31));
        assert_eq!(circuit.allows(at(31)), Permit::All);
    }

    #[test]
    fn a_pause_names_the_host_and_what_was_met_last() {
        for (last, told) in [
            (Trouble::NoConnection("Connection refused".to_owned()), "no connection (Connection refused)"),
            (Trouble::TimeOut, "time-out"),
            (Trouble::BrokenOff("connection closed".to_owned()), "no whole answer (connection closed)"),
            (Trouble::Status(503), "HTTP 503"),
        ] {
            let cause = trouble(5, last).to_string();
            assert!(cause.contains(&format!("last: 127.0.0.1:8462, {told}; ")), "{cause}");
        }
    }

    #[test]
    fn a_failed_probe_waits_again_and_keeps_the_beginning() {
        let mut circuit = opened_by(TROUBLE);
        assert_eq!(circuit.allows(at(30)), Permit::Probe);
        circuit.on_failure(at(32), Failure::ServerTrouble(Trouble::TimeOut));
        let cause = trouble(4, Trouble::TimeOut);
        assert_eq!(circuit.state(), &State::Open { since: at(0), probe_at: at(62), cause });
    }

    #[test]
    fn a_probe_that_never_reports_does_not_hold_the_circuit_open_for_ever() {
        let mut circuit = opened_by(TROUBLE);
        assert_eq!(circuit.allows(at(30)), Permit::Probe);
        assert_eq!(circuit.allows(at(59)), Permit::None);
        assert_eq!(circuit.allows(at(60)), Permit::Probe);
    }

    #[test]
    fn a_refused_key_opens_at_once_for_longer_and_says_what_to_do() {
        let mut circuit = circuit();
        circuit.on_failure(at(0), REFUSED);
        assert_eq!(circuit.allows(at(599)), Permit::None);
        let State::Open { cause, .. } = circuit.state() else { panic!("open") };
        assert!(cause.to_string().contains("check the secret key"));
        assert_eq!(circuit.allows(at(600)), Permit::Probe);
    }

    #[test]
    fn a_refusal_while_open_names_the_other_remedy() {
        let mut circuit = opened_by(TROUBLE);
        circuit.on_failure(at(5), Failure::OurFault { status: 403 });
        let cause = Cause::OurFault { status: 403 };
        assert_eq!(circuit.state(), &State::Open { since: at(0), probe_at: at(605), cause: cause.clone() });
        circuit.on_failure(at(6), TROUBLE);
        assert_eq!(circuit.state(), &State::Open { since: at(0), probe_at: at(605), cause });
    }

    #[test]
    fn server_trouble_after_a_refusal_stays_open() {
        let mut circuit = opened_by(REFUSED);
        assert_eq!(circuit.allows(at(600)), Permit::Probe);
        circuit.on_failure(at(601), TROUBLE);
        assert_eq!(circuit.allows(at(602)), Permit::None);
    }

    #[test]
    fn rate_limits_in_a_row_open_it_and_are_not_counted_with_server_errors() {
        let mut circuit = circuit();
        for second in 1..i64::from(RATE_LIMITS_IN_A_ROW) {
            circuit.on_failure(at(second), Failure::RateLimited);
            assert_eq!(circuit.allows(at(second)), Permit::All, "a rate limit alone only pauses");
        }
        circuit.on_failure(at(5), TROUBLE);
        circuit.on_failure(at(5), TROUBLE);
        assert_eq!(circuit.allows(at(5)), Permit::All);
        circuit.on_failure(at(6), Failure::RateLimited);
        let cause = Cause::RateLimited { times: RATE_LIMITS_IN_A_ROW, asked: Asked::All };
        assert!(cause.to_string().contains("limits our rate (429): 5 times in a row"), "{cause}");
        assert_eq!(circuit.state(), &State::Open { since: at(6), probe_at: at(36), cause });
        circuit.on_failure(at(7), Failure::RateLimited);
        assert_eq!((circuit.allows(at(35)), circuit.allows(at(36))), (Permit::None, Permit::Probe));
        circuit.on_failure(at(37), Failure::RateLimited);
        let cause = Cause::RateLimited { times: RATE_LIMITS_IN_A_ROW + 1, asked: Asked::All };
        assert_eq!(circuit.state(), &State::Open { since: at(6), probe_at: at(67), cause });
        assert_eq!(circuit.allows(at(67)), Permit::Probe);
        circuit.on_success(at(68));
        circuit.on_failure(at(69), Failure::RateLimited);
        assert_eq!(circuit.allows(at(69)), Permit::All, "a success begins the count anew");
    }

    #[test]
    fn a_late_answer_from_before_does_not_close_it() {
        let mut circuit = opened_by(REFUSED);
        circuit.on_success(at(1));
        assert_eq!(circuit.allows(at(1)), Permit::None);
    }

    #[test]
    fn a_clock_set_back_does_not_hold_it_open_for_longer_than_its_wait() {
        let mut circuit = opened_by(TROUBLE);
        assert_eq!(circuit.allows(at(-86_400)), Permit::None);
        assert_eq!(circuit.allows(at(-86_400 + 30)), Permit::Probe);
        assert_eq!(circuit.allows(at(-172_800)), Permit::None);
        assert_eq!(circuit.allows(at(-172_800 + 30)), Permit::Probe);
    }
}
