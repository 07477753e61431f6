//! The seam through which a simulation stands between the engine and its books: it is asked before and after every step of a unit
//! of work, and may let it go on, fail it, hold it for a while, or never answer, as when the process dies there. Production has none.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use super::Store;
use crate::store::StoreError;

/// Whoever is asked.
pub trait Hook: Send + Sync + fmt::Debug {
    /// Asked at `moment`. A future that is never ready is a process that died there.
    fn at(&self, moment: Moment) -> Asked<'_>;
}

/// The future of one question.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<(), Trouble>> + Send + 'a>>;

/// Where the work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The name of the work, as given to [`Store::begin`]; `read` outside a unit of work.
    pub work: &'static str,
    /// Before or after what.
    pub step: Step,
    /// The text of the statement that comes next; empty where none does.
    pub statement: &'static str,
}

/// A step of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Before a read without a transaction.
    Read,
    /// Before a unit of work is begun.
    Begin,
    /// Before a statement in it.
    Statement,
    /// Before it is committed. A failure here rolls it back.
    Commit,
    /// After it was committed. A failure here loses the answer: it is committed, and nobody is told.
    Committed,
}

/// How a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The database stays locked, or has no connection free.
    Busy,
    /// The connection breaks.
    Cut,
}

impl Store {
    /// The same books, with `hook` asked at every step.
    #[must_use]
    pub fn with_hook(&self, hook: Arc<dyn Hook>) -> Store {
        Store { hook: Some(hook), ..self.clone() }
    }
}

/// Asks the hook, where there is one.
pub(super) async fn ask(hook: Option<&Arc<dyn Hook>>, moment: Moment) -> Result<(), StoreError> {
    let Some(hook) = hook else { return Ok(()) };
    hook.at(moment).await.map_err(|trouble| StoreError::Database {
        step: moment.work,
        source: match trouble {
            Trouble::Busy => sqlx::Error::PoolTimedOut,
            Trouble::Cut => sqlx::Error::Io(io::Error::from(io::ErrorKind::ConnectionReset)),
        },
    })
}
