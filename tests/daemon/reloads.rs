//! A reload that comes at a bad time, and a price that is not agreed on.

use super::*;

/// The price of [`TIMES`] tenfold.
fn jumped() -> String {
    TIMES.replace("amount_minor = 12800", "amount_minor = 128000")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_is_asked_for_while_the_database_is_away_is_done_when_it_answers() {
    let cluster = Cluster::start_own();
    let ground = Ground::new(On::Postgres, Some(cluster.new_database()), 1, &["--settle-after", "0s"]).await;
    cluster.stop();
    let daemon = Daemon::spawn(&ground.config(), &ground.flags);
    daemon.wait_for("the database does not answer, dues waits for it");
    let more =
        "[plans.yearly]\namount_minor = 99000\ncurrency = \"HKD\"\ninterval = \"year\"\ndescription = \"Yearly\"\n";
    std::fs::write(ground.config(), format!("{TIMES}{more}")).unwrap();
    daemon.signal("HUP");
    daemon.wait_for("the config is taken up again when the database answers");
    cluster.start();
    daemon.wait_for("the new config is in use");
    let (_, plans) = ground.command(&["plans", "--json"]);
    let plans: serde_json::Value = serde_json::from_str(&plans).unwrap();
    let yearly = plans.as_array().unwrap().iter().find(|it| it["plan"] == "yearly").unwrap();
    assert_eq!(yearly["change"], "none", "the books have it: {plans}");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_jumps_is_refused_until_it_is_accepted() {
    let mut ground = Ground::new(On::Sqlite, None, 1, &["--settle-after", "0s"]).await;
    let http = ground.listen();
    let daemon = ground.daemon();
    std::fs::write(ground.config(), jumped()).unwrap();
    daemon.signal("HUP");
    daemon.wait_for("the old one stays: the price of monthly changes by more than");
    let (_, page) = refusals::told(http, "metrics").await;
    for line in ["dues_config_last_reload_successful 0", "dues_plans_withheld 1"] {
        assert!(page.lines().any(|it| it == line), "{line} is missing in\n{page}");
    }
    let (code, said) = ground.command(&["status"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("withheld") && said.contains("dues plans --accept PLAN"), "{said}");
    let (code, said) = ground.command(&["check", "--reload"]);
    assert_eq!(code, Some(78), "{said}");

    let accept = ["plans", "--accept", "monthly", "--reason", "a new price list", "--operator", "tester"];
    let (code, said) = ground.command(&accept);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = ground.command(&["check", "--reload"]);
    assert_eq!(code, Some(0), "{said}");
    daemon.signal("HUP");
    daemon.wait_for("the new config is in use");
    let (_, page) = refusals::told(http, "metrics").await;
    for line in ["dues_config_last_reload_successful 1", "dues_plans_withheld 0"] {
        assert!(page.lines().any(|it| it == line), "{line} is missing in\n{page}");
    }
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_is_withheld_at_the_start_is_told_for_as_long_as_it_waits() {
    let mut ground = Ground::new(On::Sqlite, None, 1, &["--settle-after", "0s"]).await;
    let http = ground.listen();
    std::fs::write(ground.config(), jumped()).unwrap();
    let path = ground.directory.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let daemon = Daemon::spawn_managed(&path, Duration::from_secs(3), &ground.config(), &ground.flags);
    daemon.wait_for("dues runs");
    let mut bytes = [0; 4096];
    let status = loop {
        let read = manager.recv(&mut bytes).unwrap();
        let message = String::from_utf8_lossy(&bytes[..read]).into_owned();
        if message.starts_with("STATUS=ready") {
            break message;
        }
    };
    assert!(status.contains("the price of monthly changes by more than"), "{status}");
    let (_, page) = refusals::told(http, "metrics").await;
    assert!(page.lines().any(|it| it == "dues_plans_withheld 1"), "{page}");
    let (_, said) = ground.command(&["doctor", "--offline", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    let finding = document["findings"].as_array().unwrap().iter().find(|it| {
        it["level"] == "warning" && it["finding"].as_str().is_some_and(|text| text.contains("the price of monthly"))
    });
    assert!(finding.is_some_and(|it| it["next"].as_str().unwrap().contains("dues plans")), "{said}");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_faults_of_a_config_are_one_line_of_a_text_log() {
    let ground = Ground::new(On::Sqlite, None, 1, &["--settle-after", "0s"]).await;
    let text = ("log.format".to_owned(), "text".to_owned());
    let flags: Vec<_> = ground.flags.iter().cloned().chain([text]).collect();
    let daemon = Daemon::start(&ground.config(), &flags);
    std::fs::write(ground.config(), format!("{TIMES}[engine]\nbatchh = 3\nin_flightt = 3\n")).unwrap();
    daemon.signal("HUP");
    daemon.wait_for("the old one stays");
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("the old one stays")).unwrap();
    assert!(line.contains("batchh") && line.contains("; ") && line.contains("in_flightt"), "{log}");
    daemon.stop();
}
