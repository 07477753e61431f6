//! A person must look: the operator's own program is run, so that no review case waits unseen.

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;

/// Runs `command` whenever review cases were opened, one run at a time, until `stop`. The program gets no argument of ours: what is
/// open, `dues review list` tells.
pub(super) async fn follow(engine: Engine, command: Vec<String>, stop: CancellationToken) {
    let Some((program, arguments)) = command.split_first().map(|(program, rest)| (program.clone(), rest.to_vec()))
    else {
        return;
    };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = engine.bells.review.notified() => {}
        }
        let (program, arguments) = (program.clone(), arguments.clone());
        let run = tokio::task::spawn_blocking(move || std::process::Command::new(program).args(arguments).status());
        match run.await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => tracing::error!(%status, "alerts.command failed: {status}"),
            Ok(Err(error)) => tracing::error!(%error, "alerts.command could not be run: {error}"),
            Err(error) => tracing::error!(%error, "alerts.command could not be run: {error}"),
        }
    }
}
