//! When a 403 is our own fault although reads are admitted: where payment after payment gets it, it is not the payments that are
//! refused. Pure: it hears the answers to POSTs one by one.

use crate::gateway::outcome::PostOutcome;

/// So many charges in a row that get a 403 are no longer refused each for itself.
const MOST_CHARGES: usize = 3;

/// The charges whose POSTs got a 403 since a payment was last made.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    charge_ids: Vec<i64>,
}

impl Refusals {
    /// Hears the answer to the POST of a charge; whether it is a 403 that tells of us, not of this charge. Only a payment that was
    /// made proves that we may pay: another refusal, a time-out or a rate limit says nothing of it.
    pub fn hear(&mut self, charge_id: i64, outcome: &PostOutcome) -> bool {
        match outcome {
            PostOutcome::Answered(_) | PostOutcome::AnsweredWrong { .. } => {
                self.charge_ids.clear();
                false
            }
            PostOutcome::Rejected { status: 403, .. } => {
                if self.charge_ids.len() < MOST_CHARGES && !self.charge_ids.contains(&charge_id) {
                    self.charge_ids.push(charge_id);
                }
                self.charge_ids.len() == MOST_CHARGES
            }
            PostOutcome::Rejected { .. }
            | PostOutcome::OurFault { .. }
            | PostOutcome::Unsent { .. }
            | PostOutcome::Unknown { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::outcome::{Expected, Reason, of_post};
    use crate::gateway::transport::Reply;

    fn answer(status: u16, body: &str) -> PostOutcome {
        let expected = Expected { reference: "d1-a-0".into(), amount_minor: 100, currency: "HKD".parse().unwrap() };
        of_post(Ok(Reply { status, request_id: None, date: None, body: body.as_bytes().to_vec() }), &expected)
    }

    fn made() -> PostOutcome {
        answer(202, r#"{"id":"pay_1","status":"Pending","reference":"d1-a-0","amount":100,"currency":"HKD"}"#)
    }

    fn heard(answers: &[(i64, PostOutcome)]) -> Vec<bool> {
        let mut refusals = Refusals::default();
        answers.iter().map(|(charge_id, outcome)| refusals.hear(*charge_id, outcome)).collect()
    }

    #[test]
    fn the_third_charge_in_a_row_and_every_later_one_tells_of_us() {
        let forbidden = || answer(403, "");
        let five = [(1, forbidden()), (2, forbidden()), (3, forbidden()), (4, forbidden()), (1, forbidden())];
        assert_eq!(heard(&five), [false, false, true, true, true]);
    }

    #[test]
    fn one_charge_alone_never_does() {
        let again = [(1, answer(403, "")), (1, answer(403, "")), (1, answer(403, "")), (2, answer(403, ""))];
        assert_eq!(heard(&again), [false; 4]);
    }

    #[test]
    fn a_payment_that_was_made_begins_the_count_anew() {
        let mixed = [
            (1, answer(403, "")),
            (2, answer(403, "")),
            (3, made()),
            (4, answer(403, "")),
            (5, answer(403, "")),
            (6, answer(403, "")),
        ];
        assert_eq!(heard(&mixed), [false, false, false, false, false, true]);
    }

    #[test]
    fn what_proves_nothing_of_us_leaves_the_count_as_it_is() {
        let unsent = PostOutcome::Unsent { reason: Reason::RateLimited, pause: true };
        for between in [answer(422, ""), answer(500, ""), answer(401, ""), unsent] {
            let answers = [(1, answer(403, "")), (2, answer(403, "")), (3, between), (4, answer(403, ""))];
            assert_eq!(heard(&answers), [false, false, false, true]);
        }
    }
}
