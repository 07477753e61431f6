//! What stands on standard error: coloured text on a terminal, plain text elsewhere, JSON where it was asked for. The journal with its
//! fields is read where a systemd is booted (tests/boot).

use super::*;

/// Long enough to start.
const RUNS_FOR: &str = "5";

/// All that a daemon writes from its start to its stop, on a terminal or into a pipe.
fn log_of(ground: &Ground, format: &str, terminal: bool, no_color: &str) -> String {
    let set = |(key, value): &(String, String)| format!(" --set {key}={value}");
    let flags: String = ground.flags.iter().chain([&("log.format".to_owned(), format.to_owned())]).map(set).collect();
    let (program, config) = (env!("CARGO_BIN_EXE_dues"), ground.config().display().to_string());
    let line = format!("timeout --preserve-status {RUNS_FOR} {program} --config {config}{flags} run 2>&1");
    // Debian's script gives the command line a terminal of its own and repeats here what is written on it.
    let mut command = Command::new(if terminal { "script" } else { "/bin/sh" });
    let arguments: &[&str] = if terminal { &["-qefc", &line, "/dev/null"] } else { &["-c", &line] };
    command.args(arguments).env("DUES_SECRET_KEY", "sk_sbox_simulated").env("NO_COLOR", no_color);
    for surroundings in ["NOTIFY_SOCKET", "JOURNAL_STREAM"] {
        command.env_remove(surroundings);
    }
    let out = command.stdin(Stdio::null()).output().unwrap();
    let log = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{log}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_gets_readable_text_in_colour_unless_its_user_refuses_it() {
    let ground = Ground::new(On::Sqlite, None, 1, &["--settle-after", "0s"]).await;
    let log = log_of(&ground, "auto", true, "");
    let line = log.lines().find(|line| line.contains("dues runs")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("\u{1b}[32m INFO\u{1b}[0m"), "{line:?}");
    let log = log_of(&ground, "auto", true, "1");
    let line = log.lines().find(|line| line.contains("dues runs")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(" INFO dues::interfaces::daemon: dues runs node=one database=\"sqlite\""), "{line:?}");
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_gets_plain_text_and_json_where_it_was_asked_for() {
    let ground = Ground::new(On::Sqlite, None, 1, &["--settle-after", "0s"]).await;
    let log = log_of(&ground, "auto", false, "");
    assert!(log.contains("dues runs node=one") && !log.contains('\u{1b}'), "{log:?}");
    // Asked for, it is JSON on a terminal as well.
    let log = log_of(&ground, "json", true, "");
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}")))
        .collect();
    let runs = lines.iter().find(|line| line["message"] == "dues runs").unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&runs["level"], &runs["node"]), (&"INFO".into(), &"one".into()), "{runs}");
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["target"].is_string()), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_asked_for_on_the_command_line_is_a_json_log() {
    let ground = Ground::new(On::Sqlite, None, 1, &["--settle-after", "0s"]).await;
    let text = ("log.format".to_owned(), "text".to_owned());
    let flags: Vec<_> = ground.flags.iter().cloned().chain([text]).collect();
    let daemon = Daemon::spawn_with(&["--json"], &ground.config(), &flags);
    daemon.wait_for("dues runs");
    daemon.signal("HUP");
    daemon.wait_for("the new config is in use");
    let log = daemon.log();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
    assert!(!log.contains("log.format"), "a reload finds nothing changed:\n{log}");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_postgres_says_nothing_of_how_its_books_are_kept() {
    let ground = Ground::new(On::Postgres, None, 1, &["--settle-after", "0s"]).await;
    for _ in 0..2 {
        let daemon = ground.daemon();
        let log = daemon.log();
        assert!(!log.contains("_sqlx_migrations") && !log.contains("\"sqlx"), "{log}");
        daemon.stop();
    }
}
