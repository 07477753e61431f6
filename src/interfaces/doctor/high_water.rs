//! The high-water mark outside the books, by which a restored backup is known. Where the daemon cannot write it, nothing is sent.

use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{Finding, Part};
use crate::config::Settings;
use crate::engine::high_water::{HighWater, Mark};
use crate::engine::open::node_name;
use crate::engine::rules::ledger_of;

/// Where it stands, what it says, and whether it can be written.
pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    let node = node_name(settings);
    let mark = HighWater::of(settings, &ledger_of(settings), &node);
    let Some(path) = mark.path() else {
        return vec![Part::HighWater.warning(
            "there is no place for the mark of what was sent: a restored backup is known by its age alone",
            "set installation.high_water_file to a path that no backup of the books holds",
        )];
    };
    let shown = path.display();
    let mut findings = Vec::new();
    match mark.read() {
        Ok(Mark::Sends(sends)) => findings.push(Part::HighWater.ok(format!("{shown} says {sends} sends"))),
        Ok(Mark::Missing | Mark::NoPlace) => {
            findings.push(Part::HighWater.note(format!("{shown} is not there yet; the daemon makes it at its first send")));
        }
        Ok(Mark::OfAnother { node: other, .. }) => findings.push(Part::HighWater.warning(
            format!("{shown} is of a daemon named {other:?}, and this one is {node:?}"),
            "give each daemon its own installation.node and its own file; `dues ledger show` says whether the books are held",
        )),
        Ok(Mark::Foreign(why)) => findings.push(Part::HighWater.warning(
            format!("{shown}: {why}"),
            "see first that installation.name and installation.environment are those of these books: by this file a restored backup is \
             known. Where they are right, name another file in installation.high_water_file; `dues ledger show` says whether the books \
             are held",
        )),
        Err(error) => findings.push(Part::HighWater.fault(
            super::told(&error),
            "give the file to the daemon's user, and run the doctor as that user",
        )),
    }
    findings.extend(closed(path));
    findings
}

/// That this user cannot write it, where that is so.
fn closed(path: &Path) -> Option<Finding> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty()).map_or(PathBuf::from("."), Path::to_owned);
    let shown = directory.display();
    if !directory.is_dir() {
        let next = format!("make it, owned by the daemon's user: install -d -m 0750 -o dues -g dues-finance {shown}");
        return Some(Part::HighWater.fault(format!("the directory {shown} is not there"), next));
    }
    let is_closed = if path.exists() {
        rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK).is_err()
    } else {
        rustix::fs::access(&directory, Access::WRITE_OK | Access::EXEC_OK).is_err()
    };
    let next = "run the doctor as the daemon's user (sudo -u dues dues doctor); where it says so again, give the file to that user";
    is_closed.then(|| Part::HighWater.fault(format!("{} cannot be written by this user", path.display()), next))
}
