//! The page on which a wallet leaves its customer, and the copy that finance opens.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_comes_back_to_a_page_that_proves_nothing() {
    let mut ground = Ground::new(On::Sqlite, None, 1, &[]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    ground.flags.push(("http.return_listen".to_owned(), address.to_string()));
    let daemon = ground.daemon();
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    for (way, told) in [("success", "being confirmed"), ("failure", "was not completed")] {
        let url = format!("http://{address}/return/{way}?cko-session-id=sid_secret<script>");
        let answer = client.get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{way}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"), "{way}");
        assert_eq!(
            (header("x-content-type-options").as_str(), header("cache-control").as_str()),
            ("nosniff", "no-store")
        );
        let page = answer.text().await.unwrap();
        for text in [told, "AlipayHK", "This page is not proof of payment"] {
            assert!(page.contains(text), "{way}: {text:?} is missing in\n{page}");
        }
        for loaded in ["sid_secret", "<script", "http:", "https:", "src=", "href="] {
            assert!(!page.contains(loaded), "{way}: {loaded:?} stands in\n{page}");
        }
    }
    for (path, status) in [("/", 404), ("/metrics", 404), ("/return/other", 404)] {
        assert_eq!(client.get(format!("http://{address}{path}")).send().await.unwrap().status(), status, "{path}");
    }
    let posted = client.post(format!("http://{address}/return/success")).body("x").send().await.unwrap();
    assert_eq!(posted.status(), 405);
    assert!(!daemon.log().contains("sid_secret"), "{}", daemon.log());
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn finance_opens_a_copy_without_people() {
    let mut ground = Ground::new(On::Sqlite, None, 30, &["--settle-after", "0s"]).await;
    let place = ground.directory.path().join("snapshot.db");
    ground.flags.push(("finance.snapshot".to_owned(), place.display().to_string()));
    let daemon = ground.daemon();
    ground.assert_all_paid_once(30).await;
    daemon.stop();
    assert!(place.exists(), "it is written at the start");
    // The next start writes it anew, with what was charged meanwhile.
    let daemon = ground.daemon();
    let mut paid = 0;
    for _ in 0..300 {
        let copy = Store::open_copy(&place, Clock::system()).await.unwrap();
        paid = copy.months().await.unwrap().iter().map(|month| month.collected_minor).sum::<i64>();
        let names = support::world::count(&copy, "SELECT COUNT(name) + COUNT(email) AS sum FROM customers").await;
        assert_eq!(names, 0);
        copy.close().await;
        if paid == 30 * 12_800 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(paid, 30 * 12_800);
    assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o640);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_fails_is_told_once_and_stops_nothing() {
    let mut ground = Ground::new(On::Sqlite, None, 5, &["--settle-after", "0s"]).await;
    ground.flags.push(("finance.snapshot".to_owned(), "/nonexistent/snapshot.db".to_owned()));
    let daemon = ground.daemon();
    daemon.wait_for("the snapshot for finance (finance.snapshot) fails");
    ground.assert_all_paid_once(5).await;
    assert_eq!(daemon.said("the snapshot for finance (finance.snapshot) fails"), 1, "{}", daemon.log());
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_takes_the_place_of_nothing_but_a_snapshot() {
    let mut ground = Ground::new(On::Sqlite, None, 5, &["--settle-after", "0s"]).await;
    let place = ground.directory.path().join("figures.db");
    std::fs::write(&place, "the figures of somebody else").unwrap();
    ground.flags.push(("finance.snapshot".to_owned(), place.display().to_string()));
    let daemon = ground.daemon();
    daemon.wait_for("is there, and is no snapshot that dues wrote");
    ground.assert_all_paid_once(5).await;
    daemon.stop();
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "the figures of somebody else");
}
