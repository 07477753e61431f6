//! An attempt whose time has come: what keeps it from being sent, alone and two by two.

use chrono::TimeDelta;

use super::bench::{AMOUNT_MINOR, EPOCH, ID, OTHER, attempt, context, desk, first, now, retry, rules, told};
use super::{Grouped, kept};
use crate::chance::Chance;
use crate::domain::attempt::AttemptState;
use crate::domain::charge::ChargeState;
use crate::domain::money::Money;
use crate::domain::source::SourceState;
use crate::domain::subscription::SubscriptionState;
use crate::engine::decide::decide;
use crate::engine::desk::{Context, Desk};
use crate::engine::observation::{Observation, Seen};
use crate::gateway::outcome::LookUpOutcome;

/// Something that is not as usual.
type Change = (&'static str, fn(&mut Desk, &mut Context<'_>));

const CHANGES: &[Change] = &[
    ("as usual", |_, _| {}),
    ("incomplete", |desk, _| desk.subscription.state = SubscriptionState::Incomplete),
    ("trialing", |desk, _| desk.subscription.state = SubscriptionState::Trialing),
    ("past due", |desk, _| desk.subscription.state = SubscriptionState::PastDue),
    ("unpaid", |desk, _| desk.subscription.state = SubscriptionState::Unpaid),
    ("paused", |desk, _| desk.subscription.state = SubscriptionState::Paused),
    ("canceled", |desk, _| desk.subscription.state = SubscriptionState::Canceled),
    ("completed", |desk, _| desk.subscription.state = SubscriptionState::Completed),
    ("expired unpaid", |desk, _| desk.subscription.state = SubscriptionState::IncompleteExpired),
    ("void", |desk, _| desk.charge.state = ChargeState::Void),
    ("in review", |desk, _| desk.charge.state = ChargeState::InReview),
    ("no source", |desk, _| desk.source = None),
    ("source provisional", |desk, _| source(desk, SourceState::Provisional)),
    ("source revoked", |desk, _| source(desk, SourceState::Revoked)),
    ("source failed", |desk, _| source(desk, SourceState::Failed)),
    ("at the limit", |desk, context| amount(desk, context.rules.largest_charge_minor)),
    ("over the limit", |desk, context| amount(desk, context.rules.largest_charge_minor + 1)),
    ("due before the fence", |desk, context| {
        context.standing.continuity_from = Some(desk.charge.due_at + TimeDelta::microseconds(1))
    }),
    ("due at the fence", |desk, context| context.standing.continuity_from = Some(desk.charge.due_at)),
    ("beside what was not looked up", |_, context| context.standing.unsurveyed = true),
    ("looked up just now", |desk, _| missing(desk, TimeDelta::minutes(1))),
    ("looked up a lease ago", |desk, _| missing(desk, super::bench::LEASE)),
    ("looked up before the fence", |desk, _| missing(desk, TimeDelta::hours(2))),
    ("looked up since the fence, beside what was not", |desk, context| {
        context.standing.continuity_from = Some(desk.charge.due_at + TimeDelta::microseconds(1));
        context.standing.unsurveyed = true;
        missing(desk, TimeDelta::minutes(1));
    }),
    ("held", |_, context| context.standing.held = true),
    ("braked", |_, context| context.standing.braked = true),
    ("closed", |_, context| context.standing.closed = true),
    ("exceeded", |_, context| context.standing.exceeded = Some("a plan".to_owned())),
    ("one left in the plan", |_, context| room(context, 1, AMOUNT_MINOR)),
    ("none left in the plan", |_, context| room(context, 0, AMOUNT_MINOR)),
    ("a cent too few in the plan", |_, context| room(context, 1, AMOUNT_MINOR - 1)),
    ("nothing planned in its currency", |_, context| context.standing.room.clear()),
    ("no token", |_, context| context.allowance = 0),
];

fn source(desk: &mut Desk, state: SourceState) {
    if let Some(source) = &mut desk.source {
        source.state = state;
    }
}

fn missing(desk: &mut Desk, ago: TimeDelta) {
    desk.charge.attempts.last_mut().unwrap().missing_since = super::bench::ago(ago);
}

fn amount(desk: &mut Desk, minor: i64) {
    desk.charge.amount = Money::new(minor, "HKD".parse().unwrap());
}

fn room(context: &mut Context<'_>, count: i64, minor: i64) {
    context.standing.room.values_mut().for_each(|room| (room.count, room.amount_minor) = (count, minor));
}

#[test]
fn what_keeps_an_attempt_from_being_sent() {
    let (plain, always, chance) = (rules(&[]), rules(&[("protocol.look_first", "always")]), Chance::seeded(1));
    let (mut alone, mut pairs) = (String::new(), Grouped::default());
    let nothing = || Seen::LookedUp { outcome: LookUpOutcome::Listed(Vec::new()), witness: None };
    for (kind, built) in [
        ("first try", desk(AttemptState::Created)),
        ("retry", retry(AttemptState::Created)),
        ("first payment", first(AttemptState::Created)),
    ] {
        for (looks, seen) in [("due", Seen::Due), ("looked up, and nothing is there", nothing())] {
            for (which, rules) in [("", &plain), (", always looked up first", &always)] {
                for (place, (one, change)) in CHANGES.iter().enumerate() {
                    for (other, change_too) in &CHANGES[place..] {
                        let (mut was, mut context) = (built.clone(), context(rules, &chance));
                        change(&mut was, &mut context);
                        change_too(&mut was, &mut context);
                        let (usual, mut is) = (context.allowance, was.clone());
                        let seen =
                            Observation { attempt_id: ID, charge_id: is.charge.id, epoch: EPOCH, seen: seen.clone() };
                        let came = decide(&mut is, &mut context, &seen);
                        let sent = !is.notes.cleared.is_empty();
                        let stops = [
                            "paused",
                            "canceled",
                            "completed",
                            "source revoked",
                            "over the limit",
                            "held",
                            "closed",
                            "no token",
                        ];
                        let stopped = stops.iter().any(|it| it == one || it == other)
                            && !(kind == "first payment" && [one, other].contains(&&"source revoked"));
                        assert!(!(sent && stopped), "{kind}, {one}, {other}: sent");
                        let waits = [one, other].iter().any(|it| it.contains("beside what was not"));
                        assert!(
                            !(sent && waits && kind != "first payment"),
                            "{kind}, {one}, {other}: sent before the rest"
                        );
                        let looked = looks != "due"
                            || [one, other]
                                .iter()
                                .any(|it| it.contains("looked up just now") || it.contains("since the fence"));
                        assert!(
                            !sent || looked || kind != "retry" && which.is_empty(),
                            "{kind}{which}, {one}, {other}: sent blind"
                        );
                        assert!(!sent || context.allowance + 1 == usual, "a send costs a token");
                        let decided = told(&was, &is, came, &context);
                        let case = format!("{kind}{which}, {looks}: {one}, {other}");
                        if one == other || *one == "as usual" {
                            alone.push_str(&format!("{case}: {decided}\n"));
                        }
                        pairs.add(case, decided);
                    }
                }
            }
        }
    }
    kept("due.txt", &alone);
    kept("due-pairs.txt", &pairs.table());
}

/// A payment that is there is followed, and nothing is sent beside it, whatever the attempt's neighbours are.
#[test]
fn what_is_found_beside_an_attempt_is_adopted() {
    use crate::gateway::outcome::PaymentStatus as Status;
    let (rules, chance) = (rules(&[]), Chance::seeded(1));
    let mut grouped = Grouped::default();
    for &state in AttemptState::ALL {
        for &before in AttemptState::ALL {
            for (what, status) in [
                ("pending", Status::Pending),
                ("captured", Status::Captured),
                ("expired", Status::Expired),
                ("declined", Status::Declined),
            ] {
                for n in [1, 2, 3] {
                    for acknowledged in [false, true] {
                        let mut was = retry(state);
                        let mut earlier = attempt(super::bench::EARLIER, 1, before);
                        earlier.payment_id = earlier.payment_id.map(|_| "pay_earlier".to_owned());
                        was.charge.attempts[0] = earlier;
                        let mut context = context(&rules, &chance);
                        context.standing.acknowledged_until = acknowledged.then(now);
                        let mut is = was.clone();
                        let found = crate::gateway::outcome::Payment {
                            attempt_n: Some(n),
                            ..super::bench::payment(OTHER, status.clone())
                        };
                        let seen = Seen::LookedUp { outcome: LookUpOutcome::Listed(vec![found]), witness: None };
                        let came = decide(
                            &mut is,
                            &mut context,
                            &Observation { attempt_id: ID, charge_id: 7, epoch: EPOCH, seen },
                        );
                        let open = matches!(status, Status::Pending | Status::Captured);
                        assert!(!open || is.notes.cleared.is_empty(), "{state} after {before}, {what} of {n}");
                        let case =
                            format!("{state} after {before}, {what} of attempt {n}, acknowledged {acknowledged}");
                        grouped.add(case, told(&was, &is, came, &context));
                    }
                }
            }
        }
    }
    kept("adopted.txt", &grouped.table());
}
