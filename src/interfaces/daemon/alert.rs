//! A person must look: the operator's own program is run, so that no review case waits unseen.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;

/// A run that takes longer is ended: the cases after it would wait unseen.
const LONGEST_RUN: Duration = Duration::from_secs(60);
/// What a stop of the daemon leaves a run that has begun.
const LAST_RUN: Duration = Duration::from_secs(5);
/// Variables of these names are the daemon's own: the secret key may stand there, and a password.
const OURS: &str = "DUES_";

/// How a run ended.
#[derive(Debug)]
enum Ended {
    ByItself(io::Result<ExitStatus>),
    TooLong,
    WithTheDaemon,
}

/// Runs `command` whenever review cases were opened, one run at a time, until `stop`. The program gets no argument of ours: what is
/// open, `dues review list` tells.
pub(super) async fn follow(engine: Engine, command: Vec<String>, stop: CancellationToken) {
    let Some((program, arguments)) = command.split_first() else { return };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = engine.bells.review.notified() => {}
        }
        let mut command = prepared(program, arguments, std::env::vars_os().map(|(name, _)| name));
        match ended(command.status(), &stop, LONGEST_RUN, LAST_RUN).await {
            Ended::ByItself(Ok(status)) if status.success() => {}
            Ended::ByItself(Ok(status)) => tracing::error!(%status, "alerts.command failed: {status}"),
            Ended::ByItself(Err(error)) => tracing::error!(%error, "alerts.command could not be run: {error}"),
            Ended::TooLong => tracing::error!(
                "alerts.command did not end within {} s and was killed; what is open, `dues review list` tells",
                LONGEST_RUN.as_secs()
            ),
            Ended::WithTheDaemon => tracing::warn!("alerts.command still ran when the daemon stopped, and was killed"),
        }
    }
}

/// The program, which is killed where nobody waits for it any more; `names` are those of the daemon's environment.
fn prepared(program: &str, arguments: &[String], names: impl Iterator<Item = OsString>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    for name in names.filter(|name| name.to_string_lossy().starts_with(OURS)) {
        command.env_remove(name);
    }
    command
}

/// Waits for a run, for `longest` at most, and once the daemon stops for `last`.
async fn ended(
    run: impl Future<Output = io::Result<ExitStatus>>,
    stop: &CancellationToken,
    longest: Duration,
    last: Duration,
) -> Ended {
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(last).await;
    };
    tokio::select! {
        biased;
        status = run => Ended::ByItself(status),
        () = stopped => Ended::WithTheDaemon,
        () = tokio::time::sleep(longest) => Ended::TooLong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(600);

    fn sh(script: &str) -> Command {
        prepared("/bin/sh", &["-c".to_owned(), script.to_owned()], std::iter::empty())
    }

    #[test]
    fn the_program_sees_neither_key_nor_password() {
        let names = ["DUES_SECRET_KEY", "PATH", "DUES__DATABASE__URL", "NOT_DUES_"].map(OsString::from);
        let command = prepared("/bin/true", &[], names.into_iter());
        let removed: Vec<_> = command.as_std().get_envs().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(removed, ["DUES_SECRET_KEY", "DUES__DATABASE__URL"].map(|name| (OsString::from(name), None)));
    }

    #[tokio::test]
    async fn a_run_is_waited_for_but_not_for_ever() {
        let stop = CancellationToken::new();
        let by_itself = ended(sh("exit 3").status(), &stop, LONG, LONG).await;
        assert!(matches!(&by_itself, Ended::ByItself(Ok(status)) if status.code() == Some(3)), "{by_itself:?}");
        let hangs = ended(sh("exec sleep 600").status(), &stop, SHORT, LONG).await;
        assert!(matches!(hangs, Ended::TooLong), "{hangs:?}");
        stop.cancel();
        let stopped = ended(sh("exec sleep 600").status(), &stop, LONG, SHORT).await;
        assert!(matches!(stopped, Ended::WithTheDaemon), "{stopped:?}");
    }
}
