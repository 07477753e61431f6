//! The sandbox keeps the promises of Checkout.com that dues relies on, and breaks those that a script tells it to break.

use std::time::Duration;

use chrono::TimeDelta;
use dues::clock::Clock;
use dues::gateway::transport::{Lost, Method};
use dues::sandbox::{Fate, Fault, HttpRequest, Outcome, Rule, Sandbox, Script, Settings, Status};
use serde_json::{Value, json};

mod control;
mod kept;
mod socket;
mod world;

use world::*;

// ---- outcomes

#[test]
fn a_later_payment_is_pending_and_then_captured() {
    let (sandbox, clock) = sandbox(Script::default());
    let accepted = pay(&sandbox, "k1", &later("R-1"));
    assert_eq!(accepted.status, 202);
    let body = json_of(&accepted);
    assert_eq!(body["status"], "Pending");
    assert_eq!(body["source"], json!({"id": IMPORTED, "type": "alipay_hk"}));
    assert!(body["_links"]["redirect"].is_null());
    let id = body["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), "pay_".len() + 26);

    assert_eq!(read(&sandbox, &id)["status"], "Pending");
    let waiting = read_path(&sandbox, &format!("/payments/{id}/actions"));
    assert_eq!((waiting.as_array().unwrap().len(), &waiting[0]["type"]), (1, &json!("Authorization")));
    assert_eq!((&waiting[0]["approved"], &waiting[0]["response_code"]), (&json!(false), &json!("20118")));
    clock.advance(Duration::from_secs(30));
    let payment = read(&sandbox, &id);
    assert_eq!(payment["status"], "Captured");
    assert_eq!(payment["approved"], true);
    assert_eq!(payment["balances"]["total_captured"], 1100);
    assert_eq!(payment["balances"]["available_to_refund"], 1100);
    assert_eq!(payment["source"], json!({"type": "alipay_hk"}));
    assert!(payment.get("response_code").is_none());
    let actions = read_path(&sandbox, &format!("/payments/{id}/actions"));
    assert_eq!((&actions[0]["type"], &actions[1]["type"]), (&json!("Capture"), &json!("Authorization")));
    assert_eq!((&actions[1]["response_code"], &actions[1]["id"]), (&json!("10000"), &waiting[0]["id"]));
}

#[test]
fn a_decline_tells_its_code_only_in_the_actions() {
    let (sandbox, clock) = sandbox(Script::of([Rule::decline("empty wallet", "20051").for_reference("R-")]));
    let id = id_of(&pay(&sandbox, "k1", &later("R-1")));
    let other = id_of(&pay(&sandbox, "k2", &later("S-1")));
    clock.advance(Duration::from_mins(1));
    let payment = read(&sandbox, &id);
    assert_eq!((&payment["status"], &payment["approved"]), (&json!("Declined"), &json!(false)));
    assert_eq!(payment["balances"]["total_captured"], 0);
    assert!(payment.get("response_code").is_none());
    let actions = read_path(&sandbox, &format!("/payments/{id}/actions"));
    assert_eq!(actions[0]["response_code"], "20051");
    assert_eq!(actions[0]["approved"], false);
    assert_eq!(read(&sandbox, &other)["status"], "Captured");
}

#[test]
fn a_payment_ends_as_the_script_says() {
    let script = Script::from_toml(
        r#"
        rule = [
            { reference_prefix = "cancel", outcome = "cancel" },
            { reference_prefix = "expire", outcome = "expire" },
            { reference_prefix = "never", outcome = "pending" },
            { reference_prefix = "late", settle_after = "2h" },
            { amount_minor = 44, outcome = "decline", code = "20061" },
        ]
        "#,
    )
    .unwrap();
    let (sandbox, clock) = sandbox(script);
    for reference in ["cancel", "expire", "never", "late", "fine"] {
        pay(&sandbox, reference, &later(reference));
    }
    pay(&sandbox, "small", &with(later("small"), "amount", json!(44)));
    let statuses = |sandbox: &Sandbox| sandbox.books().payments.iter().map(|p| p.status).collect::<Vec<_>>();
    clock.advance(Duration::from_mins(1));
    let soon =
        [Status::Canceled, Status::Expired, Status::Pending, Status::Pending, Status::Captured, Status::Declined];
    assert_eq!(statuses(&sandbox), soon);
    clock.advance(Duration::from_hours(1000));
    assert_eq!(statuses(&sandbox)[2..4], [Status::Pending, Status::Captured]);
}

#[test]
fn a_source_is_usable_only_after_its_first_payment_was_captured() {
    let (sandbox, clock) = sandbox(Script::default());
    let first = json_of(&pay(&sandbox, "k1", &first("F-1")));
    let source = first["source"]["id"].as_str().unwrap().to_owned();
    let too_soon = id_of(&pay(&sandbox, "k2", &on_source(later("R-1"), &source)));
    assert!(sandbox.approve(first["id"].as_str().unwrap()));
    let in_time = id_of(&pay(&sandbox, "k3", &on_source(later("R-2"), &source)));
    sandbox.revoke_source(&source);
    let unbound = id_of(&pay(&sandbox, "k4", &on_source(later("R-3"), &source)));
    clock.advance(Duration::from_mins(1));
    assert_eq!(read(&sandbox, &too_soon)["status"], "Declined");
    assert_eq!(read(&sandbox, &in_time)["status"], "Captured");
    assert_eq!(read(&sandbox, &unbound)["status"], "Declined");
    assert_eq!(sandbox.books().payments[3].response_code.as_deref(), Some("20101"));
}

#[test]
fn an_unknown_source_is_declined_where_imports_are_not_expected() {
    let settings = Settings { accept_unknown_sources: false, ..Settings::default() };
    let (sandbox, clock) = sandbox_of(settings, Script::default());
    let id = id_of(&pay(&sandbox, "k1", &later("R-1")));
    clock.advance(Duration::from_mins(1));
    assert_eq!(read(&sandbox, &id)["status"], "Declined");
}

#[test]
fn a_first_payment_that_nobody_touches_expires() {
    let (sandbox, clock) = sandbox(Script::default());
    let id = id_of(&pay(&sandbox, "k1", &first("F-1")));
    clock.advance(Duration::from_mins(29));
    assert_eq!(read(&sandbox, &id)["status"], "Pending");
    clock.advance(Duration::from_mins(1));
    assert_eq!(read(&sandbox, &id)["status"], "Expired");
    assert!(!sandbox.approve(&id));
}

#[test]
fn an_outcome_rule_approves_a_first_payment() {
    let rule = Rule::outcome("kind customer", Outcome::Capture).for_customer("wallet@example.com");
    let (sandbox, clock) = sandbox(Script::of([rule]));
    let id = id_of(&pay(&sandbox, "k1", &first("F-1")));
    clock.advance(Duration::from_secs(30));
    assert_eq!(read(&sandbox, &id)["status"], "Captured");
}

#[test]
fn rules_count_and_keep_their_hours() {
    let rules = [
        Rule::decline("first two", "20001").for_reference("A").times(2),
        Rule::decline("every third", "20003").for_reference("B").every(3),
        Rule::decline("empty for an hour", "20051")
            .between(start(), start() + TimeDelta::hours(1))
            .for_source("src_poor"),
    ];
    let (sandbox, clock) = sandbox(Script::of(rules));
    for number in 0..4 {
        pay(&sandbox, &format!("a{number}"), &later(&format!("A{number}")));
        pay(&sandbox, &format!("b{number}"), &later(&format!("B{number}")));
    }
    pay(&sandbox, "p1", &on_source(later("C1"), "src_poor"));
    clock.advance(Duration::from_hours(1));
    pay(&sandbox, "p2", &on_source(later("C2"), "src_poor"));
    clock.advance(Duration::from_hours(1));
    let books = sandbox.books();
    let declined = books.payments.iter().filter(|payment| payment.status == Status::Declined);
    assert_eq!(declined.map(|payment| payment.reference.as_str()).collect::<Vec<_>>(), ["A0", "A1", "B2", "C1"]);
}

#[test]
fn one_seed_throws_the_same_dice() {
    let throw = |seed| {
        let rule = Rule::decline("now and then", "20005").per_mille(300);
        let sandbox = Sandbox::new(Settings::default(), Script::of([rule]), Clock::manual(start()), seed);
        for number in 0..200 {
            pay(&sandbox, &number.to_string(), &later(&format!("R-{number}")));
        }
        serde_json::to_string(&sandbox.books()).unwrap()
    };
    assert_eq!(throw(7), throw(7));
    assert_ne!(throw(7), throw(8));
}

// ---- idempotency

#[test]
fn a_saved_key_is_replayed() {
    let (sandbox, clock) = sandbox(Script::default());
    let once = pay(&sandbox, "k1", &later("R-1"));
    clock.advance(Duration::from_hours(23));
    let again = pay(&sandbox, "k1", &later("R-1"));
    assert_eq!((once.status, &once.body), (again.status, &again.body));
    let books = sandbox.books();
    assert_eq!((books.payments.len(), books.key_sends["k1"], books.rule_breaches.total()), (1, 2, 0));
}

#[test]
fn an_expired_key_is_a_new_payment() {
    let settings = Settings { key_life: Duration::from_mins(2), ..Settings::default() };
    let (sandbox, clock) = sandbox_of(settings, Script::default());
    pay(&sandbox, "k1", &later("R-1"));
    clock.advance(Duration::from_mins(2));
    pay(&sandbox, "k1", &later("R-1"));
    clock.advance(Duration::from_mins(2));
    assert_eq!(sandbox.books().captures_by_reference()["R-1"], 2);
    assert_eq!(sandbox.summary().references_captured_twice, 1);
}

#[test]
fn a_broken_rule_of_keys_is_in_the_books() {
    let (sandbox, clock) = sandbox(Script::default());
    pay(&sandbox, "k1", &later("R-1"));
    clock.advance(Duration::from_secs(29));
    pay(&sandbox, "k1", &later("R-2"));
    let breaches = sandbox.books().rule_breaches;
    assert_eq!((breaches.other_body, breaches.resent_too_soon, breaches.in_flight), (1, 1, 0));
    assert_eq!(sandbox.books().payments.len(), 1);
}

#[test]
fn an_error_saves_no_key() {
    let rules = [
        Rule::fault("before", Fault::ErrorBefore(502)).for_reference("B").times(1),
        Rule::fault("after", Fault::ErrorAfter(500)).for_reference("A").times(1),
    ];
    let (sandbox, clock) = sandbox(Script::of(rules));
    let statuses = ["B", "A"].map(|reference| {
        let first = pay(&sandbox, reference, &later(reference)).status;
        clock.advance(Duration::from_mins(1));
        (first, pay(&sandbox, reference, &later(reference)).status)
    });
    assert_eq!(statuses, [(502, 202), (500, 202)]);
    clock.advance(Duration::from_mins(1));
    let books = sandbox.books();
    assert_eq!((books.captures_by_reference()["B"], books.captures_by_reference()["A"]), (1, 2));
    // A refused request saves nothing either: the mended one runs.
    assert_eq!(pay(&sandbox, "k", &with(later("R"), "amount", json!(0))).status, 422);
    assert_eq!(pay(&sandbox, "k", &later("R")).status, 202);
}

#[test]
fn a_duplicate_of_a_request_in_flight_is_refused() {
    let (sandbox, clock) = sandbox(Script::of([Rule::fault("slow", Fault::Slow(Duration::from_secs(40))).times(1)]));
    let slow = pay(&sandbox, "k1", &later("R-1"));
    assert_eq!((slow.status, slow.fate), (202, Fate::After(Duration::from_secs(40))));
    clock.advance(Duration::from_secs(35));
    let duplicate = pay(&sandbox, "k1", &later("R-1"));
    assert_eq!(duplicate.status, 429);
    assert_eq!(json_of(&duplicate)["error_codes"], json!(["duplicate_request"]));
    clock.advance(Duration::from_secs(35));
    assert_eq!(pay(&sandbox, "k1", &later("R-1")).body, slow.body);
    assert_eq!(sandbox.books().rule_breaches.in_flight, 1);
}

// ---- look-ups

#[test]
fn a_look_up_pages_from_the_newest() {
    let (sandbox, clock) = sandbox(Script::default());
    let ids: Vec<String> = (0..12)
        .map(|number| {
            clock.advance(Duration::from_secs(1));
            id_of(&pay(&sandbox, &number.to_string(), &later("same & co")))
        })
        .collect();
    let page = read_path(&sandbox, "/payments?reference=same%20%26%20co&limit=5&skip=10");
    assert_eq!((&page["total_count"], &page["limit"], &page["skip"]), (&json!(12), &json!(5), &json!(10)));
    let found: Vec<_> = page["data"].as_array().unwrap().iter().map(|payment| payment["id"].clone()).collect();
    assert_eq!(found, [json!(ids[1]), json!(ids[0])]);
    assert_eq!(read_path(&sandbox, "/payments?reference=same+%26+co")["data"].as_array().unwrap().len(), 10);
    assert_eq!(read_path(&sandbox, "/payments?reference=other")["total_count"], 0);
    for wrong in ["?reference=R&limit=0", "?reference=R&limit=101", "?reference=R&skip=-1", "?limit=5", ""] {
        assert_eq!(get(&sandbox, &format!("/payments{wrong}")).status, 422, "{wrong}");
    }
}

#[test]
fn a_payment_is_seen_only_after_its_lag() {
    let text = "[[rule]]\nreference_prefix = \"L\"\nlookup_lag = \"5m\"\nread_lag = \"5s\"";
    let (sandbox, clock) = sandbox(Script::from_toml(text).unwrap());
    let id = id_of(&pay(&sandbox, "k1", &later("L-1")));
    assert_eq!(get(&sandbox, &format!("/payments/{id}")).status, 404);
    clock.advance(Duration::from_secs(5));
    assert_eq!(get(&sandbox, &format!("/payments/{id}")).status, 200);
    assert_eq!(read_path(&sandbox, "/payments?reference=L-1")["total_count"], 0);
    clock.advance(Duration::from_mins(5));
    assert_eq!(read_path(&sandbox, "/payments?reference=L-1")["data"][0]["id"], json!(id));
}

#[test]
fn a_made_up_status_is_shown_but_not_believed() {
    let (sandbox, clock) = sandbox(Script::of([Rule::fault("odd", Fault::Status("On Hold".to_owned())).times(1)]));
    let id = id_of(&pay(&sandbox, "k1", &later("R-1")));
    clock.advance(Duration::from_mins(1));
    assert_eq!(read(&sandbox, &id)["status"], "On Hold");
    assert_eq!(read(&sandbox, &id)["status"], "Captured");
}

// ---- refusals

#[test]
fn a_wrong_field_is_refused() {
    for (field, value, code) in [
        ("amount", json!(0), "amount_invalid"),
        ("amount", json!("1100"), "amount_invalid"),
        ("amount", json!(11.5), "amount_invalid"),
        ("amount", json!(1_000_000_000), "amount_invalid"),
        ("amount", Value::Null, "amount_required"),
        ("currency", json!("hkd"), "currency_invalid"),
        ("reference", Value::Null, "reference_invalid"),
        ("reference", json!("x".repeat(51)), "reference_invalid"),
        ("source", Value::Null, "payment_source_required"),
        ("source", json!({"kind": "id"}), "payment_source_required"),
        ("source", json!({"type": "id", "source_id": IMPORTED}), "source_id_invalid"),
        ("source", json!({"type": "card"}), "payment_method_not_supported"),
        ("source", json!({"type": "alipay_hk"}), "success_url_required"),
        ("payment_type", json!("Regular"), "payment_type_invalid"),
        ("payment_type", json!("recurring"), "payment_type_invalid"),
        ("payment_type", Value::Null, "payment_type_invalid"),
        ("capture", json!("true"), "capture_invalid"),
        ("merchant_initiated", json!("true"), "merchant_initiated_invalid"),
        ("processing", json!({"terminal_type": "WAP"}), "os_type_required"),
        ("processing", json!({"terminal_type": "TV"}), "terminal_type_invalid"),
        ("items", json!([{"name": "a", "unit_price": "5"}]), "items_invalid"),
        ("metadata", json!({"deep": {}}), "metadata_invalid"),
        ("processing_channel_id", json!("channel"), "cko_processing_channel_id_invalid"),
    ] {
        let (sandbox, _) = sandbox(Script::default());
        let refused = pay(&sandbox, "k1", &with(later("R-1"), field, value.clone()));
        assert_eq!((refused.status, &json_of(&refused)["error_codes"]), (422, &json!([code])), "{field}: {value}");
        let header = refused.headers.iter().find(|(name, _)| *name == "cko-request-id").unwrap();
        assert_eq!(json_of(&refused)["request_id"], json!(header.1));
        assert!(sandbox.books().payments.is_empty());
    }
}

#[test]
fn an_unknown_field_is_ignored_but_counted() {
    let (sandbox, _) = sandbox(Script::default());
    let mut order = with(later("R-1"), "procesing_channel_id", json!("pc_x"));
    order["customer"]["mail"] = json!("a@example.com");
    assert_eq!(pay(&sandbox, "k1", &order).status, 202);
    let unknown = sandbox.books().unknown_fields;
    assert_eq!(unknown.keys().collect::<Vec<_>>(), ["customer.mail", "procesing_channel_id"]);
    assert_eq!(sandbox.summary().unknown_fields, 2);
    // What is null was not said.
    let mut order = with(later("R-2"), "misspelt", Value::Null);
    order["items"][0]["reference"] = Value::Null;
    order["items"][0]["kind"] = Value::Null;
    assert_eq!(pay(&sandbox, "k2", &order).status, 202);
    assert_eq!(sandbox.summary().unknown_fields, 2);
}

#[test]
fn the_wrong_key_and_the_unknown_id_get_an_empty_answer() {
    let (sandbox, _) = sandbox(Script::default());
    for authorization in [None, Some("sk_sbox_simulated"), Some("Bearer sk_other")] {
        let path = "/payments/pay_x";
        let request = HttpRequest { method: Method::Get, path, authorization, idempotency_key: None, body: b"" };
        let answer = sandbox.handle(request);
        assert_eq!((answer.status, answer.body.len()), (401, 0));
    }
    let unknown = get(&sandbox, "/payments/pay_x");
    assert_eq!((unknown.status, unknown.body.len()), (404, 0));
    assert_eq!(unknown.headers.iter().find(|(name, _)| *name == "date").unwrap().1, "Sun, 01 Mar 2026 00:00:00 GMT");
    sandbox.set_unauthorised(true);
    assert_eq!(pay(&sandbox, "k1", &later("R-1")).status, 401);
    sandbox.set_unauthorised(false);
    assert_eq!(pay(&sandbox, "k1", &later("R-1")).status, 202);
}

#[test]
fn more_than_the_granted_requests_are_refused() {
    let settings = Settings { writes_per_second: Some(3), reads_per_second: Some(1), ..Settings::default() };
    let (sandbox, clock) = sandbox_of(settings, Script::default());
    let burst = |from: u32| {
        (from..from + 5).map(|number| pay(&sandbox, &number.to_string(), &later("R")).status).collect::<Vec<_>>()
    };
    assert_eq!(burst(0), [202, 202, 202, 429, 429]);
    assert_eq!(get(&sandbox, "/payments?reference=R").status, 200);
    assert_eq!(get(&sandbox, "/payments?reference=R").status, 429);
    clock.advance(Duration::from_millis(999));
    assert_eq!(burst(10), [429; 5]);
    clock.advance(Duration::from_millis(1));
    assert_eq!(burst(20), [202, 202, 202, 429, 429]);
}

#[test]
fn a_script_may_forbid_what_is_sent_while_reads_are_answered() {
    let script = Script::from_toml("[[rule]]\nfault = \"forbidden\"\ntimes = 1").unwrap();
    let (sandbox, _) = sandbox(script);
    let refused = pay(&sandbox, "k1", &later("R-1"));
    assert_eq!((refused.status, refused.body.len()), (403, 0));
    assert_eq!(get(&sandbox, "/payments?reference=R-1").status, 200);
    assert!(sandbox.books().payments.is_empty());
    assert_eq!(pay(&sandbox, "k1", &later("R-1")).status, 202, "a key that was refused is executed again");
}

#[test]
fn a_script_error_names_the_rule() {
    for (text, expected) in [
        ("[[rule]]\nname = \"poor\"\noutcom = \"capture\"", "\"poor\""),
        ("[[rule]]\noutcome = \"capture\"\n[[rule]]\noutcome = \"decline\"", "number 2 of the script: a decline needs"),
        ("[[rule]]\nname = \"poor\"", "exactly one thing"),
        ("[[rule]]\nfault = \"slow\"", "needs a `delay`"),
        ("[[rule]]\nfault = \"slow\"\ndelay = \"soon\"", "`delay` must be a duration"),
        ("[[rule]]\nfault = \"huge\"\nper_mille = 1001", "`per_mille`"),
        ("[[rule]]\nfault = \"error_after\"\nstatus = 404", "5xx"),
        ("[[rule]]\noutcome = \"capture\"\nfrom = \"tomorrow\"", "`from` must be an instant"),
        ("[[rule]]\noutcome = \"capture\"\ncode = \"20051\"", "`code` needs outcome"),
        ("[[rules]]\n", "not a TOML file"),
        ("[[rule]]\noutcome = \"capture\"\namount_minor = -5", "`amount_minor` lies between 1 and"),
        ("[[rule]]\noutcome = \"capture\"\namount_minor = 0", "`amount_minor`"),
        (
            "[[rule]]\noutcome = \"capture\"\nfrom = 2026-03-02T00:00:00Z\nuntil = 2026-03-01T00:00:00Z",
            "`until` must be later than `from`",
        ),
        (
            "[[rule]]\noutcome = \"capture\"\nfrom = 2026-03-02T00:00:00Z\nuntil = 2026-03-02T08:00:00+08:00",
            "`until` must be later than `from`",
        ),
        ("[[rule]]\noutcome = \"decline\"\ncode = \"99\"", "`code` must be five"),
        ("[[rule]]\noutcome = \"decline\"\ncode = \"10000\"", "`code` must be five"),
        ("[[rule]]\noutcome = \"decline\"\ncode = \"200r1\"", "`code` must be five"),
    ] {
        let error = Script::from_toml(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text:?} gave {error}");
    }
    let fine = "[[rule]]\nfault = \"status\"\nshown = \"On Hold\"\nfrom = 2026-03-01T00:00:00Z\nuntil = \"2026-03-02T00:00:00+08:00\"";
    assert_eq!(Script::from_toml(fine).unwrap().rules[0].when.from, Some(start()));
    for code in ["20051", "200R1", "2005C", "30041", "43401", "USER_BALANCE_NOT_ENOUGH"] {
        let text = format!("[[rule]]\noutcome = \"decline\"\ncode = {code:?}");
        assert_eq!(Script::from_toml(&text).unwrap().rules.len(), 1, "{code}");
    }
}

// ---- refunds

#[test]
fn a_refund_never_exceeds_what_was_captured() {
    let (sandbox, clock) = sandbox(Script::default());
    let id = id_of(&pay(&sandbox, "k1", &later("R-1")));
    let refund = |key, amount: i64| post(&sandbox, &format!("/payments/{id}/refunds"), key, &json!({"amount": amount}));
    assert_eq!((refund("r0", 100).status, refund("r0", 100).body.len()), (403, 0));
    clock.advance(Duration::from_mins(1));
    let accepted = refund("r1", 400);
    assert_eq!(accepted.status, 202);
    assert_eq!(json_of(&refund("r1", 400))["action_id"], json_of(&accepted)["action_id"]);
    assert_eq!(read(&sandbox, &id)["status"], "Captured");
    assert_eq!(read(&sandbox, &id)["balances"]["available_to_refund"], 700);
    let refused = refund("r2", 701);
    assert_eq!((refused.status, &json_of(&refused)["error_codes"]), (422, &json!(["amount_exceeds_balance"])));
    clock.advance(Duration::from_mins(1));
    assert_eq!(read(&sandbox, &id)["status"], "Partially Refunded");
    assert_eq!(refund("r3", 700).status, 202);
    clock.advance(Duration::from_mins(1));
    let payment = read(&sandbox, &id);
    assert_eq!((&payment["status"], &payment["balances"]["total_refunded"]), (&json!("Refunded"), &json!(1100)));
    let actions = read_path(&sandbox, &format!("/payments/{id}/actions"));
    let kinds: Vec<_> = actions.as_array().unwrap().iter().map(|action| action["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Refund", "Refund", "Capture", "Authorization"]);
    assert_eq!((sandbox.books().captured_minor("HKD"), sandbox.books().refunded_minor("HKD")), (1100, 1100));
}

// ---- the door in this process

#[tokio::test]
async fn a_lost_response_is_in_the_books() {
    let rules = [
        Rule::fault("request", Fault::LostRequest).for_reference("request"),
        Rule::fault("response", Fault::LostResponse).for_reference("response"),
        Rule::fault("huge", Fault::Huge).for_reference("huge"),
        Rule::fault("slow", Fault::Slow(Duration::from_secs(46))).for_reference("slow"),
        Rule::fault("cut", Fault::TruncatedBody).for_reference("cut"),
        Rule::fault("page", Fault::HtmlBody).for_reference("page"),
    ];
    let (sandbox, clock) = sandbox(Script::of(rules));
    let transport = sandbox.in_process();
    let send = |reference: &str| transport.exchange(request(reference));
    assert!(matches!(send("request").await, Err(Lost::NoAnswer(_))));
    assert!(matches!(send("response").await, Err(Lost::NoAnswer(_))));
    assert!(matches!(send("huge").await, Err(Lost::TooLarge { .. })));
    assert!(matches!(send("slow").await, Err(Lost::NoAnswer(_))));
    for reference in ["cut", "page"] {
        let reply = send(reference).await.unwrap();
        assert_eq!(reply.status, 202);
        assert!(serde_json::from_slice::<Value>(&reply.body).is_err());
    }
    let fine = send("fine").await.unwrap();
    assert!(fine.request_id.is_some());
    clock.advance(Duration::from_mins(1));
    let books = sandbox.books();
    let captured: Vec<_> = books.captures_by_reference().into_iter().collect();
    assert_eq!(captured, [("cut", 1), ("fine", 1), ("huge", 1), ("page", 1), ("response", 1), ("slow", 1)]);
    assert_eq!(books.captured_minor("HKD"), 6 * 1100);
    assert_eq!(books.key_sends.len(), 7);
}
