//! What a look at one payment proves.

use dues::gateway::circuit::Signal;
use dues::gateway::meter::Reads;
use dues::gateway::outcome::{Expected, LookOutcome, Payment, PaymentStatus, Reason, differences};
use dues::gateway::payments::Codes;
use serde_json::{Value, json};

use super::server::{Answer, Server};

async fn look(answers: Vec<Answer>) -> (LookOutcome, Vec<String>) {
    let server = Server::start(answers).await;
    let outcome = server.client().payment("pay_1").await;
    (outcome, server.lines())
}

async fn seen(answers: Vec<Answer>) -> Payment {
    match look(answers).await.0 {
        LookOutcome::Seen(payment) => payment,
        other => panic!("{other:?}"),
    }
}

fn declined() -> Value {
    json!({"id": "pay_1", "status": "Declined", "amount": 12_800, "currency": "HKD", "reference": "d1-abc-4",
           "processing": {"partner_error_codes": ["USER_BALANCE_NOT_ENOUGH"], "failure_code": "insufficient"}})
}

#[tokio::test]
async fn a_payment_is_read_whole() {
    let body = json!({
        "id": "pay_1", "requested_on": "2026-09-02T07:15:58.8940771Z", "source": {"type": "alipay_hk"},
        "amount": 12_800, "currency": "HKD", "reference": "d1-abc-4", "status": "Partially Refunded",
        "balances": {"total_captured": 12_800, "total_refunded": 300, "available_to_refund": 12_500},
        "metadata": {"ledger": "L", "subscription": "merchant-7", "period": 4, "attempt": "2", "more": [true]},
        "customer": {"name": "nobody's business"}, "something_new": {"a": [1, 2, {"b": null}]}
    });
    let (outcome, lines) = look(vec![Answer::json(200, &body)]).await;
    let LookOutcome::Seen(payment) = outcome else { panic!("{outcome:?}") };
    assert_eq!(lines, ["GET /payments/pay_1 HTTP/1.1"]);
    assert_eq!(payment.status, PaymentStatus::PartiallyRefunded);
    assert_eq!((payment.captured_minor, payment.refunded_minor), (Some(12_800), Some(300)));
    assert_eq!(payment.requested_on.unwrap().to_rfc3339(), "2026-09-02T07:15:58.894077+00:00");
    assert_eq!((payment.period, payment.attempt_n), (Some(4), Some(2)));
    assert_eq!((payment.ledger.as_deref(), payment.subscription.as_deref()), (Some("L"), Some("merchant-7")));
    assert!(!format!("{payment:?}").contains("nobody"));

    let currency = "HKD".parse().unwrap();
    let mut ours = Expected { reference: "d1-abc-4".to_owned(), amount_minor: 12_800, currency };
    assert_eq!(differences(&payment, &ours), Vec::<String>::new());
    ours.amount_minor = 12_700;
    let found = ["amount is 12800, expected 12700", "captured total is 12800, expected 12700"];
    assert_eq!(differences(&payment, &ours), found);
}

#[tokio::test]
async fn fields_of_another_type_do_not_make_a_payment_unreadable() {
    let body = json!({
        "id": "pay_1", "status": "Pending", "requested_on": 5, "source": "alipay_hk", "amount": {}, "currency": ["HKD"],
        "balances": [], "metadata": "text", "processing": {"partner_error_codes": "X", "failure_code": 17}, "_links": 1,
        "retry": false
    });
    let payment = seen(vec![Answer::json(200, &body)]).await;
    assert_eq!((payment.status, payment.amount_minor, payment.retry_scheduled), (PaymentStatus::Pending, None, false));
    assert_eq!(payment.partner_code.as_deref(), Some("17"));
}

#[tokio::test]
async fn a_declined_payment_bears_the_code_of_its_newest_declined_charge() {
    let actions = json!([
        {"type": "Refund", "approved": false, "response_code": "50003", "processed_on": "2026-01-09T00:00:00Z"},
        {"type": "Authorization", "approved": false, "response_code": "20005", "processed_on": "2026-01-01T00:00:00Z"},
        {"type": "Capture", "approved": false, "response_code": "20051", "response_summary": "Insufficient Funds",
         "processed_on": "2026-01-03T00:00:00.1234567Z"},
        {"type": "Authorization", "approved": true, "response_code": "10000", "processed_on": "2026-01-04T00:00:00Z"}
    ]);
    let (outcome, lines) = look(vec![Answer::json(200, &declined()), Answer::json(200, &actions)]).await;
    let LookOutcome::Seen(payment) = outcome else { panic!("{outcome:?}") };
    assert_eq!(lines, ["GET /payments/pay_1 HTTP/1.1", "GET /payments/pay_1/actions HTTP/1.1"]);
    assert_eq!(payment.response_code.as_deref(), Some("20051"));
    assert_eq!(payment.response_summary.as_deref(), Some("Insufficient Funds"));
    assert_eq!(payment.partner_code.as_deref(), Some("USER_BALANCE_NOT_ENOUGH"));
    assert!(!payment.code_unread);
}

#[tokio::test]
async fn a_meter_counts_every_read_of_one_question() {
    let server = Server::start(vec![Answer::json(200, &declined()), Answer::Whole(429, String::new())]).await;
    let (client, meter) = server.client().metered();
    assert_eq!(meter.reads(), Reads { made: 0, rate_limited: false });
    assert!(matches!(client.payment("pay_1").await, LookOutcome::Seen(_)));
    assert_eq!(meter.reads(), Reads { made: 2, rate_limited: true });
}

#[tokio::test]
async fn actions_without_times_are_taken_as_newest_first() {
    let actions = json!([
        {"type": "Authorization", "approved": false, "response_code": "200R1"},
        {"type": "Authorization", "approved": false, "response_code": 20005}
    ]);
    let server = Server::start(vec![Answer::json(200, &actions)]).await;
    let Codes::Read(code) = server.client().codes_of("pay_1").await else { panic!("read") };
    assert_eq!(code.response_code.as_deref(), Some("200R1"));
}

#[tokio::test]
async fn a_declined_payment_is_seen_even_where_its_code_is_not() {
    for actions in [Answer::Whole(502, String::new()), Answer::Whole(200, "{}".to_owned()), Answer::CloseAfterRequest] {
        let payment = seen(vec![Answer::json(200, &declined()), actions]).await;
        assert_eq!((payment.status, payment.response_code, payment.code_unread), (PaymentStatus::Declined, None, true));
    }
}

#[tokio::test]
async fn a_retry_that_the_gateway_planned_is_told() {
    let mut body = declined();
    body["retry"] = json!({"enabled": true, "next_attempt_on": "2026-01-09T00:00:00Z"});
    assert!(seen(vec![Answer::json(200, &body), Answer::json(200, &json!([]))]).await.retry_scheduled);
    let body = json!({"id": "pay_1", "status": "Retry Scheduled"});
    let payment = seen(vec![Answer::json(200, &body)]).await;
    assert_eq!((payment.status, payment.retry_scheduled), (PaymentStatus::RetryScheduled, true));
}

#[tokio::test]
async fn each_refusal_of_a_look_has_its_own_meaning() {
    let at = |status| vec![Answer::Whole(status, String::new())];
    assert_eq!(look(at(404)).await.0, LookOutcome::NotFound);
    assert_eq!(look(at(401)).await.0, LookOutcome::OurFault { status: 401 });
    assert_eq!(look(at(403)).await.0, LookOutcome::OurFault { status: 403 });
    assert_eq!(look(at(429)).await.0, LookOutcome::RateLimited);
    for (status, server_error) in [(500, true), (503, true), (302, false), (204, false), (202, false), (422, false)] {
        let (outcome, lines) = look(at(status)).await;
        assert_eq!(outcome, LookOutcome::NoConclusion { reason: Reason::Status(status), server_error });
        assert_eq!(lines.len(), 1);
    }
}

#[tokio::test]
async fn another_payment_than_the_one_asked_for_is_no_conclusion() {
    let body = json!({"id": "pay_2", "status": "Captured"});
    let outcome = look(vec![Answer::json(200, &body)]).await.0;
    assert_eq!(outcome, LookOutcome::NoConclusion { reason: Reason::AnotherPayment, server_error: false });
    assert_eq!(outcome.signal(), Signal::Nothing);
}

#[tokio::test]
async fn a_lost_or_unreadable_look_is_no_conclusion() {
    let half = || Answer::Half("{\"id\": \"pay_1\", \"status\": \"Captured\"}".to_owned());
    for (answer, wanted) in [
        (Answer::CloseAfterRequest, "no_answer"),
        (half(), "no_answer"),
        (Answer::Silence, "no_answer"),
        (Answer::Large(1_000_000), "too_large"),
        (Answer::Whole(200, "<html>".to_owned()), "unreadable"),
        (Answer::Whole(200, "{\"status\": \"Captured\"}".to_owned()), "no_id"),
    ] {
        let (outcome, lines) = look(vec![answer]).await;
        let LookOutcome::NoConclusion { reason, server_error: false } = outcome else { panic!("{outcome:?}") };
        assert_eq!((reason.code(), lines.len()), (wanted, 1));
    }
}

#[tokio::test]
async fn an_id_that_would_leave_its_path_is_never_asked_for() {
    let server = Server::start(vec![]).await;
    for id in ["", "pay_1/refunds", "../workflows", "pay_1?x=1", "pay 1", "pay_\u{e4}"] {
        let outcome = server.client().payment(id).await;
        assert_eq!(outcome, LookOutcome::NoConclusion { reason: Reason::BadId, server_error: false });
    }
    assert_eq!(server.connections(), 0);
}
