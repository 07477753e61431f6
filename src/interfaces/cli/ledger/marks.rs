//! The high-water marks: how many sends each daemon has committed, in the books and in the file outside them.

use crate::config::Settings;
use crate::engine::high_water::{HighWater, Mark};
use crate::engine::rules::ledger_of;
use crate::store::nodes::NodeRow;
use crate::store::{Store, StoreError};

/// A daemon's two marks.
#[derive(Debug)]
pub struct NodeMark {
    /// The daemon, with the mark in the books.
    pub node: NodeRow,
    /// The mark in the file, or why it could not be read here.
    pub file: Result<Mark, String>,
}

impl NodeMark {
    /// The mark in the file, where it was read and is this daemon's.
    pub fn outside(&self) -> Option<i64> {
        match self.file {
            Ok(Mark::Sends(sends)) => Some(sends),
            _ => None,
        }
    }

    /// Sends that the books know fewer than the file.
    pub fn lost(&self) -> Option<i64> {
        self.outside().map(|outside| outside - self.node.sends).filter(|lost| *lost > 0)
    }

    /// The file's mark, for people.
    pub fn shown(&self) -> String {
        match &self.file {
            Ok(Mark::NoPlace) => "no file".to_owned(),
            Ok(Mark::Missing) => "no file here".to_owned(),
            Ok(Mark::Sends(sends)) => sends.to_string(),
            Ok(Mark::OfAnother { node, .. }) => format!("that of {node}"),
            Ok(Mark::Foreign(why)) | Err(why) => why.clone(),
        }
    }
}

/// The marks of every daemon, by name. The files are read before the books: a daemon raises the books first, so the books are behind
/// their file only where they were set back.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn marks(settings: &Settings, store: &Store) -> Result<Vec<NodeMark>, StoreError> {
    let mut files = Vec::new();
    for node in store.nodes().await? {
        let file = HighWater::of(settings, &ledger_of(settings), &node.name).read();
        files.push((node.name, file.map_err(|error| told(&error))));
    }
    let mut marks = Vec::new();
    for node in store.nodes().await? {
        let place = files.iter().position(|(name, _)| *name == node.name);
        // A daemon that registered between the two readings has not sent yet.
        let Some(place) = place else { continue };
        marks.push(NodeMark { node, file: files.swap_remove(place).1 });
    }
    Ok(marks)
}

fn told(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("not read: {cause}"))
}
