//! A daemon's line to the gateway: both sides of every call are points at which it may die, every send is held against what a careful
//! client has sworn, and what was asked for is remembered, to say later what a start did.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use serde_json::Value;

use super::deaths::{Deaths, POST, Place};
use crate::chance::Chance;
use crate::gateway::transport::{Exchange, Lost, Reply, Request, Transport};
use crate::simulation::broken::{self, Broken};
use crate::simulation::gateway::{Gateway, Post, post_of};
use crate::simulation::stage::Stage;
use crate::simulation::wire::reference_in;
use crate::simulation::world::World;

/// A client waits this long for an answer that does not come.
const PATIENCE: TimeDelta = TimeDelta::seconds(45);

/// What a daemon did at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Sent {
        attempt: i64,
    },
    /// The same with a key that was, or may have been, sent before.
    SentAgain {
        attempt: i64,
    },
    /// A look-up by reference, and what it showed.
    LookedUp(Shown),
    /// A payment was read by its id.
    Read,
}

/// What a look-up by reference showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    /// Payments that the books have.
    Known,
    /// A payment that they have not.
    New,
}

/// The line of one life.
#[derive(Debug)]
pub(super) struct Line {
    pub stage: Arc<Stage>,
    pub world: Arc<World>,
    pub gateway: Arc<Gateway>,
    pub inner: Arc<dyn Transport>,
    pub deaths: Arc<Deaths>,
    pub broken: Option<Broken>,
    pub chance: Chance,
    /// Payments of which this life knows.
    pub known: Mutex<BTreeSet<String>>,
    /// Attempts that may have been sent before it.
    pub sent: BTreeSet<i64>,
    pub deeds: Mutex<Vec<Deed>>,
}

impl Transport for Line {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(self.carry(request))
    }
}

impl Line {
    /// What was done over it.
    pub fn deeds(&self) -> Vec<Deed> {
        self.deeds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn carry(&self, request: Request) -> Result<Reply, Lost> {
        let (post, path) = (post_of(&request), request.path.clone());
        let name = match &post {
            Some(_) => POST,
            None if reference_in(&path).is_some() => "GET by reference",
            None if path.ends_with("/actions") => "GET actions",
            None => "GET by id",
        };
        self.deaths.at_call(name, Place::Call).await;
        if let Some(post) = &post {
            self.swear(post);
        }
        let request = broken::request(self.broken, request, &self.chance);
        let heard = self.inner.exchange(request).await;
        self.deaths.at_call(name, Place::Called).await;
        if let Err(Lost::NoAnswer(_)) = &heard {
            self.stage.advance_to(self.stage.clock.now() + PATIENCE);
        }
        let heard = broken::answer(self.broken, post.is_some(), &path, heard);
        self.remember(post.as_ref(), name, &heard);
        heard
    }

    fn swear(&self, post: &Post) {
        let due_at = self.world.due_at(&post.subscription, post.period);
        let again = self.sent.contains(&post.attempt) || self.gateway.swear(|oaths| oaths.knows(&post.key));
        let now = self.stage.clock.now();
        for (promise, seen) in self.gateway.swear(|oaths| oaths.leaves(1, post, due_at, self.world.key_life, now)) {
            self.stage.broken(promise, Some(&post.reference), seen);
        }
        let attempt = post.attempt;
        self.note(if again { Deed::SentAgain { attempt } } else { Deed::Sent { attempt } });
    }

    fn remember(&self, post: Option<&Post>, name: &str, heard: &Result<Reply, Lost>) {
        let listed = heard.as_ref().ok().and_then(|reply| serde_json::from_slice::<Value>(&reply.body).ok());
        let id_of = |payment: &Value| payment["id"].as_str().map(str::to_owned);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if post.is_some() {
            known.extend(listed.as_ref().and_then(id_of));
        } else if name == "GET by id" {
            self.note(Deed::Read);
        } else if name == "GET by reference" {
            let ids: Vec<String> =
                listed.iter().filter_map(|it| it["data"].as_array()).flatten().filter_map(id_of).collect();
            let shown = match ids.iter().all(|id| known.contains(id)) {
                true if ids.is_empty() => Shown::Nothing,
                true => Shown::Known,
                false => Shown::New,
            };
            known.extend(ids);
            self.note(Deed::LookedUp(shown));
        }
    }

    fn note(&self, deed: Deed) {
        self.deeds.lock().unwrap_or_else(PoisonError::into_inner).push(deed);
    }
}
