//! The door with a socket: the same answers over real HTTP, and those that never come.

#![allow(unused_imports, reason = "the tests beside share one list")]

use chrono::TimeDelta;
use dues::clock::{Clock, Instant};
use dues::gateway::transport::{Lost, Method, Request};
use dues::sandbox::{Answer, Fate, Fault, HttpRequest, Outcome, Rule, Sandbox, Script, Settings, Status};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::time::Duration;

use super::world::*;

#[tokio::test]
async fn a_customer_pays_or_declines_on_the_page() {
    let house = House::open(Script::default()).await;
    for (button, ending, status) in [("pay", "success", "Captured"), ("decline", "failure", "Declined")] {
        let accepted: Value = house.pay(button, &first(button)).await.json().await.unwrap();
        assert!(accepted["source"]["id"].as_str().unwrap().starts_with("src_"));
        let link = accepted["_links"]["redirect"]["href"].as_str().unwrap().to_owned();
        let page = house.client.get(&link).send().await.unwrap();
        assert!(page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        let page = page.text().await.unwrap();
        assert!(page.contains("11.00 HKD") && page.contains("Simulated") && page.contains("Simulated Merchant"));
        assert!(!page.contains("src=") && !page.contains("href="));
        let pressed = house.client.post(&link).body(format!("action={button}")).send().await.unwrap();
        assert_eq!(pressed.status(), 303);
        let target = pressed.headers()["location"].to_str().unwrap();
        let expected = format!("https://example.com/{ending}?cko-session-id=sid_");
        assert!(target.starts_with(&expected), "{target}");
        let id = accepted["id"].as_str().unwrap();
        let payment: Value = house.get(&format!("/payments/{id}")).await.json().await.unwrap();
        assert_eq!(payment["status"], status);
        let session = target.split_once('=').unwrap().1;
        let by_session: Value = house.get(&format!("/payments/{session}")).await.json().await.unwrap();
        assert_eq!(by_session["id"], payment["id"]);
        let again = house.client.get(&link).send().await.unwrap().text().await.unwrap();
        assert!(!again.contains("<button") && again.contains(status) && again.contains(target));
        let home = house.client.get(format!("{}/?cko-session-id={session}", house.url)).send().await.unwrap();
        let policy = home.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let home = home.text().await.unwrap();
        assert!(home.contains(&format!("<strong>{button}</strong> is <strong>{status}</strong>")), "{home}");
    }
    // A text of the merchant's is text, whatever it holds.
    let odd = with(first("<b>odd</b>"), "description", json!("\"5 > 4\" & '<script>'"));
    let accepted: Value = house.pay("odd", &odd).await.json().await.unwrap();
    let link = accepted["_links"]["redirect"]["href"].as_str().unwrap();
    let page = house.client.get(link).send().await.unwrap().text().await.unwrap();
    assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    assert!(page.contains("&quot;5 &gt; 4&quot; &amp; &#39;&lt;script&gt;&#39;"), "{page}");
    let unclear = house.client.post(link).body("action=perhaps").send().await.unwrap();
    assert_eq!(unclear.status(), 422);
    assert_eq!(house.client.get(format!("{}/pay/pay_x", house.url)).send().await.unwrap().status(), 404);
    house.close().await;
}

#[tokio::test]
async fn the_socket_speaks_as_the_core_does() {
    let house = House::open(Script::default()).await;
    let accepted = house.pay("k1", &later("R-1")).await;
    assert_eq!(accepted.status(), 202);
    assert_eq!(accepted.headers()["date"], "Sun, 01 Mar 2026 00:00:00 GMT");
    assert!(accepted.headers().contains_key("cko-request-id") && accepted.headers().contains_key("cko-version"));
    let bare = house.client.get(format!("{}/payments/pay_x", house.url)).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    let odd = house.client.delete(format!("{}/payments", house.url)).send().await.unwrap();
    assert_eq!(odd.status(), 405);
    let books: Value = house.get("/sandbox/books").await.json().await.unwrap();
    assert_eq!(books["payments"][0]["reference"], "R-1");
    let summary: Value = house.get("/sandbox/books/summary").await.json().await.unwrap();
    assert_eq!(summary["lines"][0]["amount_minor"], 1100);
    house.close().await;
}

#[tokio::test]
async fn a_silent_socket_holds_neither_the_client_nor_the_stop() {
    let house = House::open(Script::of([Rule::fault("lost", Fault::LostResponse)])).await;
    let impatient = house.request("k1", &later("R-1")).timeout(Duration::from_millis(200)).send().await;
    assert!(impatient.unwrap_err().is_timeout());
    let waiting = tokio::spawn(house.request("k2", &later("R-2")).send());
    while house.sandbox.books().payments.len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house.close().await;
    let cut = waiting.await.unwrap().unwrap_err();
    assert!(!cut.is_timeout() && !cut.is_connect(), "{cut:?}");
}

#[tokio::test]
async fn parallel_sends_of_one_key_make_one_payment() {
    let house = House::open(Script::of([Rule::fault("slow", Fault::Slow(Duration::from_millis(200)))])).await;
    let sends: Vec<_> = (0..4).map(|_| tokio::spawn(house.request("k1", &later("R-1")).send())).collect();
    let mut statuses = Vec::new();
    for send in sends {
        statuses.push(send.await.unwrap().unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 429, 429, 429]);
    assert_eq!(house.sandbox.books().payments.len(), 1);
    house.close().await;
}
