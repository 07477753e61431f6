//! First payments that were made elsewhere are evidence only where the gateway says so.

use std::time::Duration;

use dues::clock::Clock;
use dues::gateway::transport::Method;
use dues::sandbox::{Effect, Fault, HttpRequest, On as Requests, Rule, Sandbox, Script, Settings};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::shop::{Shop, Way, counts, hand_over, json_counts, rejected};
use crate::support::world::{BOTH, On, World};

const COLUMNS: &str = "reference,plan,source_id,first_payment_id,anchor_on,next_charge_on";

/// A captured or declined payment on `source_id`, as the shop made it.
fn pay(sandbox: &Sandbox, reference: &str, source_id: &str, subscription: Option<&str>) -> String {
    let mut order = json!({
        "source": {"type": "id", "id": source_id}, "amount": 1100, "currency": "HKD", "payment_type": "Recurring",
        "merchant_initiated": true, "reference": reference, "customer": {"email": "wallet@example.com"},
        "items": [{"name": "Plan", "reference": "plan", "unit_price": 1100, "quantity": 1}],
    });
    if let Some(subscription) = subscription {
        order["metadata"] = json!({"subscription": subscription});
    }
    let answer = sandbox.handle(HttpRequest {
        method: Method::Post,
        path: "/payments",
        authorization: Some("Bearer sk_sbox_simulated"),
        idempotency_key: Some(reference),
        body: order.to_string().as_bytes(),
    });
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["id"].as_str().unwrap().to_owned()
}

fn row(reference: &str, source_id: &str, payment_id: &str) -> String {
    format!("{reference},monthly,{source_id},{payment_id},2025-01-15,2099-01-15\n")
}

#[tokio::test]
async fn only_a_captured_payment_that_agrees_with_its_row_is_evidence() {
    for on in BOTH {
        let world = World::new(on, "2026-01-20T00:00:00Z", &[]).await;
        let rules = [
            Rule::decline("empty wallet", "20051").for_reference("poor"),
            Rule::fault("down", Fault::ErrorBefore(503)).on(Requests::Get).for_reference("down"),
        ];
        world.sandbox.set_script(Script::of(rules));
        let captured = pay(&world.sandbox, "rich-1", "src_a", None);
        let named = pay(&world.sandbox, "rich-2", "src_b", Some("A2"));
        let declined = pay(&world.sandbox, "poor-1", "src_a", None);
        let down = pay(&world.sandbox, "down-1", "src_a", None);
        world.clock.advance(Duration::from_mins(1));
        let pending = pay(&world.sandbox, "rich-3", "src_a", None);
        let file = [
            format!("{COLUMNS}\n"),
            row("A1", "src_a", &captured),
            row("A2", "src_b", &named),
            row("A3", "src_b", &named),
            row("A4", "src_a", &declined),
            row("A5", "src_a", &down),
            row("A6", "src_a", &pending),
            row("A7", "src_a", "pay_unknown"),
            row("A8", "", &captured),
            row("A9", "src_c", ""),
        ];
        let summary = hand_over(&world, file.concat(), Way { look_up: true, ..Way::CSV }).await.unwrap();
        let wanted = [
            "4: first_payment_id was made for another subscription, says its metadata",
            "5: first_payment_id is Declined, not Captured",
            "6: first_payment_id could not be looked up (HTTP 503); import the rejects file again later",
            "7: first_payment_id is Pending, not Captured",
            "8: first_payment_id is not known to the gateway",
            "9: source_id is missing and the payment does not tell it, which its look-up does not promise",
        ];
        assert_eq!(rejected(&summary), wanted, "{on:?}");
        assert_eq!(world.subscriptions().await, ["A1 active", "A2 active", "A9 active"], "{on:?}");
        let evidence = world.lines("SELECT first_payment_id AS line FROM subscriptions WHERE reference = 'A1'").await;
        assert_eq!(evidence, [captured], "{on:?}");
    }
}

#[tokio::test]
async fn a_period_that_the_first_payment_has_paid_is_not_charged_again() {
    for on in BOTH {
        let world = World::new(on, "2026-01-20T00:00:00Z", &[]).await;
        let paid: Vec<String> =
            (1..=6).map(|n| pay(&world.sandbox, &format!("paid-{n}"), &format!("src_{n}"), None)).collect();
        world.clock.advance(Duration::from_mins(1));
        // The payment settles, and the day goes by.
        world.clock.advance(Duration::from_hours(30));
        let row = |n: usize, plan: &str, dates: &str| format!("A{n},{plan},src_{n},{},{dates}\n", paid[n - 1]);
        let file = [
            format!("{COLUMNS}\n"),
            row(1, "monthly", "2026-01-20,"), // the day on which it was made is the first of the period
            row(2, "monthly", "2025-10-05,"), // the fourth period, which runs now, holds it
            row(3, "monthly", "2026-01-21,"), // it was made the day before the first period, and paid that
            row(4, "monthly", "2025-10-21,"), // it was made in the period before the one that runs now
            row(5, "monthly", "2026-01-20,2026-02-20"), // somebody has said what comes next
            row(6, "monthly", "2026-02-20,"), // nothing is charged at once
        ];
        let why = "first_payment_id was made on 2026-01-20 and has paid a period that would be charged again at once: give \
                   next_charge_on, the first day of the first period that is not paid";
        for dry_run in [true, false] {
            let summary = hand_over(&world, file.concat(), Way { look_up: true, dry_run, ..Way::CSV }).await.unwrap();
            let wanted = [2, 3, 4].map(|line| format!("{line}: {why}"));
            assert_eq!(rejected(&summary), wanted, "{on:?} {dry_run}");
        }
        assert_eq!(world.subscriptions().await, ["A4 active", "A5 active", "A6 active"], "{on:?}");
    }
}

#[tokio::test]
async fn a_refused_key_is_tried_no_further_and_no_row_goes_in() {
    let world = World::new(On::Sqlite, "2026-01-20T00:00:00Z", &[]).await;
    world.sandbox.set_unauthorised(true);
    let rows: String = (0..40).map(|n| row(&format!("A{n}"), "src_a", &format!("pay_{n}"))).collect();
    let summary = hand_over(&world, format!("{COLUMNS}\n{rows}"), Way { look_up: true, ..Way::CSV }).await.unwrap();
    assert_eq!(counts(&summary), [40, 0, 0, 40]);
    let why = "first_payment_id could not be looked up (the gateway refuses our key: HTTP 401); import the rejects file again later";
    assert_eq!(rejected(&summary)[39], format!("41: {why}"));
}

#[tokio::test]
async fn rows_whose_payment_is_not_looked_up_are_counted() {
    let world = World::new(On::Sqlite, "2026-01-20T00:00:00Z", &[]).await;
    let file = format!("{COLUMNS}\n{}{}", row("A1", "src_a", "pay_1"), row("A2", "src_b", ""));
    let summary = hand_over(&world, &file, Way::CSV).await.unwrap();
    assert_eq!((summary.entered, summary.not_looked_up), (2, 1));
    assert_eq!(summary.sentences()[2], "First payments that were not looked up at the gateway: 1.");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_asks_the_gateway_and_takes_a_source_that_it_tells() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = Settings { settle_after: Duration::ZERO, show_source_id_in_get: true, ..Settings::default() };
    let down = Rule::new("down", Effect::Fault(Fault::ErrorBefore(500))).on(Requests::Get).for_reference("down");
    let poor = Rule::decline("empty wallet", "20051").for_reference("poor");
    let sandbox = Sandbox::new(settings, Script::of([down, poor]), Clock::system(), 7);
    let served = sandbox.clone();
    tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
    let shop = Shop::new(On::Sqlite, &url).await;
    let [captured, declined] = ["rich-1", "poor-1"].map(|it| pay(&sandbox, it, "src_told", None));
    let down = pay(&sandbox, "down-1", "src_down", None);
    let file = [
        format!("{COLUMNS}\n"),
        row("A1", "", &captured),
        row("A2", "src_other", &captured),
        row("A3", "src_told", &declined),
        row("A4", "src_down", &down),
        row("A5", "src_told", "pay_unknown"),
    ];
    shop.write("subscriptions.csv", file.concat());
    let said = shop.import(&["subscriptions.csv"]);
    assert_eq!(said.code, 3, "{said:?}");
    let wanted = "line 3: first_payment_id made another source than source_id\n\
                  line 4: first_payment_id is Declined, not Captured\n\
                  line 5: first_payment_id could not be looked up (HTTP 500); import the rejects file again later\n\
                  line 6: first_payment_id is not known to the gateway\n";
    assert_eq!(said.err, wanted);
    let told = "SELECT COUNT(*) AS count FROM subscriptions s JOIN sources o ON o.id = s.source_id \
                WHERE o.gateway_source_id = 'src_told' AND s.reference = 'A1'";
    assert_eq!(shop.count(told).await, 1);
    // Once the gateway is well again, the rejects file brings the row in that was never wrong.
    sandbox.set_script(Script::default());
    let said = shop.import(&["subscriptions.rejects.csv", "--json"]);
    assert_eq!(json_counts(&said.out), [4, 1, 0, 3], "{said:?}");
}
