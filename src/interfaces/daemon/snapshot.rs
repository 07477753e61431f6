//! A copy of a SQLite database for spreadsheets, without names and e-mail addresses, written anew every so often. A reader sees the one before
//! or this one, never half of one. That it fails is told once, and stops nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use crate::interfaces::kept_files::KeptFiles;
use crate::interfaces::whole_file::{Stands, WholeFile};
use crate::store::{Store, backup};

/// The owner writes it, and its group reads it.
const MODE: u32 = 0o640;

/// Writes the copy now, and then `every` so often after the last one was done, until `stop`.
pub(super) async fn follow(store: Store, place: PathBuf, kept: KeptFiles, every: Duration, stop: CancellationToken) {
    let mut fails = false;
    loop {
        let written = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            written = write(&store, &place, &kept) => written,
        };
        let failed = written.is_err();
        match written {
            Ok(()) if fails => {
                tracing::info!(finance.snapshot = %place.display(), "the snapshot for finance is written again");
            }
            Err(error) if !fails => {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "the snapshot for finance (finance.snapshot) fails, billing goes on, the last one stays: {error}"
                );
            }
            Ok(()) | Err(_) => {}
        }
        fails = failed;
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

async fn write(store: &Store, place: &Path, kept: &KeptFiles) -> anyhow::Result<()> {
    may_be_written(place, kept)?;
    let cannot = || format!("{} cannot be written", place.display());
    let file = WholeFile::beside(place, MODE).with_context(cannot)?;
    store.copy_without_people(file.partial()).await?;
    // What stood there when the copy was begun may be something else by now.
    may_be_written(place, kept)?;
    // The disk is waited for where nobody else waits behind it.
    tokio::task::spawn_blocking(move || file.put()).await?.with_context(cannot)
}

/// Refuses to take the place of anything but an older snapshot. The config was refused where it names such a file; but a link may have been
/// laid since.
fn may_be_written(place: &Path, kept: &KeptFiles) -> anyhow::Result<()> {
    let shown = place.display();
    if let Some(what) = kept.at(place) {
        bail!("{shown} {what}: name another file in finance.snapshot");
    }
    match Stands::at(place).with_context(|| format!("{shown} cannot be read"))? {
        Stands::Nothing => Ok(()),
        Stands::File(head) if head.is_empty() || backup::is_snapshot(&head) => Ok(()),
        Stands::File(_) | Stands::Other => {
            bail!(
                "{shown} is there, and is no snapshot that dues wrote: move it away, or name another file in finance.snapshot"
            )
        }
    }
}
