//! A gateway that refuses our key for a while, or is not there.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_works_again_collects_everything() {
    // All fifty are under way when the first refusal comes; then eight probes are refused, more than one attempt may be sent.
    let rules = tempfile::NamedTempFile::new().unwrap();
    let rule = "[[rule]]\nname = \"key revoked\"\nfault = \"unauthorised\"\non = \"any\"\ntimes = 58\n";
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

async fn readiness(address: std::net::SocketAddr) -> (u16, String) {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let answer = client.get(format!("http://{address}/readyz")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}
