//! A gateway that refuses our key for a while, or is not there.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_works_again_collects_everything() {
    // The greeting meets the first refusal; then eight probes are refused, more than one attempt may be sent.
    let rules = tempfile::NamedTempFile::new().unwrap();
    let rule = "[[rule]]\nname = \"key revoked\"\nfault = \"unauthorised\"\non = \"any\"\ntimes = 9\n";
    std::fs::write(rules.path(), rule).unwrap();
    let script = rules.path().display().to_string();
    let mut ground = Ground::new(On::Sqlite, None, 50, &["--settle-after", "0s", "--script", &script]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = listener.local_addr().unwrap();
    drop(listener);
    ground.flags.push(("http.listen".to_owned(), http.to_string()));
    let daemon = ground.daemon();
    daemon.wait_for("sending pauses");
    let (status, text) = readiness(http).await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("secret key"), "{text}");
    ground.assert_all_paid_once(50).await;
    let (status, text) = readiness(http).await;
    assert_eq!(status, 200, "{text}");
    let store = ground.store().await;
    let others = support::world::count(&store, "SELECT COUNT(*) AS sum FROM attempts WHERE n > 1").await;
    assert_eq!(others, 0, "a refused key is no decline: the same attempt is sent");
    store.close().await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_away_is_named_in_the_log() {
    let mut ground = Ground::new(On::Sqlite, None, 10, &[]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    ground.flags.retain(|(key, _)| key != "gateway.url");
    ground.flags.push(("gateway.url".to_owned(), format!("http://{nobody}")));
    let daemon = ground.daemon();
    daemon.wait_for("sending pauses");
    daemon.wait_for(&format!("last: {nobody}, no connection (Connection refused); see the gateway's status page"));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_shows_in_the_metrics_in_the_status_and_in_the_log() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    let rule = "[[rule]]\nname = \"storm\"\nfault = \"error_before\"\nstatus = 503\non = \"any\"\n";
    std::fs::write(rules.path(), rule).unwrap();
    let script = rules.path().display().to_string();
    let mut ground = Ground::new(On::Sqlite, None, 10, &["--settle-after", "0s", "--script", &script]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = listener.local_addr().unwrap();
    drop(listener);
    ground.flags.push(("http.listen".to_owned(), http.to_string()));
    ground.flags.push(("budget.writes_per_second".to_owned(), "90".to_owned()));
    let daemon = ground.daemon();
    daemon.wait_for("sending pauses");
    let (status, text) = told(http, "metrics").await;
    assert_eq!(status, 200, "{text}");
    for line in [
        "dues_gateway_circuit_open 1",
        "dues_gateway_circuit_cause{cause=\"server_trouble\"} 1",
        "dues_gateway_budget_requests_per_second{kind=\"write\"} 90",
        "dues_nodes_living 1",
        "dues_database_up 1",
        "dues_held 0",
        "dues_braked 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is missing in\n{text}");
    }
    // The books hear of it when the daemon comes round.
    let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
    command.arg("--config").arg(ground.config()).args(["status", "--json"]);
    for (key, value) in &ground.flags {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let mut condition = serde_json::Value::Null;
    for _ in 0..100 {
        let out = command.output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        condition = document["nodes"][0]["condition"].clone();
        if condition.is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(condition.as_str().is_some_and(|it| it.contains("HTTP 503")), "{condition}");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_storm_shows_everywhere_and_ends_by_a_probe() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    // Five volleys, of 9, 4, 2, 1 and 1; then some probes, a second after each other.
    let rule = "[[rule]]\nname = \"storm\"\nfault = \"rate_limited\"\non = \"post\"\ntimes = 26\n";
    std::fs::write(rules.path(), rule).unwrap();
    let script = rules.path().display().to_string();
    for on in support::world::BOTH {
        let mut ground = Ground::new(on, None, 30, &["--settle-after", "0s", "--script", &script]).await;
        let http = ground.listen();
        ground.flags.push(("budget.writes_per_second".to_owned(), "90".to_owned()));
        let daemon = ground.daemon();
        daemon.wait_for("sending pauses");
        let (status, text) = readiness(http).await;
        assert_eq!(status, 503, "{on:?} {text}");
        assert!(text.contains("gateway: the gateway limits our rate (429)"), "{on:?} {text}");
        let (_, page) = told(http, "metrics").await;
        for line in [
            "dues_gateway_circuit_open 1",
            "dues_gateway_circuit_cause{cause=\"rate_limited\"} 1",
            "dues_ready{part=\"gateway\"} 0",
        ] {
            assert!(page.lines().any(|it| it == line), "{on:?} {line} is missing in\n{page}");
        }
        let mut status = String::new();
        for _ in 0..100 {
            status = ground.command(&["status"]).1;
            if status.contains("limits our rate (429)") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(status.contains("limits our rate (429)"), "{on:?}\n{status}");
        ground.assert_all_paid_once(30).await;
        assert_eq!(daemon.said("sending goes on"), 1, "{on:?}\n{}", daemon.log());
        let (status, text) = readiness(http).await;
        assert_eq!(status, 200, "{on:?} {text}");
        let store = ground.store().await;
        let sends = support::world::count(&store, "SELECT CAST(SUM(sends) AS BIGINT) AS sum FROM attempts").await;
        let steps = support::world::count(&store, "SELECT COUNT(*) AS sum FROM dunning_cases").await;
        assert_eq!((sends, steps), (30, 0), "{on:?}: what was not taken is given back, and no dunning step is spent");
        store.close().await;
        daemon.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_clock_is_not_the_gateways_charges_nobody() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = format!("http://{}", listener.local_addr().unwrap());
    let theirs = Clock::manual(Clock::system().now() - chrono::TimeDelta::days(3));
    let sandbox = Sandbox::new(sandbox::Settings::default(), Script::default(), theirs, 1);
    let serving = sandbox.clone();
    tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
    let mut ground = Ground::new(On::Sqlite, None, 10, &[]).await;
    ground.flags.retain(|(key, _)| key != "gateway.url");
    ground.flags.push(("gateway.url".to_owned(), gateway));
    let daemon = ground.daemon();
    daemon.wait_for("seconds ahead of the gateway's");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(sandbox.summary().payments, 0);
    let store = ground.store().await;
    assert_eq!(support::world::count(&store, "SELECT COUNT(*) AS sum FROM charges").await, 0, "nothing is billed");
    store.close().await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_answers_at_once_is_not_said_to_be_silent() {
    for on in support::world::BOTH {
        let mut ground = Ground::new(on, None, 1, &["--settle-after", "0s"]).await;
        // As they are in production: the budget begins empty.
        ground.flags.push(("budget.writes_per_second".to_owned(), "90".to_owned()));
        ground.flags.push(("budget.reads_per_second".to_owned(), "90".to_owned()));
        let daemon = ground.daemon();
        ground.assert_all_paid_once(1).await;
        assert_eq!(daemon.said("the gateway has not answered yet"), 0, "{}", daemon.log());
        assert_eq!(daemon.said("the gateway answers"), 0, "{}", daemon.log());
        daemon.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_comes_late_is_told_of_when_it_keeps_silent_and_when_it_answers() {
    let mut ground = Ground::new(On::Sqlite, None, 1, &[]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    ground.flags.retain(|(key, _)| key != "gateway.url");
    ground.flags.push(("gateway.url".to_owned(), format!("http://{address}")));
    let daemon = ground.daemon();
    daemon.wait_for("the gateway has not answered yet: nothing is billed or sent");
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let sandbox = Sandbox::new(sandbox::Settings::default(), Script::default(), Clock::system(), 1);
    tokio::spawn(async move { sandbox.serve(listener, std::future::pending()).await });
    daemon.wait_for("the gateway answers");
    assert_eq!(daemon.said("the gateway has not answered yet"), 1, "{}", daemon.log());
    daemon.stop();
}

async fn readiness(address: std::net::SocketAddr) -> (u16, String) {
    told(address, "readyz").await
}

pub(super) async fn told(address: std::net::SocketAddr, page: &str) -> (u16, String) {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let answer = client.get(format!("http://{address}/{page}")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}
