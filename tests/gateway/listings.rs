//! What a look-up by reference proves: a whole list or nothing.

use dues::gateway::outcome::{LookUpOutcome, PaymentStatus};
use serde_json::{Value, json};

use super::server::{Answer, Server};

async fn look_up(answers: Vec<Answer>) -> (LookUpOutcome, Vec<String>) {
    let server = Server::start(answers).await;
    let outcome = server.client().payments_by_reference("d1-abc-4").await;
    (outcome, server.lines())
}

fn entries(range: std::ops::Range<usize>) -> Vec<Value> {
    range.map(|n| json!({"id": format!("pay_{n}"), "status": "Declined", "reference": "d1-abc-4"})).collect()
}

fn page(total: usize, data: Vec<Value>) -> Answer {
    Answer::json(200, &json!({"limit": 100, "skip": 0, "total_count": total, "data": data}))
}

fn assert_no_conclusion(outcome: LookUpOutcome, wanted: &str) {
    let LookUpOutcome::NoConclusion { reason, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason.code(), wanted, "{reason}");
}

#[tokio::test]
async fn an_empty_list_is_whole() {
    let (outcome, lines) = look_up(vec![page(0, vec![])]).await;
    assert_eq!(outcome, LookUpOutcome::Listed(vec![]));
    assert_eq!(lines, ["GET /payments?reference=d1-abc-4&limit=100&skip=0 HTTP/1.1"]);
}

#[tokio::test]
async fn all_pages_of_250_payments_are_read_once() {
    let pages = vec![page(250, entries(0..100)), page(250, entries(100..200)), page(250, entries(200..250))];
    let (outcome, lines) = look_up(pages).await;
    let LookUpOutcome::Listed(payments) = outcome else { panic!("{outcome:?}") };
    let ids: Vec<_> = payments.iter().map(|payment| payment.id.clone()).collect();
    assert_eq!(ids, (0..250).map(|n| format!("pay_{n}")).collect::<Vec<_>>());
    assert!(payments.iter().all(|payment| payment.status == PaymentStatus::Declined));
    assert_eq!(
        lines.iter().filter_map(|line| line.split("skip=").nth(1)).collect::<Vec<_>>(),
        ["0 HTTP/1.1", "100 HTTP/1.1", "200 HTTP/1.1"]
    );
}

#[tokio::test]
async fn exactly_one_page_asks_for_no_second() {
    let (outcome, lines) = look_up(vec![page(100, entries(0..100))]).await;
    assert!(matches!(outcome, LookUpOutcome::Listed(payments) if payments.len() == 100));
    assert_eq!(lines.len(), 1);
}

#[tokio::test]
async fn a_list_that_is_not_whole_is_no_list() {
    let foreign = json!({"id": "pay_1", "status": "Captured", "reference": "d1-abc-44"});
    for (odd, pages) in [
        ("a short only page", vec![page(3, entries(0..2))]),
        ("an empty page of some", vec![page(1, vec![])]),
        ("more than the total", vec![page(1, entries(0..2))]),
        ("entries of none", vec![page(0, entries(0..1))]),
        ("a short later page", vec![page(150, entries(0..100)), page(150, entries(100..149))]),
        ("a total that moves", vec![page(150, entries(0..100)), page(151, entries(100..150))]),
        ("an entry twice", vec![page(150, entries(0..100)), page(150, entries(99..149))]),
        ("another reference", vec![page(1, vec![foreign])]),
        ("an entry without id", vec![page(1, vec![json!({"status": "Captured"})])]),
        ("a list for an entry", vec![page(1, vec![json!(["pay_1", "Captured"])])]),
        ("an endless list", vec![page(1_000_000, entries(0..100))]),
    ] {
        let count = pages.len();
        let (outcome, lines) = look_up(pages).await;
        let LookUpOutcome::NoConclusion { reason, server_error: false } = outcome else { panic!("{odd}: {outcome:?}") };
        assert_eq!((reason.code(), lines.len()), ("list", count), "{odd}: {reason}");
    }
}

#[tokio::test]
async fn a_page_unread_is_no_conclusion() {
    for (answer, wanted) in [
        (|| Answer::Whole(500, String::new()), "status"),
        (|| Answer::Whole(404, String::new()), "status"),
        (|| Answer::Whole(422, String::new()), "status"),
        (|| Answer::Whole(204, String::new()), "status"),
        (|| Answer::Whole(302, String::new()), "status"),
        (|| Answer::CloseAfterRequest, "no_answer"),
        (|| Answer::Whole(200, "<html>".to_owned()), "unreadable"),
        (|| Answer::Whole(200, "{\"data\": []}".to_owned()), "unreadable"),
        (|| Answer::Whole(200, "[0, []]".to_owned()), "unreadable"),
        (|| Answer::Whole(200, "{\"total_count\": 0}".to_owned()), "unreadable"),
        (|| Answer::Whole(200, "{\"total_count\": -1, \"data\": []}".to_owned()), "unreadable"),
    ] as [(fn() -> Answer, &str); 11]
    {
        assert_no_conclusion(look_up(vec![answer()]).await.0, wanted);
        let (outcome, lines) = look_up(vec![page(150, entries(0..100)), answer()]).await;
        assert_no_conclusion(outcome, wanted);
        assert_eq!(lines.len(), 2);
    }
}

#[tokio::test]
async fn a_refusal_of_a_look_up_is_our_fault_and_a_limit_is_a_limit() {
    assert_eq!(look_up(vec![Answer::Whole(401, String::new())]).await.0, LookUpOutcome::OurFault { status: 401 });
    assert_eq!(look_up(vec![Answer::Whole(403, String::new())]).await.0, LookUpOutcome::OurFault { status: 403 });
    let pages = vec![page(150, entries(0..100)), Answer::Whole(429, String::new())];
    assert_eq!(look_up(pages).await.0, LookUpOutcome::RateLimited);
}

#[tokio::test]
async fn a_reference_cannot_leave_its_place_in_the_query() {
    let server = Server::start(vec![page(0, vec![])]).await;
    server.client().payments_by_reference("a&limit=1 #/\u{e4}").await;
    assert_eq!(server.lines(), ["GET /payments?reference=a%26limit%3D1%20%23%2F%C3%A4&limit=100&skip=0 HTTP/1.1"]);
}
