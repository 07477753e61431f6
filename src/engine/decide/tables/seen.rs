//! Everything that can be seen, of an attempt in every state, under its lease and after another daemon has taken it over.

use std::fmt::Write;
use std::sync::LazyLock;

use super::bench::{
    AMOUNT_MINOR, EPOCH, ID, OTHER, OURS, ago, context, desk, first, now, payment, retry, rules, told, when,
};
use super::kept;
use crate::chance::Chance;
use crate::domain::attempt::AttemptState;
use crate::engine::decide::decide;
use crate::engine::desk::Desk;
use crate::engine::observation::{Observation, Seen};
use crate::engine::rules::Rules;
use crate::gateway::outcome::{LookOutcome, LookUpOutcome, Payment, PaymentStatus as Status, PostOutcome, Reason};
use chrono::TimeDelta;

fn with(status: Status, change: impl FnOnce(&mut Payment)) -> Payment {
    let mut payment = payment(OURS, status);
    change(&mut payment);
    payment
}

fn payments() -> Vec<(&'static str, Payment)> {
    let plain = |status: Status| payment(OURS, status);
    let code = |code: &'static str| with(Status::Declined, |it| it.response_code = Some(code.to_owned()));
    vec![
        ("pending", plain(Status::Pending)),
        ("authorized", plain(Status::Authorized)),
        ("of an unknown word", plain(Status::Other("Sleeping".to_owned()))),
        ("captured", plain(Status::Captured)),
        ("captured, of no stated total", with(Status::Captured, |it| it.captured_minor = None)),
        ("captured in part", plain(Status::PartiallyCaptured)),
        ("refunded in part", with(Status::PartiallyRefunded, |it| it.refunded_minor = Some(100))),
        ("refunded", with(Status::Refunded, |it| it.refunded_minor = Some(AMOUNT_MINOR))),
        ("declined for funds", code("20051")),
        ("declined by the partner's code", with(Status::Declined, |it| it.partner_code = Some("20051".to_owned()))),
        ("declined, and its code unread", with(Status::Declined, |it| it.code_unread = true)),
        ("declined, and to be retried there", with(Status::Declined, |it| it.retry_scheduled = true)),
        ("voided", plain(Status::Voided)),
        ("canceled", plain(Status::Canceled)),
        ("expired", plain(Status::Expired)),
        ("of another amount", with(Status::Captured, |it| it.amount_minor = Some(1))),
    ]
}

/// Lists, newest first, as the gateway gives them.
fn lists() -> Vec<(&'static str, Vec<Payment>)> {
    let other = |status: Status, n: i64| Payment { attempt_n: Some(n), ..payment(OTHER, status) };
    let foreign = |status| Payment { ledger: Some("another".to_owned()), ..payment(OURS, status) };
    let mut lists: Vec<(&'static str, Vec<Payment>)> =
        payments().into_iter().map(|(what, payment)| (what, vec![payment])).collect();
    lists.extend([
        ("nothing", vec![]),
        ("another's reference", vec![with(Status::Captured, |it| it.reference = Some("d1-other-0".to_owned()))]),
        ("another attempt's, pending", vec![other(Status::Pending, 2)]),
        ("another attempt's, captured", vec![other(Status::Captured, 2)]),
        ("another attempt's, declined", vec![other(Status::Declined, 2)]),
        ("of an attempt nobody knows, pending", vec![other(Status::Pending, 9)]),
        ("of an attempt nobody knows, captured", vec![other(Status::Captured, 9)]),
        ("of an attempt nobody knows, expired", vec![other(Status::Expired, 9)]),
        ("another ledger's, captured", vec![foreign(Status::Captured)]),
        ("another ledger's, expired", vec![foreign(Status::Expired)]),
        ("two captured", vec![other(Status::Captured, 2), payment(OURS, Status::Captured)]),
        ("captured beside a pending one", vec![other(Status::Pending, 2), payment(OURS, Status::Captured)]),
    ]);
    lists
}

fn observations() -> Vec<(String, Seen)> {
    let mut all = vec![("due".to_owned(), Seen::Due), ("body changed".to_owned(), Seen::BodyChanged)];
    let mut put = |what: &str, which: &str, seen| all.push((format!("{what}: {which}"), seen));
    let no_answer = || Reason::NoAnswer("the connection broke".to_owned());
    for (which, payment) in payments() {
        put("posted", which, Seen::Posted(PostOutcome::Answered(payment.clone())));
        put("looked", which, Seen::Looked(LookOutcome::Seen(payment)));
    }
    let codes = vec!["source_invalid".to_owned()];
    let payment = with(Status::Captured, |it| it.amount_minor = Some(1));
    let differences = vec!["amount is 1, expected 12800".to_owned()];
    for (which, outcome) in [
        ("not what was asked for", PostOutcome::AnsweredWrong { payment, differences }),
        ("rejected", PostOutcome::Rejected { status: 422, error_codes: codes, request_id: None }),
        ("rejected without a code", PostOutcome::Rejected { status: 400, error_codes: vec![], request_id: None }),
        ("our fault", PostOutcome::OurFault { status: 401, request_id: None }),
        ("unsent", PostOutcome::Unsent { reason: Reason::RateLimited, pause: true }),
        ("unknown", PostOutcome::Unknown { reason: no_answer(), server_error: false, request_id: None }),
        (
            "unknown after 503",
            PostOutcome::Unknown { reason: Reason::Status(503), server_error: true, request_id: None },
        ),
    ] {
        put("posted", which, Seen::Posted(outcome));
    }
    for (which, outcome) in [
        ("not found", LookOutcome::NotFound),
        ("rate limited", LookOutcome::RateLimited),
        ("our fault", LookOutcome::OurFault { status: 401 }),
        ("no conclusion", LookOutcome::NoConclusion { reason: no_answer(), server_error: false }),
    ] {
        put("looked", which, Seen::Looked(outcome));
    }
    for (which, payments) in lists() {
        put("listed", which, Seen::LookedUp { outcome: LookUpOutcome::Listed(payments.clone()), witness: None });
        put("audited", which, Seen::Audited(LookUpOutcome::Listed(payments)));
    }
    for (which, outcome) in [
        ("rate limited", LookUpOutcome::RateLimited),
        ("no conclusion", LookUpOutcome::NoConclusion { reason: Reason::Status(500), server_error: true }),
    ] {
        put("looked up", which, Seen::LookedUp { outcome: outcome.clone(), witness: None });
        put("audited", which, Seen::Audited(outcome));
    }
    all
}

/// What is decided, in words, after what must hold whatever it is.
fn decided(was: &Desk, seen: &Seen, epoch: i64) -> String {
    static RULES: LazyLock<Rules> = LazyLock::new(|| rules(&[]));
    let chance = Chance::seeded(1);
    let (mut is, mut context) = (was.clone(), context(&RULES, &chance));
    let observation = Observation { attempt_id: ID, charge_id: is.charge.id, epoch, seen: seen.clone() };
    let came = decide(&mut is, &mut context, &observation);
    if came.is_ok() {
        holds(was, &is, seen, epoch);
    }
    told(was, &is, came, &context)
}

/// The protocol, whatever the table says.
fn holds(was: &Desk, is: &Desk, seen: &Seen, epoch: i64) {
    let (before, after) = (was.attempt(ID).unwrap(), is.attempt(ID).unwrap());
    let case = || format!("{seen:?} under lease {epoch} of {before:?}");
    if !is.notes.cleared.is_empty() {
        let may = matches!(before.state, AttemptState::Created | AttemptState::Unknown | AttemptState::Sending);
        assert!(may || before.is_first, "only what has no payment is sent: {}", case());
        // A first payment's key may be sent again to hear its answer, by whoever has learnt that it is pending.
        assert!(epoch == EPOCH || before.is_first, "what another daemon holds is not sent: {}", case());
        assert_eq!(after.sends, before.sends + 1, "a send is counted: {}", case());
        assert!(after.leased_epoch > before.leased_epoch, "whoever held it before cannot write: {}", case());
        let others = is.charge.attempts.iter().filter(|it| it.id != ID && it.state.is_live()).count();
        assert_eq!(others, 0, "nothing is sent beside a live attempt: {}", case());
    }
    if was.charge.paid_by.is_some() {
        assert_eq!(is.charge.paid_by, was.charge.paid_by, "what pays a period stays: {}", case());
        assert!(is.notes.cleared.is_empty(), "what is paid is not sent: {}", case());
    }
    let live = is.charge.attempts.iter().filter(|it| it.state.is_live()).count();
    assert!(live <= 1 || !is.notes.reviews.is_empty(), "two live attempts are a person's: {}", case());
    for it in &is.charge.attempts {
        assert!(!it.state.is_live() || it.next_at.is_some(), "what is open is looked at again: {}", case());
    }
    let taken = seen
        .payments()
        .iter()
        .any(|it| it.status == Status::Captured && it.reference.as_deref() == Some(&was.charge.reference));
    let known = is.charge.paid_by.is_some() || after.state.is_live() || !is.notes.reviews.is_empty();
    assert!(!taken || known, "money that was seen is not forgotten: {}", case());
}

#[test]
fn what_is_seen_of_an_attempt_in_every_state() {
    let mut table = String::new();
    for (what, seen) in observations() {
        writeln!(table, "{what}").unwrap();
        // The states by what is decided, in the order of the first of them.
        let mut by: Vec<(String, Vec<String>)> = Vec::new();
        let mut add = |case: String, decided: String| match by.iter_mut().find(|it| it.0 == decided) {
            Some(known) => known.1.push(case),
            None => by.push((decided, vec![case])),
        };
        for &state in AttemptState::ALL {
            for (name, was) in [("", desk(state)), ("retry ", retry(state)), ("first ", first(state))] {
                let (fresh, stale) = (decided(&was, &seen, EPOCH), decided(&was, &seen, EPOCH - 1));
                if stale != fresh {
                    add(format!("{name}{state} taken over"), stale);
                }
                add(format!("{name}{state}"), fresh);
            }
        }
        for (decided, cases) in by {
            writeln!(table, "  {}: {decided}", cases.join(", ")).unwrap();
        }
    }
    kept("seen.txt", &table);
}

#[test]
fn how_long_a_pending_payment_is_followed() {
    let mut table = String::new();
    let ages = [0, 10, 15, 60 * 24 - 1, 60 * 24, 60 * 24 + 1, 60 * 72 - 1, 60 * 72, 60 * 24 * 30];
    for minutes in ages {
        for looks in [0, 1, 2, 3, 4, 9] {
            let mut was = desk(AttemptState::Pending);
            was.charge.attempts[0].first_sent_at = ago(TimeDelta::minutes(minutes));
            was.charge.attempts[0].looks = looks;
            let pending = decided(&was, &Seen::Looked(LookOutcome::Seen(payment(OURS, Status::Pending))), EPOCH);
            writeln!(table, "{minutes} minutes old, {looks} looks, pending: {pending}").unwrap();
        }
        for state in [AttemptState::Sending, AttemptState::Unknown, AttemptState::Pending, AttemptState::Created] {
            let mut was = desk(state);
            was.charge.attempts[0].first_sent_at = ago(TimeDelta::minutes(minutes));
            let seen = Seen::Looked(LookOutcome::NoConclusion { reason: Reason::Status(500), server_error: true });
            writeln!(table, "{minutes} minutes old, {state}, no conclusion: {}", decided(&was, &seen, EPOCH)).unwrap();
        }
        for missing in [None, Some(0), Some(minutes / 2), Some(minutes)] {
            let mut was = desk(AttemptState::Pending);
            was.charge.attempts[0].missing_since = missing.and_then(|it| ago(TimeDelta::minutes(it)));
            let since = when(was.charge.attempts[0].missing_since);
            let gone = decided(&was, &Seen::Looked(LookOutcome::NotFound), EPOCH);
            writeln!(table, "not found since {since}: {gone}").unwrap();
        }
    }
    kept("pending.txt", &table);
}

#[test]
fn a_refusal_of_a_second_send_proves_nothing_of_the_first() {
    let mut table = String::new();
    for (what, seen) in
        observations().into_iter().filter(|(what, _)| what.starts_with("posted") || what == "body changed")
    {
        let mut was = desk(AttemptState::Sending);
        (was.charge.attempts[0].sends, was.charge.attempts[0].server_error) = (2, true);
        let decided = decided(&was, &seen, EPOCH);
        assert!(!decided.contains("rejected, ") && !decided.contains("created, "), "{what}: {decided}");
        writeln!(table, "{what}: {decided}").unwrap();
    }
    kept("second-send.txt", &table);
}

#[test]
fn an_audit_of_what_was_paid_tells_what_became_of_it() {
    let mut table = String::new();
    for days in [1, 28, 29, 30] {
        for (what, payments) in lists() {
            let mut was = desk(AttemptState::Captured);
            was.charge.due_at = now() - TimeDelta::days(days);
            let decided = decided(&was, &Seen::Audited(LookUpOutcome::Listed(payments)), EPOCH);
            writeln!(table, "due {days} days ago, {what}: {decided}").unwrap();
        }
    }
    kept("audited.txt", &table);
}
