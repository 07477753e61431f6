//! The control endpoint: what a test asks of the sandbox at run time, and what is refused and why.

use std::time::Duration;

use dues::gateway::transport::Method;
use dues::sandbox::{Answer, HttpRequest, Sandbox, Script, Settings};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::world::*;

fn control(sandbox: &Sandbox, path: &str, body: &str) -> Answer {
    control_as(sandbox, None, Method::Post, path, body)
}

fn control_as(sandbox: &Sandbox, bearer: Option<&str>, method: Method, path: &str, body: &str) -> Answer {
    let path = format!("/sandbox/{path}");
    let request =
        HttpRequest { method, path: &path, authorization: bearer, idempotency_key: None, body: body.as_bytes() };
    sandbox.handle(request)
}

fn look(sandbox: &Sandbox, path: &str) -> Value {
    let answer = control_as(sandbox, None, Method::Get, path, "");
    assert_eq!(answer.status, 200, "{path}");
    json_of(&answer)
}

fn first_id(sandbox: &Sandbox, reference: &str) -> (String, String) {
    let accepted = json_of(&pay(sandbox, reference, &first(reference)));
    (accepted["id"].as_str().unwrap().to_owned(), accepted["source"]["id"].as_str().unwrap().to_owned())
}

#[test]
fn the_customer_and_the_wallet_act_through_it() {
    let (sandbox, clock) = sandbox(Script::default());
    let (paid, source) = first_id(&sandbox, "F-1");
    let approved = control(&sandbox, &format!("payments/{paid}/approve"), "{}");
    assert_eq!((approved.status, &json_of(&approved)["status"]), (200, &json!("Captured")));
    assert_eq!(look(&sandbox, &format!("payments/{paid}"))["captured_minor"], 1100);

    let (refused, _) = first_id(&sandbox, "F-2");
    assert_eq!(control(&sandbox, &format!("payments/{refused}/refuse"), "").status, 200);
    assert_eq!(read(&sandbox, &refused)["status"], "Declined");
    let overturned = control(&sandbox, &format!("payments/{refused}/overturn"), "");
    assert_eq!(json_of(&overturned)["status"], "Captured");
    assert_eq!(read(&sandbox, &refused)["status"], "Captured");

    let revoked = control(&sandbox, &format!("sources/{source}/revoke"), "");
    assert_eq!(json_of(&revoked), json!({"source_id": source, "revoked_at": "2026-03-01T00:00:00Z"}));
    let dead = id_of(&pay(&sandbox, "k3", &on_source(later("R-1"), &source)));
    clock.advance(Duration::from_mins(1));
    assert_eq!(look(&sandbox, &format!("payments/{dead}"))["response_code"], "20101");
}

#[test]
fn an_imported_source_is_revoked_once_it_is_charged_or_said_to_be_one() {
    let (sandbox, clock) = sandbox(Script::default());
    pay(&sandbox, "k1", &on_source(later("R-1"), "src_charged"));
    assert_eq!(control(&sandbox, "sources/src_charged/revoke", "").status, 200);
    assert_eq!(control(&sandbox, "sources/src_imported/revoke", "").status, 404);
    assert_eq!(control(&sandbox, "sources/src_imported/revoke", r#"{"imported": true}"#).status, 200);
    for (key, source) in [("k2", "src_charged"), ("k3", "src_imported")] {
        let dead = id_of(&pay(&sandbox, key, &on_source(later(key), source)));
        clock.advance(Duration::from_mins(1));
        assert_eq!(look(&sandbox, &format!("payments/{dead}"))["response_code"], "20101");
    }
}

#[test]
fn a_script_is_set_and_cleared_at_run_time() {
    let (sandbox, clock) = sandbox(Script::default());
    let rules = json!({"rule": [
        {"name": "empty", "reference_prefix": "R", "outcome": "decline", "code": "20051", "times": 1},
        {"name": "hours", "from": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00+08:00", "settle_after": "1s"},
    ]});
    let set = control(&sandbox, "script", &rules.to_string());
    assert_eq!((set.status, &json_of(&set)["rules"][0]), (200, &json!({"name": "empty", "met": 0, "spoke": 0})));
    let declined = id_of(&pay(&sandbox, "k1", &later("R-1")));
    let captured = id_of(&pay(&sandbox, "k2", &later("R-2")));
    clock.advance(Duration::from_secs(1));
    assert_eq!(read(&sandbox, &captured)["status"], "Captured", "the second rule is obeyed");
    clock.advance(Duration::from_mins(1));
    assert_eq!(read(&sandbox, &declined)["status"], "Declined");
    let rules = look(&sandbox, "state")["rules"].clone();
    assert_eq!(rules, json!([{"name": "empty", "met": 1, "spoke": 1}, {"name": "hours", "met": 1, "spoke": 1}]));
    assert_eq!(json_of(&control(&sandbox, "script", r#"{"rule": []}"#))["rules"], json!([]));
}

#[test]
fn the_key_is_taken_away_and_given_back() {
    let (sandbox, _) = sandbox(Script::default());
    for (unauthorised, status) in [(true, 401), (false, 202)] {
        let body = json!({"unauthorised": unauthorised}).to_string();
        assert_eq!(control(&sandbox, "unauthorised", &body).status, 200);
        assert_eq!(look(&sandbox, "state")["unauthorised"], json!(unauthorised));
        assert_eq!(pay(&sandbox, "k1", &later("R-1")).status, status);
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_field() {
    let (sandbox, _) = sandbox(Script::default());
    let (paid, source) = first_id(&sandbox, "F-1");
    assert!(sandbox.approve(&paid));
    let [approve, overturn] = ["approve", "overturn"].map(|verb| format!("payments/{paid}/{verb}"));
    let revoke = format!("sources/{source}/revoke");
    let before = look(&sandbox, "books");
    for (path, body, status, field, told) in [
        (approve.as_str(), "", 409, "id", "waits for its customer; this one is Captured"),
        (&overturn, "", 409, "id", "needs a declined payment"),
        (&approve, r#"{"amount": 5}"#, 422, "amount", "not known"),
        (&approve, "[]", 422, "body", "JSON object"),
        ("payments/pay_nothing/approve", "", 404, "id", "no payment pay_nothing"),
        ("sources/pay_x/revoke", "", 422, "id", "src_"),
        (&revoke, r#"{"at": 1}"#, 422, "at", "not known"),
        (&revoke, r#"{"imported": 1}"#, 422, "imported", "true or false"),
        ("sources/src_nope/revoke", "", 404, "id", "no source src_nope was made or charged here"),
        ("sources/src_nope/revoke", r#"{"imported": false}"#, 404, "id", r#"{"imported": true}"#),
        ("unauthorised", "{}", 422, "unauthorised", "true or false"),
        ("unauthorised", r#"{"unauthorised": "yes"}"#, 422, "unauthorised", "true or false"),
        ("unauthorised", r#"{"unauthorised": true, "until": 1}"#, 422, "until", "not known"),
        ("script", "", 422, "rule", "JSON object"),
        ("script", r#"{"rules": []}"#, 422, "rule", "unknown field `rules`"),
        ("script", r#"{"rule": [{"name": "odd", "outcom": "capture"}]}"#, 422, "rule", "unknown field `outcom`"),
        ("script", r#"{"rule": [{"name": "odd", "outcome": "decline"}]}"#, 422, "rule", "\"odd\""),
        ("nothing", "", 404, "path", "--help"),
    ] {
        let refused = control(&sandbox, path, body);
        let said = json_of(&refused);
        assert_eq!((refused.status, &said["field"]), (status, &json!(field)), "{path} {body}: {said}");
        assert!(said["error"].as_str().unwrap().contains(told), "{told:?} is missing in {said}");
    }
    assert_eq!(look(&sandbox, "books"), before, "nothing that was refused was done");
    assert_eq!(look(&sandbox, "state")["unauthorised"], false);
}

#[test]
fn where_there_is_a_token_it_is_asked_for() {
    let settings = Settings { control_token: Some(SecretString::from("tok")), ..Settings::default() };
    let (sandbox, _) = sandbox_of(settings, Script::default());
    for path in ["books", "books/summary", "state"] {
        for bearer in [None, Some("tok"), Some("Bearer other"), Some(KEY)] {
            let refused = control_as(&sandbox, bearer, Method::Get, path, "");
            assert_eq!((refused.status, &json_of(&refused)["field"]), (401, &json!("authorization")), "{bearer:?}");
        }
        assert_eq!(control_as(&sandbox, Some("Bearer tok"), Method::Get, path, "").status, 200);
    }
    let script = r#"{"rule": [{"outcome": "pending"}]}"#;
    assert_eq!(control(&sandbox, "script", script).status, 401);
    assert_eq!(control_as(&sandbox, Some("Bearer tok"), Method::Post, "script", script).status, 200);
    assert_eq!(pay(&sandbox, "k1", &later("R-1")).status, 202, "the API asks for its own key as before");
}
