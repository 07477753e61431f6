//! The points of one life, counted and named, and the one at which it ends: before a unit of work and each of its statements, before and
//! after its commit, before a read, and on both sides of every call of the gateway.

use std::fmt;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::store::db::{Asked, Hook, Moment, Step};

/// The call that charges.
pub(super) const POST: &str = "POST /payments";

/// One point of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// The number of the unit of work in this life.
    pub unit: usize,
    /// What the unit is called; of a read, the table.
    pub name: &'static str,
    pub place: Place,
}

/// Where in its unit a point stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Read,
    Begin,
    /// Before the statement of this number.
    Statement(u32),
    Commit,
    Committed,
    /// Before a call.
    Call,
    /// After the gateway has done what it was asked for, before its answer is heard.
    Called,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Read => f.write_str("before it"),
            Place::Begin => f.write_str("before it begins"),
            Place::Statement(number) => write!(f, "before statement {number}"),
            Place::Commit => f.write_str("before its commit"),
            Place::Committed => f.write_str("after its commit"),
            Place::Call => f.write_str("before it goes out"),
            Place::Called => f.write_str("after it, before its answer is heard"),
        }
    }
}

/// When a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dies {
    /// When it has nothing left to do.
    Never,
    /// At the point of this number.
    At(usize),
    /// On this side of its first POST.
    AtPost(Place),
}

/// The points of one life.
#[derive(Debug)]
pub(super) struct Deaths {
    dies: Dies,
    inside: Mutex<Inside>,
    died: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    points: Vec<Point>,
    units: usize,
    /// The unit of work that is open, and how many statements it has run.
    open: (usize, u32),
    dead: bool,
}

impl Deaths {
    pub fn new(dies: Dies) -> Self {
        Deaths { dies, inside: Mutex::default(), died: Notify::new() }
    }

    /// Resolves when the process has died.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// Every point that was met.
    pub fn points(&self) -> Vec<Point> {
        self.inside().points.clone()
    }

    /// Meets a point on this side of a call.
    pub async fn at_call(&self, name: &'static str, place: Place) {
        let point = {
            let mut inside = self.inside();
            inside.units += usize::from(place == Place::Call);
            Point { unit: inside.units, name, place }
        };
        self.meet(point).await;
    }

    /// Never ready, where the process has died.
    pub async fn end_if_dead(&self) {
        if self.inside().dead {
            pending::<()>().await;
        }
    }

    async fn at_step(&self, Moment { work, step, statement }: Moment) {
        let point = {
            let mut inside = self.inside();
            if matches!(step, Step::Read | Step::Begin) {
                inside.units += 1;
            }
            if step == Step::Begin {
                inside.open = (inside.units, 0);
            }
            let (open, _) = inside.open;
            match step {
                Step::Read => Point { unit: inside.units, name: table_of(statement), place: Place::Read },
                Step::Begin => Point { unit: open, name: work, place: Place::Begin },
                Step::Statement => {
                    inside.open.1 += 1;
                    Point { unit: open, name: work, place: Place::Statement(inside.open.1) }
                }
                Step::Commit => Point { unit: open, name: work, place: Place::Commit },
                Step::Committed => Point { unit: open, name: work, place: Place::Committed },
            }
        };
        self.meet(point).await;
    }

    async fn meet(&self, point: Point) {
        let dead = {
            let mut inside = self.inside();
            let number = inside.points.len();
            inside.points.push(point);
            inside.dead |= match self.dies {
                Dies::Never => false,
                Dies::At(at) => number == at,
                Dies::AtPost(place) => point.name == POST && point.place == place,
            };
            inside.dead
        };
        if dead {
            self.died.notify_one();
            pending::<()>().await;
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first table that a read names.
fn table_of(statement: &'static str) -> &'static str {
    let rest = statement.split_once("FROM ").map_or(statement, |(_, rest)| rest.trim_start_matches('('));
    rest.split([' ', ')', ',']).next().unwrap_or(rest)
}

/// Books at which nobody dies.
#[derive(Debug)]
pub(super) struct Deathless;

impl Hook for Deathless {
    /// A connection is given back by a task: without a turn for it the next step would open another.
    fn at(&self, _: Moment) -> Asked<'_> {
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(())
        })
    }
}

impl Hook for Deaths {
    fn at(&self, moment: Moment) -> Asked<'_> {
        Box::pin(async move {
            Deathless.at(moment).await?;
            self.at_step(moment).await;
            Ok(())
        })
    }
}
