//! The judge of exchanges alone, over every status and over mangled bodies: what may be concluded from which status.

use dues::gateway::outcome::{Expected, LookOutcome, PostOutcome, of_look, of_post};
use dues::gateway::transport::Reply;
use proptest::prelude::*;

const CAPTURED: &str = r#"{"id":"pay_1","status":"Captured","reference":"d1-abc-4","amount":12800,"currency":"HKD",
    "balances":{"total_captured":12800},"metadata":{"attempt":1},"_links":{"redirect":{"href":"https://example.com"}}}"#;

fn expected() -> Expected {
    Expected { reference: "d1-abc-4".to_owned(), amount_minor: 12_800, currency: "HKD".parse().unwrap() }
}

fn kind(outcome: &PostOutcome) -> &'static str {
    match outcome {
        PostOutcome::Answered(_) => "answered",
        PostOutcome::AnsweredWrong { .. } => "answered wrong",
        PostOutcome::Rejected { .. } => "rejected",
        PostOutcome::OurFault { .. } => "our fault",
        PostOutcome::Unsent { .. } => "unsent",
        PostOutcome::Unknown { server_error: false, .. } => "unknown",
        PostOutcome::Unknown { server_error: true, .. } => "unknown after a server error",
    }
}

#[test]
fn every_status_proves_what_the_protocol_says() {
    for status in 100..=999 {
        let reply = Reply { status, request_id: None, date: None, body: CAPTURED.into() };
        let wanted = match status {
            200..=299 => "answered",
            400 | 403 | 404 | 405 | 413 | 415 | 422 => "rejected",
            401 => "our fault",
            429 => "unsent",
            500.. => "unknown after a server error",
            _ => "unknown",
        };
        assert_eq!(kind(&of_post(Ok(reply), &expected())), wanted, "{status}");
    }
}

/// The captured payment with some bytes changed and the end cut off.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((0..CAPTURED.len(), any::<u8>()), 0..6);
    (changes, 0..=CAPTURED.len()).prop_map(|(changes, length)| {
        let mut body = CAPTURED.as_bytes().to_vec();
        for (place, byte) in changes {
            body[place] = byte;
        }
        body.truncate(length);
        body
    })
}

proptest! {
    #[test]
    fn no_body_turns_a_good_status_into_not_charged(body in mangled(), status in 200_u16..300) {
        let outcome = of_post(Ok(Reply { status, request_id: None, date: None, body }), &expected());
        prop_assert!(["answered", "answered wrong", "unknown"].contains(&kind(&outcome)), "{outcome:?}");
    }

    #[test]
    fn no_body_turns_a_bad_status_into_a_payment(body in mangled(), status in 300_u16..600) {
        let outcome = of_post(Ok(Reply { status, request_id: None, date: None, body: body.clone() }), &expected());
        prop_assert!(!kind(&outcome).starts_with("answered"), "{outcome:?}");
        let look = of_look(Ok(Reply { status, request_id: None, date: None, body }), "pay_1");
        prop_assert!(!matches!(look, LookOutcome::Seen(_)), "{look:?}");
    }

    #[test]
    fn a_seen_payment_is_the_one_asked_for(body in mangled()) {
        if let LookOutcome::Seen(payment) = of_look(Ok(Reply { status: 200, request_id: None, date: None, body }), "pay_1") {
            prop_assert_eq!(payment.id, "pay_1");
        }
    }
}
