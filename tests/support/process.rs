//! The real program as a process: started with flags, its log read, ended by its id.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A `dues run` under test.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// Starts it and waits until it says that it runs.
    pub fn start(config: &std::path::Path, flags: &[(String, String)]) -> Daemon {
        let daemon = Daemon::spawn(config, flags);
        daemon.wait_for("dues runs");
        daemon
    }

    /// Starts it, whatever comes of it.
    pub fn spawn(config: &std::path::Path, flags: &[(String, String)]) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
        command.arg("--config").arg(config);
        for (key, value) in flags {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.arg("run").env("DUES_SECRET_KEY", "sk_sbox_simulated").env_remove("NOTIFY_SOCKET");
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, written) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                written.lock().unwrap().push(line);
            }
        });
        Daemon { child, log }
    }

    /// Waits for a line of its log.
    pub fn wait_for(&self, text: &str) {
        for _ in 0..1200 {
            if self.log().contains(text) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the daemon did not say {text:?} within 30 s; it said:\n{}", self.log());
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, at most 60 s.
    pub fn end(&mut self) -> ExitStatus {
        for _ in 0..2400 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the daemon does not end; it said:\n{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A test that failed leaves no process behind; one that ended it already finds nothing to kill.
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}
