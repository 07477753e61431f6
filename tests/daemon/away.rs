//! The gateway is away while charges fall due: nothing is sent, and nobody is told that all is well.

use super::*;
use support::world::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_while_the_gateway_is_away_is_told_as_due() {
    for on in BOTH {
        let mut ground = Ground::new(on, None, 1, &["--settle-after", "0s"]).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let http = listener.local_addr().unwrap();
        drop(listener);
        ground.flags.push(("http.listen".to_owned(), http.to_string()));
        let daemon = ground.daemon();
        ground.wait_for_payments(1).await;
        ground.sandbox.kill().unwrap();
        ground.hand_over(5).await;
        let mut status = serde_json::Value::Null;
        for _ in 0..150 {
            status = ground.status();
            if status["attempts_due"] == 4 && !status["stopped_by"].is_null() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(status["attempts_due"], 4, "{on:?} {status}\n{}", daemon.log());
        assert!(status["stopped_by"].is_string() && status["seconds_to_end"].is_null(), "{on:?} {status}");
        // They are put off again and again, and stay due.
        tokio::time::sleep(Duration::from_secs(3)).await;
        // One of them may be on its way as the probe just now.
        let mut page = String::new();
        for _ in 0..50 {
            let status = ground.status();
            let (due, sending) = (status["attempts_due"].as_i64().unwrap(), status["sending"].as_i64().unwrap());
            assert_eq!((due + sending, &status["attempts_waiting"]), (4, &0.into()), "{on:?} {status}");
            page = refusals::told(http, "metrics").await.1;
            if due == 4 && metrics::value(&page, "dues_attempts_due") == Some(4) {
                assert!(status["lateness_seconds"].as_i64().unwrap() >= 3, "{on:?} {status}");
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(metrics::value(&page, "dues_attempts_due"), Some(4), "{on:?}\n{page}");
        assert!(metrics::value(&page, "dues_lateness_seconds") >= Some(3), "{on:?}\n{page}");
        daemon.kill();
    }
}

impl Ground {
    /// What `dues status` says.
    fn status(&self) -> serde_json::Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
        command.arg("--config").arg(self.config());
        for (key, value) in &self.flags {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let output = command.args(["status", "--json"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
