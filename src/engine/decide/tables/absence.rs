//! An outcome that is unknown, and of which look-ups show nothing: when the key is sent again, when it is waited, and when a person is
//! asked. Times stand around every limit of the protocol.

use chrono::TimeDelta;

use super::bench::{EPOCH, ID, LEASE, ago, context, desk, first, now, rules, told};
use super::{Grouped, kept};
use crate::chance::Chance;
use crate::clock::Instant;
use crate::domain::attempt::AttemptState;
use crate::domain::charge::ChargeState;
use crate::domain::source::SourceState;
use crate::domain::subscription::SubscriptionState;
use crate::engine::decide::decide;
use crate::engine::desk::Desk;
use crate::engine::observation::{Observation, Seen};
use crate::engine::rules::{Rules, delta};
use crate::gateway::outcome::LookUpOutcome;

const JUST: TimeDelta = TimeDelta::microseconds(1);

/// Just before, at, and long after.
fn around(limit: TimeDelta) -> [TimeDelta; 3] {
    [limit - JUST, limit, limit + TimeDelta::minutes(7)]
}

struct Case {
    unknown_for: TimeDelta,
    key_age: TimeDelta,
    rested_for: TimeDelta,
    sends: i64,
    late: i64,
    server_error: bool,
    witness: Option<bool>,
}

impl Case {
    fn desk(&self, mut desk: Desk) -> Desk {
        let attempt = &mut desk.charge.attempts[0];
        attempt.unknown_since = ago(self.unknown_for);
        attempt.first_sent_at = ago(self.key_age);
        attempt.last_sent_at = ago(self.rested_for);
        (attempt.sends, attempt.late_looks, attempt.server_error) = (self.sends, self.late, self.server_error);
        desk
    }

    fn name(&self) -> String {
        let in_words = |span: TimeDelta| super::bench::when(Some(now() - span));
        format!(
            "unknown since {}{}, sent {} times, first {}, last {}, {} late looks, witness {:?}",
            in_words(self.unknown_for),
            if self.server_error { " after a server error" } else { "" },
            self.sends,
            in_words(self.key_age),
            in_words(self.rested_for),
            self.late,
            self.witness
        )
    }

    /// Whether the protocol lets the key be sent again (exactly-once.md, step 7).
    fn may_resend(&self, rules: &Rules) -> bool {
        let protocol = &rules.protocol;
        let watch = if self.server_error {
            protocol.settle_wait_after_server_error.max(protocol.settle_wait)
        } else {
            protocol.settle_wait
        };
        self.unknown_for >= delta(watch)
            && self.key_age < delta(protocol.key_life) - delta(protocol.key_margin)
            && self.sends < i64::from(protocol.max_sends.get())
            && self.late == 0
            && self.rested_for >= delta(protocol.send_within) + TimeDelta::seconds(30)
    }
}

fn cases(rules: &Rules) -> Vec<Case> {
    let protocol = &rules.protocol;
    let (life, margin) = (delta(protocol.key_life), delta(protocol.key_margin));
    let mut all = Vec::new();
    let mut unknown_for: Vec<TimeDelta> = protocol.lookup_after.iter().flat_map(|it| around(delta(*it))).collect();
    unknown_for.extend(around(delta(protocol.settle_wait)));
    unknown_for.extend(around(delta(protocol.settle_wait_after_server_error)));
    for key_age in around(life - margin).into_iter().chain(around(life)) {
        for &unknown_for in unknown_for.iter().filter(|it| **it >= TimeDelta::zero()) {
            for server_error in [false, true] {
                for (sends, rested_for) in [
                    (1, TimeDelta::hours(3)),
                    (2, TimeDelta::seconds(20)),
                    (4, TimeDelta::hours(1)),
                    (5, TimeDelta::hours(1)),
                ] {
                    for late in 0..=4 {
                        for witness in [None, Some(false), Some(true)] {
                            all.push(Case { unknown_for, key_age, rested_for, sends, late, server_error, witness });
                        }
                    }
                }
            }
        }
    }
    all
}

fn look(was: &Desk, rules: &Rules, witness: Option<bool>, stepped_at: Option<Instant>) -> (Desk, String) {
    let chance = Chance::seeded(1);
    let (mut is, mut context) = (was.clone(), context(rules, &chance));
    context.stepped_at = stepped_at;
    let seen = Seen::LookedUp { outcome: LookUpOutcome::Listed(Vec::new()), witness };
    let came =
        decide(&mut is, &mut context, &Observation { attempt_id: ID, charge_id: was.charge.id, epoch: EPOCH, seen });
    let told = told(was, &is, came, &context);
    (is, told)
}

#[test]
fn an_absent_payment_is_sent_again_within_its_keys_life_alone() {
    let built = [("", desk(AttemptState::Unknown)), ("first payment, ", first(AttemptState::Unknown))];
    for (file, flags) in [
        ("absence.txt", &[][..]),
        ("absence-auto.txt", &[("protocol.auto_after_window", "true")][..]),
        ("absence-never.txt", &[("protocol.resend", "never")][..]),
    ] {
        let rules = rules(flags);
        let mut grouped = Grouped::default();
        for case in cases(&rules) {
            for (name, built) in &built {
                let (is, decided) = look(&case.desk(built.clone()), &rules, case.witness, None);
                let sent = !is.notes.cleared.is_empty();
                assert_eq!(
                    sent,
                    case.may_resend(&rules) && file != "absence-never.txt",
                    "{name}{}: {decided}",
                    case.name()
                );
                // Another attempt follows by itself only on proof: the key is over, was looked for since, and look-ups are known to work.
                let proven =
                    case.key_age >= delta(rules.protocol.key_life) && case.late >= 2 && case.witness == Some(true);
                let follows = is.charge.state == ChargeState::Retrying;
                assert!(
                    !follows || proven && file == "absence-auto.txt" && name.is_empty(),
                    "{name}{}: {decided}",
                    case.name()
                );
                grouped.add(format!("{name}{}", case.name()), decided);
            }
        }
        kept(file, &grouped.table());
    }
}

#[test]
fn who_owes_nothing_any_more_is_not_sent_again() {
    let rules = rules(&[]);
    let mut grouped = Grouped::default();
    for case in cases(&rules) {
        for state in [SubscriptionState::Canceled, SubscriptionState::Paused, SubscriptionState::Unpaid] {
            let mut was = case.desk(desk(AttemptState::Unknown));
            was.subscription.state = state;
            let (is, decided) = look(&was, &rules, case.witness, None);
            assert!(is.notes.cleared.is_empty() || state == SubscriptionState::Unpaid, "{state}: {decided}");
            grouped.add(format!("{state}, {}", case.name()), decided);
        }
        let mut was = case.desk(desk(AttemptState::Unknown));
        was.source.as_mut().unwrap().state = SourceState::Revoked;
        let (is, decided) = look(&was, &rules, case.witness, None);
        assert!(is.notes.cleared.is_empty(), "revoked: {decided}");
        grouped.add(format!("revoked, {}", case.name()), decided);
    }
    kept("absence-ended.txt", &grouped.table());
}

#[test]
fn after_a_step_of_the_clock_absence_is_watched_anew() {
    let rules = rules(&[]);
    let watch = delta(rules.protocol.settle_wait);
    for (stepped, sends) in [(None, true), (Some(watch), true), (Some(watch - JUST), false)] {
        let case = Case {
            unknown_for: TimeDelta::hours(5),
            key_age: TimeDelta::hours(6),
            rested_for: TimeDelta::hours(5),
            sends: 1,
            late: 0,
            server_error: false,
            witness: None,
        };
        let was = case.desk(desk(AttemptState::Unknown));
        let (is, decided) = look(&was, &rules, None, stepped.map(|ago| now() - ago));
        assert_eq!(!is.notes.cleared.is_empty(), sends, "{stepped:?}: {decided}");
    }
}

#[test]
fn what_was_not_there_is_believed_within_its_lease_and_from_when_it_was_looked_for() {
    let rules = rules(&[]);
    let watch = delta(rules.protocol.settle_wait);
    let case = |unknown_for| Case {
        unknown_for,
        key_age: TimeDelta::hours(6),
        rested_for: TimeDelta::hours(5),
        sends: 1,
        late: 0,
        server_error: false,
        witness: None,
    };
    let left_of_the_lease = |desk: Desk, left: TimeDelta| {
        let mut desk = desk;
        desk.charge.attempts[0].leased_until = now() + left;
        desk
    };
    // Recorded with the last of its lease: it may have been looked for when the lease began.
    for (unknown_for, left, sends) in [
        (watch + LEASE, LEASE, true),
        (watch + LEASE - JUST, JUST, true),
        (watch + LEASE - JUST - JUST, JUST, false),
        (TimeDelta::hours(5), TimeDelta::zero(), false),
        (TimeDelta::hours(5), -TimeDelta::minutes(20), false),
    ] {
        let was = left_of_the_lease(case(unknown_for).desk(desk(AttemptState::Unknown)), left);
        let (is, decided) = look(&was, &rules, None, None);
        assert_eq!(!is.notes.cleared.is_empty(), sends, "{unknown_for} {left}: {decided}");
    }
    // Nor is what was looked for before its first send.
    for (left, sends) in [(LEASE, true), (JUST, true), (TimeDelta::zero(), false)] {
        let was = left_of_the_lease(desk(AttemptState::Created), left);
        let (is, decided) = look(&was, &rules, None, None);
        assert_eq!(!is.notes.cleared.is_empty(), sends, "{left}: {decided}");
    }
}

#[test]
fn a_key_of_the_future_is_never_sent_again() {
    let rules = rules(&[]);
    let margin = delta(rules.protocol.key_margin);
    for state in [AttemptState::Unknown, AttemptState::Sending, AttemptState::Pending, AttemptState::Created] {
        for (ahead, distrusted) in [(margin, false), (margin + JUST, true)] {
            let mut was = desk(state);
            was.charge.attempts[0].first_sent_at = Some(now() + ahead);
            let (is, decided) = look(&was, &rules, None, None);
            let expected = distrusted && state != AttemptState::Created;
            assert_eq!(is.charge.attempts[0].late_looks > 0, expected, "{state} {ahead}: {decided}");
        }
    }
}
