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
        Daemon::under(Command::new(env!("CARGO_BIN_EXE_dues")), config, flags)
    }

    /// Starts it with more arguments of its own before those of the config.
    pub fn spawn_with(arguments: &[&str], config: &std::path::Path, flags: &[(String, String)]) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
        command.args(arguments);
        Daemon::under(command, config, flags)
    }

    /// Starts it so that no file it writes grows beyond this size: a full disk for one process alone. The signal that would kill it
    /// is ignored, so that the write fails as it fails on a full disk.
    pub fn spawn_on_a_small_disk(kib: u32, config: &std::path::Path, flags: &[(String, String)]) -> Daemon {
        let mut shell = Command::new("/bin/sh");
        // POSIX counts this limit in blocks of 512 bytes.
        let blocks = (kib * 2).to_string();
        let script = "trap '' XFSZ; ulimit -f \"$1\" || exit 99; shift; exec \"$@\"";
        shell.args(["-c", script, "small disk", &blocks, env!("CARGO_BIN_EXE_dues")]);
        Daemon::under(shell, config, flags)
    }

    /// Starts it as the service manager does that listens on this socket and wants a sign of life so often.
    pub fn spawn_managed(
        socket: &std::path::Path,
        watchdog: Duration,
        config: &std::path::Path,
        flags: &[(String, String)],
    ) -> Daemon {
        let mut command = Command::new("env");
        command.arg(format!("NOTIFY_SOCKET={}", socket.display()));
        command.arg(format!("WATCHDOG_USEC={}", watchdog.as_micros())).arg(env!("CARGO_BIN_EXE_dues"));
        Daemon::under(command, config, flags)
    }

    /// Starts a command line that ends in the program, with the program's own arguments after it.
    fn under(mut command: Command, config: &std::path::Path, flags: &[(String, String)]) -> Daemon {
        command.arg("--config").arg(config);
        for (key, value) in flags {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        for surroundings in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(surroundings);
        }
        command.arg("run").env("DUES_SECRET_KEY", "sk_sbox_simulated");
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

    /// How often it has said something.
    pub fn said(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Stops it in order, which must end with exit code 0.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.end();
        assert_eq!(status.code(), Some(0), "{}", self.log());
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
