//! The gateway: one harmless read with the secret key, and what its `Date` header says of our clock. Without a key the same read shows
//! at least that somebody answers.

use std::time::Duration;

use chrono::TimeDelta;
use secrecy::SecretString;

use super::{CLOCKS_APART_AT_MOST, Finding, Part};
use crate::clock::{Clock, Instant};
use crate::config::Settings;
use crate::engine::Steady;
use crate::engine::rules::{environment_of, ledger_of};
use crate::gateway::http::Http;
use crate::gateway::outcome::LookUpOutcome;
use crate::gateway::payments::Client;
use crate::store::Store;

/// A gateway that has not answered for so long is not waited for any longer, whatever `gateway.timeout` says.
const GATEWAY_WAIT: Duration = Duration::from_secs(20);

/// Asks once. The books' clock is held against the gateway's where the books can be read, else this machine's.
pub(super) async fn examine(
    settings: &Settings,
    secret_key: Option<&SecretString>,
    store: Option<&Store>,
    clock: &Clock,
) -> Vec<Finding> {
    let url = &settings.gateway.url;
    let transport = match Http::new(&settings.gateway) {
        Ok(transport) => std::sync::Arc::new(transport),
        Err(error) => return vec![Part::Gateway.fault(super::told(&error), "mend gateway.url or the certificates")],
    };
    let nobody = SecretString::from("");
    let (client, meter) = Client::new(transport, secret_key.unwrap_or(&nobody)).metered();
    // No payment bears the ledger's own name as its reference.
    let reference = ledger_of(settings).to_string();
    let answer = tokio::time::timeout(GATEWAY_WAIT, client.payments_by_reference(&reference)).await;
    let Ok(outcome) = answer else {
        let text = format!("{url} has not answered within {} s", GATEWAY_WAIT.as_secs());
        return vec![Part::Gateway.fault(text, REACH)];
    };
    let mut findings = vec![answered(settings, &outcome, secret_key.is_some(), meter.answered().is_some())];
    let Some(answered) = meter.answered() else { return findings };
    let Some(date) = answered.date else {
        findings.push(Part::Gateway.note("its answer bears no date: the clock is not held against its"));
        return findings;
    };
    let (whose, now) = match store {
        Some(store) => match tokio::time::timeout(super::DATABASE_WAIT, store.now()).await {
            Ok(Ok(now)) => ("the books' clock", now),
            _ => ("this machine's clock", clock.now()),
        },
        None => ("this machine's clock", clock.now()),
    };
    findings.push(clocks(whose, now, date, clock.since_boot()));
    findings
}

const REACH: &str = "check the network, DNS, a firewall, and gateway.url";

fn answered(settings: &Settings, outcome: &LookUpOutcome, with_key: bool, heard: bool) -> Finding {
    let url = &settings.gateway.url;
    let environment = environment_of(settings);
    match outcome {
        LookUpOutcome::OurFault { status: 401 } if !with_key => {
            Part::Gateway.note(format!("{url} answers; without a secret key it was not asked more"))
        }
        LookUpOutcome::Listed(_) => Part::Gateway.ok(format!("{url} answers, and takes the secret key for reading payments")),
        LookUpOutcome::OurFault { status: 401 } => Part::Gateway.fault(
            format!("{url} refuses the secret key (HTTP 401): it was revoked or mistyped, or is of another account or environment"),
            format!(
                "compare it with the gateway's dashboard for {environment} (Developers, Keys), put the right one in its place, \
                 and restart the daemon: nothing is sent meanwhile"
            ),
        ),
        LookUpOutcome::OurFault { status } => Part::Gateway.fault(
            format!("{url} knows the secret key, but does not let it read payments (HTTP {status})"),
            "give the key the scope for payments in the gateway's dashboard, and have this machine's address allowed there",
        ),
        LookUpOutcome::RateLimited => Part::Gateway.warning(
            format!("{url} answers, but limits our rate (HTTP 429)"),
            "lower budget.reads_per_second, or find out who else uses the account; then ask again",
        ),
        LookUpOutcome::NoConclusion { reason, .. } if heard => {
            let next = "see whether gateway.url is the gateway's, and its status page; then ask again";
            Part::Gateway.fault(format!("{url} answers, but not as it should: {reason}"), next)
        }
        LookUpOutcome::NoConclusion { reason, .. } => Part::Gateway.fault(format!("{url}: {reason}"), REACH),
    }
}

/// The daemon's own judgement comes first: it bills and sends nothing by a clock that it does not believe.
fn clocks(whose: &str, now: Instant, date: Instant, since_boot: Duration) -> Finding {
    let steady = Steady::default();
    steady.hear(Some(date), since_boot);
    let apart: TimeDelta = now - date;
    let seconds = apart.num_seconds();
    let next =
        "set the clock of the machine that the database runs on, by a time service such as systemd-timesyncd or chrony";
    if steady.wrong(now, since_boot).is_some() {
        return Part::Gateway
            .fault(format!("{whose} is {seconds} s from the gateway's: nothing is billed or sent by it"), next);
    }
    if apart.abs() > CLOCKS_APART_AT_MOST {
        return Part::Gateway.warning(format!("{whose} is {seconds} s from the gateway's"), next);
    }
    Part::Gateway.ok(format!("{whose} agrees with the gateway's within {} s", CLOCKS_APART_AT_MOST.num_seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces::doctor::Level;

    #[test]
    fn a_clock_is_told_by_how_far_it_is_off() {
        let date: Instant = "2026-11-25T12:00:00Z".parse().unwrap();
        let level =
            |seconds| clocks("the books' clock", date + TimeDelta::seconds(seconds), date, Duration::ZERO).level;
        for (seconds, expected) in [
            (0, Level::Ok),
            (10, Level::Ok),
            (-11, Level::Warning),
            (60, Level::Warning),
            (7_200, Level::Fault),
            (-7_200, Level::Fault),
        ] {
            assert_eq!(level(seconds), expected, "{seconds}");
        }
    }
}
