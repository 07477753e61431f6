//! The near side of the wire: one daemon's transport. It draws what goes wrong with each exchange, and lets the exchange take as
//! much of the true time as it takes.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use chrono::TimeDelta;

use super::broken::{self, Broken};
use super::faults::Kind;
use super::gateway::{Delivery, Done, Gateway, Heard, Post, post_of};
use super::points::Points;
use super::stage::Stage;
use super::world::World;
use crate::chance::Chance;
use crate::clock::Instant;
use crate::gateway::transport::{Exchange, Lost, Reply, Request, Transport};
use crate::sandbox::Fault;

/// A client waits this long for an answer.
const PATIENCE: TimeDelta = TimeDelta::seconds(45);
/// A request may be executed so long after its client gave up, and no longer.
const LATEST: u64 = 120;

/// One daemon's line to the gateway.
#[derive(Debug)]
pub(super) struct Wire {
    pub stage: Arc<Stage>,
    pub world: Arc<World>,
    pub gateway: Arc<Gateway>,
    pub points: Arc<Points>,
    pub chance: Arc<Chance>,
    pub daemon: usize,
    pub broken: Option<Broken>,
}

/// What was drawn for an exchange.
#[derive(Debug, Default)]
struct Drawn {
    kind: Option<Kind>,
    /// When it reaches the gateway, from now; none: never.
    arrives: Option<TimeDelta>,
    fault: Option<Fault>,
    /// When its answer is back, from now; none: the client hears `instead` when its patience ends.
    answered: Option<TimeDelta>,
    /// What the client hears in place of an answer, and when, from now.
    instead: Option<(TimeDelta, Heard)>,
    /// A copy arrives too, from now; and whether the copy's answer is the one that is heard.
    copy: Option<(TimeDelta, bool)>,
}

impl Transport for Wire {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(self.carry(request))
    }
}

impl Wire {
    async fn carry(&self, request: Request) -> Heard {
        let post = post_of(&request);
        self.points.at_exchange(post.is_some(), false).await;
        let request = broken::request(self.broken, request, &self.chance);
        let path = request.path.clone();
        let now = self.stage.clock.now();
        if let Some(post) = &post {
            self.swear(post, now);
        } else if let Some(reference) = reference_in(&path)
            && self.gateway.swear(|oaths| oaths.is_taken_over_by(self.daemon, reference))
        {
            self.stage.count("work of another daemon taken over", 1);
        }
        let drawn = if post.is_some() { self.draw_write(now) } else { self.draw_read(now, &path) };
        let ticket = self.send(request, drawn, post.as_ref(), &path, now);
        let heard = poll_fn(|_| match self.gateway.heard(ticket, self.stage.clock.now()) {
            Some(heard) => Poll::Ready(heard),
            None => Poll::Pending,
        })
        .await;
        let heard = broken::answer(self.broken, post.is_some(), &path, heard);
        if let Some(post) = &post {
            self.hears(post, &heard);
        }
        self.points.at_exchange(post.is_some(), true).await;
        heard
    }

    /// Puts a request on its way as it was drawn; the ticket of its exchange.
    fn send(&self, request: Request, drawn: Drawn, post: Option<&Post>, path: &str, now: Instant) -> u64 {
        let what = drawn.kind.map_or("", Kind::as_str);
        match post {
            Some(post) => self.stage.tell(format_args!(
                "daemon {} POST {} attempt {} key {}: {what}",
                self.daemon,
                post.reference,
                post.attempt,
                post.key.get(..8).unwrap_or_default()
            )),
            None => self.stage.tell(format_args!("daemon {} GET {path}: {what}", self.daemon)),
        }
        if let Some(kind) = drawn.kind {
            self.stage.strikes(kind);
        }
        let silence = || Err(Lost::NoAnswer("the simulated network kept silent".to_owned()));
        let (ends, instead) = match (drawn.answered, drawn.instead) {
            (Some(answered), None) => (now + answered, None),
            (_, Some((after, heard))) => (now + after, Some(heard)),
            (None, None) => (now + PATIENCE, Some(silence())),
        };
        let ticket = self.gateway.begin(self.daemon, ends, instead);
        let copy_answers = drawn.copy.is_some_and(|(_, answers)| answers);
        let answers = drawn.answered.map(|answered| (ticket, now + answered));
        if let Some(arrives) = drawn.arrives {
            let delivery = Delivery {
                request: request.clone(),
                fault: drawn.fault,
                answers: answers.filter(|_| !copy_answers),
                is_copy: false,
            };
            self.gateway.deliver_at(now + arrives, delivery);
        }
        if let Some((after, _)) = drawn.copy {
            let delivery = Delivery { request, fault: None, answers: answers.filter(|_| copy_answers), is_copy: true };
            self.gateway.deliver_at(now + after, delivery);
        }
        for done in self.gateway.arrive(now) {
            note(&self.stage, &done);
        }
        ticket
    }

    fn swear(&self, post: &Post, now: Instant) {
        let due_at = self.world.due_at(&post.subscription, post.period);
        let is_resend = self.gateway.swear(|oaths| oaths.knows(&post.key));
        self.stage.count("resend with its own key", u64::from(is_resend));
        for (promise, seen) in
            self.gateway.swear(|oaths| oaths.leaves(self.daemon, post, due_at, self.world.key_life, now))
        {
            self.stage.broken(promise, Some(&post.reference), seen);
        }
    }

    fn hears(&self, post: &Post, heard: &Heard) {
        match heard {
            Ok(Reply { status, body, .. }) => {
                self.stage.tell(format_args!("daemon {} hears {status} of {}", self.daemon, post.reference));
                match status {
                    200..=299 => self.gateway.swear(|oaths| oaths.answered(&post.reference)),
                    401 => self.gateway.swear(|oaths| oaths.given_back(&post.key)),
                    409 => self.stage.count("duplicate refused with 409", 1),
                    429 if String::from_utf8_lossy(body).contains("duplicate_request") => {
                        self.stage.count("duplicate refused with 429", 1);
                    }
                    429 => self.gateway.swear(|oaths| oaths.given_back(&post.key)),
                    _ => {}
                }
            }
            Err(lost) => {
                if matches!(lost, Lost::NotSent(_)) {
                    self.gateway.swear(|oaths| oaths.given_back(&post.key));
                }
                self.stage.tell(format_args!("daemon {} hears nothing of {}: {lost}", self.daemon, post.reference));
            }
        }
    }

    /// The kind of fault that strikes, where one does.
    fn strikes(&self, is_write: bool) -> Option<Kind> {
        let mut drawn = self.chance.below(100_000);
        for kind in Kind::ALL {
            let rate = if is_write { kind.rate().write } else { kind.rate().read };
            if drawn < rate {
                return self.stage.knows(kind).then_some(kind);
            }
            drawn -= rate;
        }
        None
    }

    fn draw_write(&self, now: Instant) -> Drawn {
        if let Some(drawn) = self.draw_episode(now, "/payments") {
            return drawn;
        }
        let kind = self.strikes(true).filter(|kind| self.world.may_hide_effects() || !hides_effects(*kind));
        let Some(kind) = kind else { return self.untouched() };
        let at_once = Drawn { kind: Some(kind), arrives: Some(TimeDelta::zero()), ..Drawn::default() };
        match kind {
            Kind::LostAnswer => at_once,
            Kind::ExecutedLate => {
                let after = PATIENCE + TimeDelta::milliseconds(self.millis(LATEST * 1_000));
                Drawn { arrives: Some(after), ..at_once }
            }
            Kind::DeliveredTwice => Drawn {
                answered: Some(TimeDelta::zero()),
                copy: Some((TimeDelta::milliseconds(self.millis(60_000)), false)),
                ..at_once
            },
            Kind::DuplicateAnswered => {
                // The first is slow, so that its copy finds it under way.
                let slow = TimeDelta::milliseconds(2_000 + self.millis(20_000));
                Drawn {
                    fault: Some(Fault::Slow(slow.to_std().unwrap_or_default())),
                    answered: Some(TimeDelta::seconds(1)),
                    copy: Some((TimeDelta::seconds(1), true)),
                    ..at_once
                }
            }
            Kind::ErrorAfter => {
                Drawn { fault: Some(Fault::ErrorAfter(502)), answered: Some(TimeDelta::zero()), ..at_once }
            }
            Kind::ErrorAfterLost => Drawn { fault: Some(Fault::ErrorAfter(504)), ..at_once },
            other => self.draw_either(other, now),
        }
    }

    fn draw_read(&self, now: Instant, path: &str) -> Drawn {
        if let Some(drawn) = self.draw_episode(now, path) {
            return drawn;
        }
        match self.strikes(false) {
            None => self.untouched(),
            Some(kind) => self.draw_either(kind, now),
        }
    }

    /// Faults that strike reads and writes alike.
    fn draw_either(&self, kind: Kind, now: Instant) -> Drawn {
        let zero = TimeDelta::zero();
        let met = Drawn { kind: Some(kind), arrives: Some(zero), answered: Some(zero), ..Drawn::default() };
        match kind {
            Kind::LostRequest => Drawn { kind: Some(kind), ..Drawn::default() },
            Kind::LostAnswer => Drawn { answered: None, ..met },
            Kind::SlowAnswer => {
                let (one, other) = (self.millis(40_000), self.millis(40_000));
                let way = TimeDelta::milliseconds(one.max(other));
                Drawn { arrives: Some(TimeDelta::milliseconds(one.min(other))), answered: Some(way), ..met }
            }
            Kind::ErrorBefore => {
                let status = [500, 502, 503, 504][usize::try_from(self.chance.below(4)).unwrap_or_default()];
                Drawn { fault: Some(Fault::ErrorBefore(status)), ..met }
            }
            Kind::RateLimited => Drawn { fault: Some(Fault::RateLimited), ..met },
            Kind::Garbage => {
                let reply =
                    |status, body: &[u8]| Ok(Reply { status, request_id: None, date: Some(now), body: body.to_vec() });
                match self.chance.below(5) {
                    0 => Drawn { fault: Some(Fault::HtmlBody), ..met },
                    1 => Drawn { fault: Some(Fault::TruncatedBody), ..met },
                    2 => Drawn { instead: Some((zero, reply(302, b""))), answered: None, ..met },
                    3 => Drawn { instead: Some((zero, reply(200, b""))), answered: None, ..met },
                    _ => {
                        let heard = Err(Lost::TooLarge { limit_bytes: 1024 * 1024 });
                        Drawn { instead: Some((zero, heard)), answered: None, ..met }
                    }
                }
            }
            Kind::Refused => {
                let heard = Err(Lost::NotSent("the simulated network refuses".to_owned()));
                Drawn { kind: Some(kind), instead: Some((zero, heard)), ..Drawn::default() }
            }
            _ => self.untouched(),
        }
    }

    /// What an episode does to every request while it lasts.
    fn draw_episode(&self, now: Instant, path: &str) -> Option<Drawn> {
        let kind = self.world.episode(now, &self.stage)?;
        let met = |fault| Drawn {
            kind: Some(kind),
            arrives: Some(TimeDelta::zero()),
            fault: Some(fault),
            answered: Some(TimeDelta::zero()),
            ..Drawn::default()
        };
        match kind {
            Kind::KeyRefused => Some(met(Fault::Unauthorised)),
            Kind::Outage => Some(match self.chance.below(3) {
                0 => self.draw_with(kind, Kind::Refused, now),
                1 => self.draw_with(kind, Kind::LostRequest, now),
                _ => met(Fault::ErrorBefore(503)),
            }),
            Kind::LookUpsDown if reference_in(path).is_some() => Some(met(Fault::ErrorBefore(500))),
            _ => None,
        }
    }

    fn draw_with(&self, counted: Kind, like: Kind, now: Instant) -> Drawn {
        Drawn { kind: Some(counted), ..self.draw_either(like, now) }
    }

    /// Nothing goes wrong; a few answers take some seconds all the same.
    fn untouched(&self) -> Drawn {
        let way = match self.chance.below(40) {
            0 => TimeDelta::milliseconds(100 + self.millis(3_000)),
            _ => TimeDelta::zero(),
        };
        Drawn { arrives: Some(TimeDelta::zero()), answered: Some(way), ..Drawn::default() }
    }

    fn millis(&self, below: u64) -> i64 {
        i64::try_from(self.chance.below(below)).unwrap_or_default()
    }
}

/// Whether a kind makes the gateway forget the key of what it executed.
fn hides_effects(kind: Kind) -> bool {
    matches!(kind, Kind::ErrorAfter | Kind::ErrorAfterLost)
}

/// The reference that a look-up asks for.
pub(super) fn reference_in(path: &str) -> Option<&str> {
    let rest = path.split_once("reference=")?.1;
    Some(rest.split('&').next().unwrap_or(rest))
}

/// What reached the sandbox, counted and judged.
pub(super) fn note(stage: &Stage, done: &Done) {
    let Some(post) = &done.post else { return };
    let (alive, now_alive) = done.alive;
    let made = done.made.1 > done.made.0;
    stage.tell(format_args!(
        "gateway: {} attempt {} is answered {}{}",
        post.reference,
        post.attempt,
        done.status,
        if made { ", a payment is made" } else { "" }
    ));
    if made && done.status >= 500 {
        stage.count("5xx hid an effect", 1);
    }
    if !made && matches!(done.status, 200..=299) {
        stage.count("answer replayed by key", 1);
    }
    if made && alive > 0 && now_alive > alive {
        let seen = format!("{} has {now_alive} payments that took money or may", post.reference);
        stage.broken("a period is charged once", Some(&post.reference), seen);
    }
}
