//! `dues verify`: the program on books that are sound, broken, or other than the gateway's, over the real protocol.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::world::{BOTH, On, World, source_of};
use chrono::TimeDelta;
use dues::clock::Clock;
use dues::gateway::transport::Method;
use dues::sandbox::{Fault, HttpRequest, On as Requests, Outcome, Rule, Script};
use dues::store::db::Statement;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const CONFIG: &str = r#"
[installation]
name = "test"
[gateway]
processing_channel_id = "pc_ekaubqrravqupfxde7kxvd2t3i"
timeout = "2s"
read_timeout = "2s"
connect_timeout = "2s"
[plans.monthly]
amount_minor = 12800
currency = "HKD"
interval = "month"
description = "Monthly plan"
"#;

/// What the program came to.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Books that were billed within the last hours, and their gateway on loopback.
struct Ground {
    world: World,
    directory: tempfile::TempDir,
    gateway: String,
}

impl Ground {
    /// Subscriptions of these names, each with one period that is paid; `WAIT` has one whose outcome is not learned yet.
    async fn new(on: On, names: &[&str]) -> Ground {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = format!("http://{}", listener.local_addr().unwrap());
        let begun = Clock::system().now() - TimeDelta::hours(2);
        let flags = [("installation.environment", "sandbox"), ("gateway.url", gateway.as_str())];
        let world = World::new(on, &begun.to_rfc3339(), &flags).await;
        let served = world.sandbox.clone();
        tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
        let slow = Rule::outcome("slow", Outcome::Pending).for_source(&source_of("WAIT"));
        world.sandbox.set_script(Script::of([slow]));
        let yesterday = (begun - TimeDelta::days(1)).date_naive().to_string();
        for name in names {
            world.hand_over(name, "monthly", &yesterday, None).await;
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("dues.toml"), CONFIG).unwrap();
        let mut ground = Ground { world, directory, gateway };
        for _ in 0..4 {
            ground.world.round.until_quiet().await.unwrap();
            ground.world.clock.advance(Duration::from_secs(90));
        }
        ground
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("dues.toml")
    }

    fn verify(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
        command.env_clear().env("DUES_SECRET_KEY", "sk_sbox_simulated").arg("--config").arg(self.config());
        command.arg("--set").arg(format!("database.url={}", self.world.settings.database.url.expose_secret()));
        command.arg("--set").arg(format!("gateway.url={}", self.gateway)).arg("verify").args(arguments);
        let output = tokio::task::block_in_place(|| command.stdin(Stdio::null()).output().unwrap());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The program's JSON, and its exit code.
    fn document(&self, arguments: &[&str]) -> (i32, Value) {
        let said = self.verify(&[arguments, &["--json"]].concat());
        let document = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        (said.code, document)
    }

    async fn run(&self, act: &'static str) {
        let mut tx = self.world.store.begin("test").await.unwrap();
        assert!(tx.run(Statement::new(act)).await.unwrap() > 0, "{act}");
        tx.commit().await.unwrap();
    }

    /// The payment reference of a subscription's period, and its payment.
    async fn payment_of(&self, reference: &str) -> (String, String) {
        let all = "SELECT s.reference || ' ' || c.reference || ' ' || p.gateway_payment_id AS line FROM payments p \
                   JOIN charges c ON c.id = p.charge_id JOIN subscriptions s ON s.id = c.subscription_id";
        let lines = self.world.lines(all).await;
        let words: Vec<String> = lines
            .iter()
            .map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .find(|words| words[0] == reference)
            .unwrap();
        (words[1].clone(), words[2].clone())
    }

    fn post(&self, path: &str, key: &str, body: &Value) -> Value {
        let answer = self.world.sandbox.handle(HttpRequest {
            method: Method::Post,
            path,
            authorization: Some("Bearer sk_sbox_simulated"),
            idempotency_key: Some(key),
            body: body.to_string().as_bytes(),
        });
        serde_json::from_slice(&answer.body).unwrap()
    }
}

/// `kind subscription` of each difference, in order.
fn told(differences: &Value) -> Vec<String> {
    let line = |it: &Value| {
        format!("{} {}", it["difference"].as_str().unwrap(), it["subscription_reference"].as_str().unwrap())
    };
    let mut lines: Vec<String> = differences.as_array().unwrap().iter().map(line).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_books_break_no_rule_and_do_not_differ() {
    for on in BOTH {
        let ground = Ground::new(on, &["ONE", "TWO", "WAIT"]).await;
        let said = ground.verify(&[]);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "29 rules, nothing broken\n", ""), "{on:?}");
        let said = ground.verify(&["--gateway", "--since", "7d"]);
        let told = "29 rules, nothing broken\n\n3 charges compared with the gateway, 0 differences\n";
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, told, ""), "{on:?}");
        let (code, document) = ground.document(&["--gateway", "--since", "1m"]);
        assert_eq!((code, &document["gateway"]["compared"]), (0, &json!(0)), "{on:?}: nothing happened so lately");
        assert_eq!((&document["broken"], &document["worst"]), (&json!([]), &json!(null)), "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_rule_is_told_with_its_severity_and_the_next_step() {
    for on in BOTH {
        let ground = Ground::new(on, &["ONE", "TWO"]).await;
        ground.run("UPDATE payments SET captured_minor = 12700 WHERE id = (SELECT MAX(id) FROM payments)").await;
        ground.run("UPDATE subscriptions SET bill_at = created_at WHERE reference = 'ONE'").await;
        ground.run("UPDATE installation SET heartbeat_at = (SELECT next_charge_at FROM subscriptions WHERE reference = 'TWO')").await;
        let (code, document) = ground.document(&[]);
        assert_eq!((code, &document["worst"], &document["gateway"]), (1, &json!("critical"), &json!(null)), "{on:?}");
        let rules: Vec<&str> =
            document["broken"].as_array().unwrap().iter().map(|it| it["rule"].as_str().unwrap()).collect();
        assert_eq!(rules, ["paid_not_captured", "sums_differ", "period_overdue"], "{on:?}: the worst first");
        let said = ground.verify(&[]);
        assert_eq!(said.code, 1, "{on:?}");
        for told in [
            "critical",
            "the payment that paid it took 12700 of 12800 minor units",
            "What to do first\n  paid_not_captured: compare",
            "\n29 rules, 3 broken, 3 rows\n",
        ] {
            assert!(said.out.contains(told), "{on:?}: {told:?} is missing in\n{}", said.out);
        }
        let cut = ground.verify(&["--limit", "1"]);
        assert!(cut.code == 1 && cut.err.contains("--limit shows more"), "{on:?} {cut:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_more_than_the_books_is_checked_too() {
    let ground = Ground::new(On::Sqlite, &["ONE"]).await;
    ground.run("UPDATE nodes SET sends = 0").await;
    let (code, document) = ground.document(&[]);
    assert_eq!((code, &document["broken"][0]["rule"]), (1, &json!("mark_below_file")), "{document}");
    assert!(document["broken"][0]["detail"].as_str().unwrap().contains("1 more"), "{document}");
    let (code, document) = ground.document(&["--set", "installation.name=another"]);
    assert_eq!((code, &document["broken"][0]["rule"]), (1, &json!("ledger_differs")), "{document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_from_the_gateway_is_told_and_nothing_is_changed() {
    for on in BOTH {
        let names = ["SAME", "TWICE", "GHOST", "MOVED", "PRICE", "BACK", "WAIT", "DOWN"];
        let ground = Ground::new(on, &names).await;
        let (reference, _) = ground.payment_of("TWICE").await;
        let second = json!({
            "source": {"type": "id", "id": source_of("TWICE")}, "amount": 12800, "currency": "HKD",
            "payment_type": "Recurring", "merchant_initiated": true, "reference": reference,
            "customer": {"email": "wallet@example.com"},
            "items": [{"name": "Plan", "reference": "plan", "unit_price": 12800, "quantity": 1}],
        });
        ground.post("/payments", "by hand", &second);
        let (_, refunded) = ground.payment_of("BACK").await;
        ground.post(
            &format!("/payments/{refunded}/refunds"),
            "refund",
            &json!({"amount": 12800, "reference": "refund"}),
        );
        ground.world.clock.advance(Duration::from_secs(60));
        for act in [
            "INSERT INTO payments (gateway_payment_id, charge_id, kind, status, captured_minor, refunded_minor, first_seen_at, status_at) \
             SELECT 'pay_ghost', c.id, 'recurring', 'Declined', 0, 0, s.created_at, s.created_at FROM charges c \
             JOIN subscriptions s ON s.id = c.subscription_id WHERE s.reference = 'GHOST'",
            "UPDATE payments SET status = 'Pending', captured_minor = 0 WHERE charge_id = (SELECT c.id FROM charges c \
             JOIN subscriptions s ON s.id = c.subscription_id WHERE s.reference = 'MOVED')",
            "UPDATE payments SET amount_minor = 12801 WHERE charge_id = (SELECT c.id FROM charges c \
             JOIN subscriptions s ON s.id = c.subscription_id WHERE s.reference = 'PRICE')",
            "UPDATE payments SET status = 'Authorized' WHERE charge_id = (SELECT c.id FROM charges c \
             JOIN subscriptions s ON s.id = c.subscription_id WHERE s.reference = 'WAIT')",
            "UPDATE attempts SET next_at = (SELECT s.next_charge_at FROM subscriptions s WHERE s.reference = 'WAIT') WHERE state = 'pending'",
        ] {
            ground.run(act).await;
        }
        let (down, _) = ground.payment_of("DOWN").await;
        let script = Script::of([Rule::fault("down", Fault::ErrorBefore(503)).on(Requests::Get).for_reference(&down)]);
        ground.world.sandbox.set_script(script);
        let before = ground.world.lines(BOOKS).await;
        let said = ground.verify(&["--gateway"]);
        assert_eq!(said.code, 1, "{on:?} {said:?}");
        for told in [
            "Differs from the gateway",
            "Not learned yet",
            "Not compared: the gateway gave no whole list",
            "HTTP 503",
            "8 charges compared with the gateway, 8 differences, 1 not compared; run it again later",
        ] {
            assert!(said.out.contains(told), "{on:?}: {told:?} is missing in\n{}", said.out);
        }
        let (_, document) = ground.document(&["--gateway"]);
        let gateway = &document["gateway"];
        assert_eq!(
            told(&gateway["differences"]),
            [
                "amount_differs PRICE",
                "captured_differs MOVED",
                "captured_twice TWICE",
                "captured_twice TWICE",
                "not_here TWICE",
                "not_there GHOST",
                "refund_differs BACK",
                "status_differs MOVED",
            ],
            "{on:?}"
        );
        assert_eq!(told(&gateway["not_learned_yet"]), ["status_differs WAIT"], "{on:?}");
        assert_eq!(gateway["not_compared"][0]["subscription_reference"], "DOWN", "{on:?}");
        assert_eq!(ground.world.lines(BOOKS).await, before, "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_cannot_be_made_says_so() {
    let ground = Ground::new(On::Sqlite, &["ONE", "TWO"]).await;
    let (down, _) = ground.payment_of("ONE").await;
    let script = Script::of([Rule::fault("down", Fault::ErrorBefore(503)).on(Requests::Get).for_reference(&down)]);
    ground.world.sandbox.set_script(script);
    let said = ground.verify(&["--gateway"]);
    assert_eq!(said.code, 3, "a part was compared: {said:?}");
    ground.world.sandbox.set_unauthorised(true);
    let said = ground.verify(&["--gateway"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("the gateway refuses our key: HTTP 401"), "{said:?}");
    let told: Value = serde_json::from_str(&ground.verify(&["--gateway", "--json"]).out).unwrap();
    assert_eq!(told["error"]["kind"], "gateway_refused", "a program tells it from a gateway that is away: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn look_ups_stay_within_half_of_the_read_budget() {
    let names: Vec<String> = (0..12).map(|n| format!("S{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ground = Ground::new(On::Sqlite, &names).await;
    let begun = Clock::system().now();
    let (code, document) =
        ground.document(&["--gateway", "--set", "budget.reads_per_second=10", "--set", "audit.reads_per_second=5"]);
    assert_eq!((code, &document["gateway"]["compared"]), (0, &json!(12)), "{document}");
    // Five a second, and the first at once.
    let took = Clock::system().now() - begun;
    assert!(took >= TimeDelta::seconds(2), "{took}");
}

/// All that a comparison could change.
const BOOKS: &str = "SELECT p.gateway_payment_id || ' ' || p.status || ' ' || a.state || ' ' || c.state AS line FROM charges c \
                     LEFT JOIN payments p ON p.charge_id = c.id LEFT JOIN attempts a ON a.charge_id = c.id ORDER BY c.id, p.id, a.n";
