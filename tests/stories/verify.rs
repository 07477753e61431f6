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
use dues::store::fences::NewFence;
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
        let mut ground = Ground::begun(on, TimeDelta::hours(2)).await;
        for name in names {
            ground.hand_over(name).await;
        }
        ground.until_paid().await;
        ground
    }

    /// Books that were begun so long ago, and nobody in them.
    async fn begun(on: On, ago: TimeDelta) -> Ground {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = format!("http://{}", listener.local_addr().unwrap());
        let begun = Clock::system().now() - ago;
        let flags = [("installation.environment", "sandbox"), ("gateway.url", gateway.as_str())];
        let world = World::new(on, &begun.to_rfc3339(), &flags).await;
        let served = world.sandbox.clone();
        tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
        let slow = Rule::outcome("slow", Outcome::Pending).for_source(&source_of("WAIT"));
        world.sandbox.set_script(Script::of([slow]));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("dues.toml"), CONFIG).unwrap();
        Ground { world, directory, gateway }
    }

    /// Hands over a subscription whose first month began the day before.
    async fn hand_over(&self, name: &str) {
        let yesterday = (self.world.clock.now() - TimeDelta::days(1)).date_naive().to_string();
        self.world.hand_over(name, "monthly", &yesterday, None).await;
    }

    /// Goes on for some minutes, which is enough for every payment that was not put off.
    async fn until_paid(&mut self) {
        for _ in 0..4 {
            self.world.round.until_quiet().await.unwrap();
            self.world.clock.advance(Duration::from_secs(90));
        }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("dues.toml")
    }

    fn verify(&self, arguments: &[&str]) -> Said {
        self.dues(&[&["verify"], arguments].concat())
    }

    fn dues(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
        command.env_clear().env("DUES_SECRET_KEY", "sk_sbox_simulated").arg("--config").arg(self.config());
        command.arg("--set").arg(format!("database.url={}", self.world.settings.database.url.expose_secret()));
        command.arg("--set").arg(format!("gateway.url={}", self.gateway)).args(arguments);
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

/// The gateway counts an account's requests, whoever makes them.
#[tokio::test(flavor = "multi_thread")]
async fn beside_a_living_daemon_only_what_its_budget_leaves_is_spent() {
    let names: Vec<String> = (0..12).map(|n| format!("S{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for on in BOTH {
        let ground = Ground::new(on, &names).await;
        let pace = |document: &Value| {
            assert_eq!(document["gateway"]["compared"], 12, "{on:?} {document}");
            (document["gateway"]["daemons_alive"].clone(), document["gateway"]["reads_per_second"].clone())
        };
        let (code, alone) = ground.document(&["--gateway"]);
        assert_eq!((code, pace(&alone)), (0, (json!(0), json!(90))), "{on:?}: its last heartbeat is of hours ago");
        ground.run("UPDATE nodes SET heartbeat_at = (SELECT MAX(next_charge_at) FROM subscriptions)").await;
        let (code, beside) = ground.document(&["--gateway"]);
        assert_eq!((code, pace(&beside)), (0, (json!(1), json!(10))), "{on:?}");
        let begun = Clock::system().now();
        let said = ground.verify(&["--gateway", "--set", "budget.reads_per_second=100"]);
        let told = "dues: a daemon is alive and may use its whole read budget, so only 5 look-ups a second are made beside it\n";
        assert_eq!((said.code, said.err.as_str()), (0, told), "{on:?}");
        // Five a second, and the first at once.
        let took = Clock::system().now() - begun;
        assert!(took >= TimeDelta::seconds(2), "{on:?} {took}");
        ground.run("UPDATE nodes SET stopped_at = heartbeat_at").await;
        let (code, stopped) = ground.document(&["--gateway"]);
        assert_eq!((code, pace(&stopped)), (0, (json!(0), json!(90))), "{on:?}: it stopped in order");
    }
}

/// Books of three days ago, before a daemon has run on them.
#[tokio::test(flavor = "multi_thread")]
async fn payments_of_periods_that_restored_books_have_not_opened_are_told() {
    for on in BOTH {
        let mut ground = Ground::begun(on, TimeDelta::days(3)).await;
        let tomorrow = (ground.world.clock.now() + TimeDelta::days(1)).date_naive().to_string();
        ground.world.hand_over("DAY", "daily", &tomorrow, None).await;
        ground.hand_over("MONTH").await;
        ground.until_paid().await;
        let known = ground.world.sandbox.books().payments.len();
        let (mut world, backup) = ground.world.backed_up().await;
        world.run_until(&Clock::system().now().to_rfc3339()).await;
        ground.world = world.restarted(Some(&backup)).await;
        let before = ground.world.lines(BOOKS).await;
        let lost = ground.world.sandbox.books().payments.len() - known;
        assert!(lost >= 2, "{on:?}: a day each");

        let (code, document) = ground.document(&["--gateway"]);
        let gateway = &document["gateway"];
        assert_eq!((code, &gateway["not_opened_here"]), (1, &json!(lost)), "{on:?} {document}");
        assert_eq!(told(&gateway["differences"]), vec!["not_opened DAY"; lost], "{on:?}");
        let first = &gateway["differences"][0];
        assert_eq!((&first["charge_id"], &first["severity"]), (&json!(null), &json!("critical")), "{on:?}");
        let payment = first["payment_id"].as_str().unwrap();
        let detail = first["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("the gateway has {payment} as Captured, HKD 100")), "{on:?} {detail}");
        assert!(detail.ends_with("for a period that these books have not opened"), "{on:?} {detail}");
        let said = ground.verify(&["--gateway"]);
        let counts = format!(", {lost} periods that these books have not opened looked up there, {lost} differences");
        assert!(said.code == 1 && said.out.contains(&counts), "{on:?} {said:?}");
        assert_eq!(ground.world.lines(BOOKS).await, before, "{on:?}: nothing is changed");

        // Only what began within the span is looked up.
        let (_, lately) = ground.document(&["--gateway", "--since", "36h"]);
        let count = lately["gateway"]["not_opened_here"].as_u64().unwrap();
        assert!(count == 1 || count == 2, "{on:?} {lately}");
        let (down, _) = ground.payment_of("MONTH").await;
        let forgotten = first["payment_reference"].as_str().unwrap();
        let down = [&down, forgotten]
            .map(|it| Rule::fault("down", Fault::ErrorBefore(503)).on(Requests::Get).for_reference(it));
        ground.world.sandbox.set_script(Script::of(down));
        let (_, partly) = ground.document(&["--gateway"]);
        let not_compared = partly["gateway"]["not_compared"].as_array().unwrap();
        let not_compared: Vec<&Value> = not_compared.iter().map(|it| &it["subscription_reference"]).collect();
        assert_eq!(not_compared, ["DAY", "MONTH"], "{on:?}");
        ground.world.sandbox.set_script(Script::default());

        ground.world.engine.beat().await.unwrap();
        ground.world.round.until_quiet().await.unwrap();
        let (_, adopted) = ground.document(&["--gateway"]);
        let gateway = &adopted["gateway"];
        assert_eq!((&gateway["not_opened_here"], &gateway["differences"]), (&json!(0), &json!([])), "{on:?} {adopted}");
    }
}

/// A refund is no act of ours, so what was paid before the span is not looked at: the span that is advised reaches back further than the
/// backup does.
#[tokio::test(flavor = "multi_thread")]
async fn the_span_that_is_advised_after_a_restore_shows_a_refund_of_an_earlier_payment() {
    for on in BOTH {
        let mut ground = Ground::begun(on, TimeDelta::days(12)).await;
        ground.hand_over("BACK").await;
        ground.until_paid().await;
        let (_, paid) = ground.payment_of("BACK").await;
        ground.world.clock.advance_to(Clock::system().now() - TimeDelta::days(1));
        let refund = json!({"amount": 12800, "reference": "refund"});
        ground.post(&format!("/payments/{paid}/refunds"), "refund", &refund);
        ground.world.clock.advance_to(Clock::system().now());
        let mut tx = ground.world.store.begin("test").await.unwrap();
        let fence = NewFence { reason: "rewound", detail: "a restore".to_owned(), lost_sends: 1, holds: true };
        tx.raise_fence(&fence, "one", ground.world.clock.now()).await.unwrap();
        tx.commit().await.unwrap();

        let shown: Value = serde_json::from_str(&ground.dues(&["ledger", "show", "--json"]).out).unwrap();
        let kinds = shown["may_be_lost"]["kinds"].as_array().unwrap();
        let refunds = kinds.iter().find(|it| it["what"] == "refunds").unwrap()["next_step"].as_str().unwrap();
        let span =
            refunds.split("dues verify --gateway --since ").nth(1).unwrap().split([' ', ';', ',']).next().unwrap();
        let (_, document) = ground.document(&["--gateway", "--since", "7d"]);
        assert_eq!(document["gateway"]["differences"], json!([]), "{on:?}");
        let (_, document) = ground.document(&["--gateway", "--since", span]);
        assert_eq!(told(&document["gateway"]["differences"]), ["refund_differs BACK"], "{on:?} {span}");
        let page = include_str!("../../docs/restore.md");
        let advised = page.matches("dues verify --gateway --since").count();
        assert_eq!(page.matches(&format!("`dues verify --gateway --since {span}`")).count(), advised, "{on:?} {span}");
    }
}

/// All that a comparison could change.
const BOOKS: &str = "SELECT COALESCE(p.gateway_payment_id || ' ' || p.status, '-') || ' ' || COALESCE(a.state, '-') || ' ' || c.state AS line FROM charges c \
                     LEFT JOIN payments p ON p.charge_id = c.id LEFT JOIN attempts a ON a.charge_id = c.id ORDER BY c.id, p.id, a.n";
