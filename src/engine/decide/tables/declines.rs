//! What a decline means: the next step, or the end, by class, by the steps that were spent, and by how the subscription stands.

use super::bench::{EPOCH, ID, OURS, context, desk, first, payment, rules, told};
use super::{Grouped, kept};
use crate::chance::Chance;
use crate::domain::attempt::AttemptState;
use crate::domain::source::SourceState;
use crate::domain::subscription::SubscriptionState;
use crate::engine::decide::decide;
use crate::engine::desk::{Desk, DunningCase};
use crate::engine::observation::{Observation, Seen};
use crate::engine::rules::Rules;
use crate::gateway::outcome::{LookOutcome, Payment, PaymentStatus as Status};

/// One code of each class.
const CODES: &[&str] = &["20051", "20005", "20091", "20120", "20003", "30004"];

fn seen(was: &Desk, rules: &Rules, payment: Payment, newer: bool) -> String {
    let chance = Chance::seeded(1);
    let (mut is, mut context) = (was.clone(), context(rules, &chance));
    if newer {
        context.newer.insert(was.subscription.id, "ORD-2".to_owned());
    }
    let seen = Seen::Looked(LookOutcome::Seen(payment));
    let came =
        decide(&mut is, &mut context, &Observation { attempt_id: ID, charge_id: was.charge.id, epoch: EPOCH, seen });
    told(was, &is, came, &context)
}

#[test]
fn every_decline_has_its_next_step() {
    for (file, end) in
        [("declined-suspend.txt", "suspend"), ("declined-cancel.txt", "cancel"), ("declined-keep.txt", "keep")]
    {
        let rules = rules(&[("dunning.default.end", end)]);
        let mut grouped = Grouped::default();
        for code in CODES {
            for &state in SubscriptionState::ALL {
                for source in [SourceState::Active, SourceState::Revoked] {
                    for (steps, pinned) in [(0, None), (1, Some(1)), (9, Some(1)), (1, Some(77))] {
                        for others in [0, 1] {
                            let mut was = desk(AttemptState::Pending);
                            was.subscription.state = state;
                            was.source.as_mut().unwrap().state = source;
                            was.charge.other_open_cases = others;
                            was.charge.case = pinned.map(|policy_id| DunningCase {
                                policy_id,
                                state: "open",
                                steps,
                                next_step_at: None,
                                opened_at: super::bench::now(),
                                closed_at: None,
                            });
                            let declined =
                                Payment { response_code: Some((*code).to_owned()), ..payment(OURS, Status::Declined) };
                            let decided = seen(&was, &rules, declined, false);
                            let case = format!(
                                "{code}, {state}, source {source}, {steps} steps of {pinned:?}, {others} other cases"
                            );
                            grouped.add(case, decided);
                        }
                    }
                }
            }
        }
        kept(file, &grouped.table());
    }
}

#[test]
fn what_a_capture_makes_of_its_subscription() {
    let rules = rules(&[]);
    let mut grouped = Grouped::default();
    for (kind, built) in [
        ("recurring", desk(AttemptState::Pending)),
        ("first", first(AttemptState::Pending)),
        ("first, paid already", first(AttemptState::Captured)),
    ] {
        for &state in SubscriptionState::ALL {
            for source in [None, Some(SourceState::Provisional), Some(SourceState::Active), Some(SourceState::Revoked)]
            {
                for names in [None, Some("src_named")] {
                    for (others, newer, server_error) in [(0, false, false), (1, false, true), (0, true, true)] {
                        for status in [Status::Pending, Status::Captured, Status::Expired] {
                            let mut was = built.clone();
                            was.subscription.state = state;
                            was.source = source.map(|state| crate::engine::desk::Source { id: 3, state });
                            was.charge.other_open_cases = others;
                            was.charge.attempts[0].server_error = server_error;
                            let shown =
                                Payment { source_id: names.map(str::to_owned), ..payment(OURS, status.clone()) };
                            let decided = seen(&was, &rules, shown, newer);
                            let case = format!(
                                "{kind}, {state}, source {source:?}, named {names:?}, {others} others, newer {newer}, {status:?}, server error {server_error}"
                            );
                            grouped.add(case, decided);
                        }
                    }
                }
            }
        }
    }
    kept("captured.txt", &grouped.table());
}
