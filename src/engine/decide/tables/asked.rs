//! What an operator asks for, of a charge and an attempt in every state.

use chrono::TimeDelta;

use super::bench::{ID, OTHER, ago, context, desk, first, now, retry, rules, told};
use super::{Grouped, kept};
use crate::chance::Chance;
use crate::domain::attempt::AttemptState;
use crate::domain::charge::ChargeState;
use crate::domain::review::ReviewReason;
use crate::domain::source::SourceState;
use crate::domain::subscription::SubscriptionState;
use crate::engine::decide::{Ask, asked};
use crate::engine::rules::delta;

#[test]
fn what_an_operator_may_ask_for() {
    let (rules, chance) = (rules(&[]), Chance::seeded(1));
    let life = delta(rules.protocol.key_life);
    let mut grouped = Grouped::default();
    for ask in [Ask::Retry, Ask::Void, Ask::NotCharged, Ask::Charged(OTHER.to_owned())] {
        for &state in AttemptState::ALL {
            for (kind, built) in [("", desk(state)), ("retry ", retry(state)), ("first ", first(state))] {
                for &charge in ChargeState::ALL {
                    for &subscription in SubscriptionState::ALL {
                        for (source, reason, age, late, others) in [
                            (Some(SourceState::Active), None, life, 0, 0),
                            (
                                Some(SourceState::Active),
                                Some(ReviewReason::Unresolved),
                                life - TimeDelta::microseconds(1),
                                0,
                                0,
                            ),
                            (Some(SourceState::Active), Some(ReviewReason::Mismatch), TimeDelta::hours(1), 1, 1),
                            (Some(SourceState::Revoked), Some(ReviewReason::NotFound), life, 0, 0),
                            (None, Some(ReviewReason::Double), life, 0, 0),
                        ] {
                            let mut was = built.clone();
                            was.charge.state = charge;
                            was.charge.reason = reason.map(|it| it.as_str().to_owned());
                            was.charge.other_open_cases = others;
                            was.subscription.state = subscription;
                            was.source = source.map(|state| crate::engine::desk::Source { id: 3, state });
                            let last = was.charge.attempts.iter_mut().find(|it| it.id == ID).unwrap();
                            last.first_sent_at = last.first_sent_at.and(ago(age));
                            last.late_looks = late;
                            let mut is = was.clone();
                            let context = context(&rules, &chance);
                            let decided = match asked(&mut is, &rules, now(), &ask) {
                                Ok(()) => told(&was, &is, Ok(()), &context),
                                Err(refusal) => format!("REFUSED {refusal}"),
                            };
                            assert!(is.notes.cleared.is_empty(), "a daemon sends, not a command");
                            let case = format!(
                                "{} of {kind}{state}, charge {charge} {reason:?}, {subscription}, source {source:?}, {} old, {late} late, {others} others",
                                ask.as_str(),
                                super::bench::when(Some(now() - age))
                            );
                            grouped.add(case, decided);
                        }
                    }
                }
            }
        }
    }
    kept("asked.txt", &grouped.table());
}
