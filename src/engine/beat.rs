//! `beat`: a daemon takes its name, comes round, and holds the books against the signs that they are not the latest. Whatever it finds
//! stands in the books before anything else is sent.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{Days, TimeDelta};

use crate::clock::Instant;
use crate::domain::id::ReviewId;
use crate::domain::review::ReviewReason;
use crate::engine::clock_watch::{self, Seen, Verdict};
use crate::engine::fence::{CLOCK, Known, is_for_the_clock, judge};
use crate::engine::greet::UNHEARD;
use crate::engine::high_water::Mark;
use crate::engine::process::{is_alive, is_of_this_machine};
use crate::engine::rules::delta;
use crate::engine::{Engine, EngineError};
use crate::store::fences::{FenceStateRow, NewFence};
use crate::store::nodes::{LivingRow, NodeRow};
use crate::store::reviews::NewReview;
use crate::store::{StoreError, Tx};

/// A daemon on another machine that came round so lately is alive.
pub const ALIVE_WITHIN: TimeDelta = TimeDelta::seconds(30);

/// What keeps a daemon from sending after a fence.
const SURVEYING: &str = "what fell due before now is looked up at the gateway, nothing is sent before all of it was";

/// How many of these daemons are alive at `now`.
pub fn alive(nodes: &[NodeRow], now: Instant) -> usize {
    nodes.iter().filter(|node| node.stopped_at.is_none() && now - node.heartbeat_at < ALIVE_WITHIN).count()
}

/// What a daemon saw when it came round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// Daemons that are alive, this one included.
    pub living: i64,
    /// Why nothing is sent until an operator acknowledges.
    pub held: Option<String>,
    /// Why nothing is collected.
    pub braked: Option<String>,
    /// The fence that was raised just now.
    pub raised: Option<NewFence>,
}

/// What the database's clock showed, after `before` and before `boot` by the time since boot.
#[derive(Debug, Clone, Copy)]
struct Read {
    now: Instant,
    before: Duration,
    boot: Duration,
}

/// Why a daemon could not come round.
#[derive(Debug, thiserror::Error)]
pub enum BeatError {
    /// The books.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Another process has this daemon's name: this one must end.
    #[error("another process runs under the name {0:?}; give each daemon its own installation.node")]
    Replaced(String),
    /// The file outside the books.
    #[error(transparent)]
    HighWater(#[from] crate::engine::high_water::HighWaterError),
}

impl Engine {
    /// Takes the daemon's name and looks whether the books are the latest; `asked`: the operator wants look-ups first. What a former
    /// process of this name was at work on is looked up at once; how many attempts that are.
    ///
    /// # Errors
    /// [`StoreError::NodeTaken`] where that process is alive.
    pub async fn take_name(&self, asked: bool) -> Result<u64, BeatError> {
        let mark = self.high_water.read()?;
        let work = async {
            let before = self.clock.since_boot();
            let mut tx = self.store.begin("take name").await?;
            let now = tx.now().await?;
            let fence = tx.fence().await?;
            let boot = self.clock.since_boot();
            let first = !tx.has_nodes().await?;
            let node = tx.node(&self.node).await?;
            if let Some(node) = node.as_ref().filter(|node| node.process != *self.process && node.stopped_at.is_none())
            {
                refuse_the_living(node, now, boot)?;
            }
            let released = tx.release_leases_of(&self.node, now).await?;
            tx.register_node(&self.node, &self.process, now).await?;
            let known = Known {
                now,
                heartbeat_at: (!first || node.is_some()).then_some(fence.heartbeat_at),
                own_heartbeat_at: node.as_ref().map(|node| node.heartbeat_at),
                timelines: (fence.timeline.clone(), tx.timeline().await?),
                sends: node.as_ref().map(|node| node.sends),
                mark: self.own(&mut tx, mark).await?,
                gap: delta(self.rules.protocol.gap),
                asked,
            };
            let raised = self.look_back(&mut tx, &known, &fence).await?;
            self.plan_days(&mut tx, now).await?;
            let living = tx.living_nodes(now - ALIVE_WITHIN).await?;
            tx.commit().await?;
            self.take_part(node.as_ref(), &living, now);
            // A clock that these books are held for is not taken for right by whoever starts meanwhile.
            if !is_for_the_clock(fence.held_reason.as_deref()) {
                self.steady.trust(now, before, boot);
            }
            let mut sends = node.map_or(0, |node| node.sends);
            if let Some(raised) = &raised {
                // The file keeps what the books had forgotten: it must tell a second restore as it told this one.
                sends += raised.lost_sends;
                say(raised);
            }
            Ok((released, sends))
        };
        let (released, sends) = work.await.map_err(EngineError::of("the start"))?;
        self.high_water.raise_to(sends)?;
        Ok(released)
    }

    /// Comes round.
    ///
    /// # Errors
    /// [`BeatError::Replaced`] where another process has the name; the daemon ends then.
    pub async fn beat(&self) -> Result<Beat, BeatError> {
        let mark = self.high_water.read()?;
        let held_back = || self.pace.held_back().map(|it| it.to_string());
        let unheard = || self.steady.awaits_gateway().then(|| UNHEARD.to_owned());
        let surveys = || self.surveying.load(Ordering::SeqCst).then(|| SURVEYING.to_owned());
        let condition = self.gate.state().cause.or_else(unheard).or_else(held_back).or_else(surveys);
        let work = async {
            let before = self.clock.since_boot();
            let mut tx = self.store.begin("beat").await?;
            let now = tx.now().await?;
            let boot = self.clock.since_boot();
            let mut fence = tx.fence().await?;
            let node = tx.node(&self.node).await?;
            if node.is_none() {
                // The books were set back, under this very process, to before it registered.
                tx.register_node(&self.node, &self.process, now).await?;
            }
            tx.beat_node(&self.node, &self.process, condition.as_deref(), now).await?;
            let known = Known {
                now,
                heartbeat_at: Some(fence.heartbeat_at),
                own_heartbeat_at: node.as_ref().map(|node| node.heartbeat_at),
                timelines: (fence.timeline.clone(), tx.timeline().await?),
                sends: node.as_ref().map(|node| node.sends),
                mark: self.own(&mut tx, mark).await?,
                gap: delta(self.rules.protocol.gap),
                asked: false,
            };
            let mut raised = self.look_back(&mut tx, &known, &fence).await?;
            let read = Read { now, before, boot };
            let verdict = self.watch_clock(&mut tx, &mut fence, &mut raised, read).await?;
            self.plan_days(&mut tx, now).await?;
            let living = tx.living_nodes(now - ALIVE_WITHIN).await?;
            if raised.is_some() {
                fence = tx.fence().await?;
            }
            tx.commit().await?;
            self.take_part(node.as_ref(), &living, now);
            // Only what stands in the books is remembered: a round that failed has neither told nor trusted.
            self.steady.comes_round(boot);
            self.steady.remember(verdict, now, before, boot);
            if let Some(raised) = &raised {
                say(raised);
            }
            let sends = node.map_or(0, |node| node.sends) + raised.as_ref().map_or(0, |raised| raised.lost_sends);
            let living = i64::try_from(living.len()).unwrap_or(i64::MAX);
            Ok((Beat { living, held: fence.held_reason, braked: fence.braked_reason, raised }, sends))
        };
        match work.await {
            Ok((beat, sends)) => {
                // A file that is gone, or could not be written before, is made anew.
                self.high_water.keep(sends, beat.held.is_none())?;
                Ok(beat)
            }
            Err(StoreError::Moved { table: "nodes" }) => Err(BeatError::Replaced(self.node.to_string())),
            Err(error) => Err(EngineError::of("beat")(error).into()),
        }
    }

    /// Takes this daemon's part of the account's budget, from the first request on; `me` as it stood in the books before now.
    fn take_part(&self, me: Option<&NodeRow>, living: &[LivingRow], now: Instant) {
        let others: Vec<&LivingRow> = living.iter().filter(|it| *it.name != *self.node).collect();
        self.gate.take(self.share.part(me, &others, now));
    }

    /// A mark of the same books that another daemon wrote, as after a change of the host's name, is held against what the books know of
    /// that daemon.
    async fn own(&self, tx: &mut Tx, mark: Mark) -> Result<Mark, StoreError> {
        let Mark::OfAnother { node, sends } = mark else { return Ok(mark) };
        let known = tx.node(&node).await?.map_or(0, |node| node.sends);
        let mine = tx.node(&self.node).await?.map_or(0, |node| node.sends);
        Ok(if sends > known { Mark::Sends(mine + sends - known) } else { Mark::NoPlace })
    }

    /// Judges the books, writes down what follows, and notes that this daemon came round.
    async fn look_back(
        &self,
        tx: &mut Tx,
        known: &Known,
        stands: &FenceStateRow,
    ) -> Result<Option<NewFence>, StoreError> {
        if known.was_set_back() {
            // Whatever fence is raised for: the heartbeat that tells of it is written over below.
            tx.bring_back(known.now, known.now + delta(self.rules.protocol.lease)).await?;
        }
        // What holds already for the same reason is not raised again at every round.
        let raised = judge(known).filter(|fence| !fence.holds || stands.held_reason.as_deref() != Some(fence.reason));
        if let Some(fence) = &raised {
            self.raise(tx, fence, known.now).await?;
            // From now on the books know what was lost, so that it is told once.
            let outside = known.sends.unwrap_or(0) + fence.lost_sends;
            tx.raise_mark(&self.node, outside).await?;
        }
        tx.beat_installation(known.timelines.1.as_deref(), known.now).await?;
        Ok(raised)
    }

    /// Raises a fence, and asks a person where it holds.
    pub(super) async fn raise(&self, tx: &mut Tx, fence: &NewFence, now: Instant) -> Result<(), StoreError> {
        tx.raise_fence(fence, &self.node, now).await?;
        if fence.holds {
            let review = NewReview {
                public_id: ReviewId::new(now, self.chance.ten_bytes()),
                reason: ReviewReason::Hold,
                subject: "these books".to_owned(),
                subscription_id: None,
                charge_id: None,
                payment_id: None,
                evidence: fence.detail.clone(),
            };
            self.tell(&tx.open_reviews(&[review], now).await?);
        }
        Ok(())
    }

    /// A clock that jumped, or is not the gateway's, holds everything until it is right again, or an operator has acknowledged that it is
    /// right now.
    async fn watch_clock(
        &self,
        tx: &mut Tx,
        fence: &mut FenceStateRow,
        raised: &mut Option<NewFence>,
        Read { now, before, boot }: Read,
    ) -> Result<Verdict, StoreError> {
        let wrong = self.steady.certainly_wrong(now, before, boot);
        let verdict = clock_watch::judge(&Seen {
            is_wrong: wrong.is_some(),
            is_held: fence.held_at.is_some(),
            is_held_for_it: is_for_the_clock(fence.held_reason.as_deref()),
            is_told: self.steady.is_told(),
            gateway_agrees: self.steady.gateway_agrees(now, boot),
        });
        match (verdict, wrong) {
            (Verdict::Lift, _) => {
                tx.acknowledge_clock(&self.node, now).await?;
                *fence = tx.fence().await?;
            }
            (Verdict::Hold, Some(wrong)) => {
                let fence = NewFence { reason: CLOCK, detail: wrong.to_string(), lost_sends: 0, holds: true };
                self.raise(tx, &fence, now).await?;
                *raised = Some(fence);
            }
            _ => {}
        }
        Ok(verdict)
    }

    /// Today's plan where there is none, and tomorrow's, before it begins; none of a day that a wrong clock shows.
    async fn plan_days(&self, tx: &mut Tx, now: Instant) -> Result<(), StoreError> {
        if self.doubts_the_clock(now) {
            return Ok(());
        }
        let today = now.date_naive();
        for day in [today, today + Days::new(1)] {
            if tx.daily_plans(day).await?.is_empty() {
                tx.freeze_day(day, now).await?;
            }
        }
        Ok(())
    }
}

/// A process that is alive keeps its name.
fn refuse_the_living(node: &NodeRow, now: Instant, since_boot: Duration) -> Result<(), StoreError> {
    let asleep = now - node.heartbeat_at;
    let alive = if is_of_this_machine(&node.process) {
        // Who came round last before this machine was started is gone, whoever has its number now.
        !asleep.to_std().is_ok_and(|asleep| asleep > since_boot) && is_alive(&node.process)
    } else {
        asleep.abs() < ALIVE_WITHIN
    };
    if !alive {
        return Ok(());
    }
    Err(StoreError::NodeTaken { name: node.name.clone(), process: node.process.clone(), seconds: asleep.num_seconds() })
}

fn say(fence: &NewFence) {
    if fence.holds {
        tracing::error!(
            fence.reason = fence.reason,
            fence.lost_sends = fence.lost_sends,
            "HELD, nothing is sent: {}; read `dues ledger show`, then `dues ledger acknowledge`",
            fence.detail
        );
    } else {
        tracing::warn!(
            fence.reason = fence.reason,
            fence.lost_sends = fence.lost_sends,
            "everything due is looked up before it is sent: {}",
            fence.detail
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant_from_micros;

    fn node(name: &str, process: String, heartbeat_at: Instant, stopped_at: Option<Instant>) -> NodeRow {
        let name = name.to_owned();
        NodeRow { name, process, started_at: heartbeat_at, heartbeat_at, stopped_at, sends: 0, condition: None }
    }

    #[test]
    fn who_came_round_within_half_a_minute_and_has_not_stopped_is_alive() {
        let now = instant_from_micros(1_800_000_000_000_000);
        let ago = |seconds, stopped: bool| {
            let at = now - TimeDelta::seconds(seconds);
            node("one", "elsewhere/1/1".to_owned(), at, stopped.then_some(at))
        };
        let within = ALIVE_WITHIN.num_seconds();
        let nodes = [ago(0, false), ago(within - 1, false), ago(within, false), ago(within + 1, false), ago(1, true)];
        assert_eq!(alive(&nodes, now), 2);
        assert_eq!(alive(&nodes[1..2], now), 1);
        assert_eq!(alive(&nodes[2..], now), 0);
    }

    #[test]
    fn a_process_from_before_the_machines_start_is_gone_whoever_has_its_number() {
        let now = instant_from_micros(1_800_000_000_000_000);
        let node = |ago| node("one", crate::engine::process::this(), now - TimeDelta::seconds(ago), None);
        let booted = Duration::from_secs(60);
        assert!(refuse_the_living(&node(59), now, booted).is_err(), "it is this very process");
        assert!(refuse_the_living(&node(-5), now, booted).is_err(), "whose clock was set back a little");
        assert!(refuse_the_living(&node(60), now, booted).is_err(), "it may be its first beat");
        assert!(refuse_the_living(&node(61), now, booted).is_ok(), "a hardened service does not see which boot it is");
        let alive_within = ALIVE_WITHIN.num_seconds();
        let elsewhere = |ago| NodeRow { process: "elsewhere/1/1".to_owned(), ..node(ago) };
        for (ago, lives) in [(0, true), (alive_within - 1, true), (alive_within, false), (-alive_within, false)] {
            assert_eq!(refuse_the_living(&elsewhere(ago), now, booted).is_err(), lives, "{ago} s ago");
        }
    }
}
