//! What the service manager hears: ready, a line of status, signs of life, a reload and the stop, in that order.

use std::os::unix::net::UnixDatagram;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told_each_turn() {
    let ground = Ground::new(On::Sqlite, None, 1, &["--settle-after", "0s"]).await;
    let path = ground.directory.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    manager.0.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut daemon = Daemon::spawn_managed(&path, Duration::from_secs(3), &ground.config(), &ground.flags);
    assert_eq!(manager.next().trim_end(), "READY=1", "the first thing that it hears");
    manager.hears("WATCHDOG=1");
    manager.hears("STATUS=ready");
    daemon.signal("HUP");
    let reloading = manager.hears("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.hears("READY=1");
    std::fs::write(ground.config(), TIMES.replace("lease = \"6s\"", "lease = \"6 sheep\"")).unwrap();
    daemon.signal("HUP");
    manager.hears("READY=1");
    let status = manager.hears("STATUS=ready");
    assert!(status.contains("the last reload was refused") && status.contains("protocol.lease"), "{status}");
    std::fs::write(ground.config(), TIMES).unwrap();
    daemon.signal("HUP");
    manager.hears("READY=1");
    let status = manager.hears("STATUS=ready");
    assert!(!status.contains("refused"), "{status}");
    daemon.signal("TERM");
    manager.hears("STOPPING=1");
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
}

/// The socket of one who listens.
struct Manager(UnixDatagram);

impl Manager {
    /// One message; it may have several lines.
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let read = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("nothing came within 30 s: {error}"));
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }

    /// Reads on until a message begins so, for a minute of signs of life at most.
    fn hears(&self, beginning: &str) -> String {
        let mut others = Vec::new();
        while others.len() < 120 {
            let message = self.next();
            if message.starts_with(beginning) {
                return message;
            }
            others.push(message);
        }
        panic!("the manager did not hear {beginning:?} but {others:?}")
    }
}
