//! `reconcile`: leases attempts whose next look has come, asks the gateway what became of them, and records it. A known payment is
//! read by its id; anything else is looked up by its reference.

use std::collections::BTreeMap;

use crate::domain::attempt::AttemptState;
use crate::engine::flights::{Flights, places};
use crate::engine::gate::Kind;
use crate::engine::observation::{Observation, Seen};
use crate::engine::rules::delta;
use crate::engine::settle::Settled;
use crate::engine::{Engine, EngineError, Tick};
use crate::gateway::outcome::{LookOutcome, LookUpOutcome};
use crate::store::attempts::{Lease, LeasedRow};

/// The looking side of one daemon. Its requests under way live here between ticks; dropping it is a crash.
#[derive(Debug)]
pub struct Reconcile {
    engine: Engine,
    flights: Flights<Option<Observation>>,
    charge_id: Option<i64>,
}

/// One leased row and how it is looked at.
#[derive(Debug)]
enum Look {
    ById(String),
    ByReference { reference: String, witness: Option<String> },
}

impl Reconcile {
    /// For every charge.
    pub fn new(engine: Engine) -> Self {
        Reconcile { flights: Flights::new(&engine.clock), engine, charge_id: None }
    }

    /// For one charge alone: what `dues subscribe` needs.
    pub fn of_charge(engine: Engine, charge_id: i64) -> Self {
        Reconcile { flights: Flights::new(&engine.clock), engine, charge_id: Some(charge_id) }
    }

    /// What it works with; a reload changes its rules.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Requests under way and outcomes not yet recorded.
    pub fn flights(&mut self) -> &mut Flights<Option<Observation>> {
        &mut self.flights
    }

    /// Records what has landed, then, unless the daemon is stopping, looks at what the budget and the circuit grant.
    ///
    /// # Errors
    /// [`EngineError::Store`]; outcomes that could not be recorded are kept.
    pub async fn tick(&mut self, launch: bool) -> Result<Tick, EngineError> {
        let recorded = self.record(launch).await?;
        let looked = if launch { self.look().await? } else { Tick::default() };
        Ok(Tick { done: recorded + looked.done, ..looked })
    }

    async fn look(&mut self) -> Result<Tick, EngineError> {
        let engine = self.engine.clone();
        let settings = &engine.rules.engine;
        let mut grant = match places(self.flights.len(), settings.in_flight, settings.batch) {
            0 => return Ok(Tick::default()),
            places => engine.gate.ask(Kind::Read, places, engine.clock.now()),
        };
        let (granted, more_at) = (grant.requests(), grant.wake_at);
        if granted == 0 {
            return Ok(Tick { wake_at: more_at, ..Tick::default() });
        }
        let looks = self.lease(granted).await?;
        let leased = looks.len();
        let used = u32::try_from(leased).unwrap_or(u32::MAX);
        grant.keep(used);
        grant.used();
        for (row, look) in looks {
            let engine = self.engine.clone();
            self.flights.launch(async move {
                let seen = match look {
                    Look::ById(payment_id) => look_at(&engine, &payment_id).await,
                    Look::ByReference { reference, witness } => look_up(&engine, &reference, witness).await,
                };
                Some(Observation { attempt_id: row.id, charge_id: row.charge_id, epoch: row.lease_epoch, seen })
            });
        }
        let full = used == granted;
        Ok(Tick { done: leased, more: full && more_at.is_none(), wake_at: more_at.filter(|_| full) })
    }

    async fn record(&mut self, may_send: bool) -> Result<usize, EngineError> {
        let landed = self.flights.landed();
        let (count, seen) = (landed.len(), landed.iter().flatten().cloned().collect::<Vec<_>>());
        if count == 0 {
            return Ok(0);
        }
        // An absent attempt may be sent again with its own key, and a first payment for the source that its lost answer named: that
        // takes a token, and none is taken while stopping.
        let wanted = if may_send {
            u32::try_from(seen.iter().filter(may_lead_to_a_send).count()).unwrap_or(u32::MAX)
        } else {
            0
        };
        let settled = self.engine.settle(&seen, wanted).await?;
        self.flights.recorded(count);
        let Some(settled) = settled else { return Ok(0) };
        let Settled { cleared, .. } = settled;
        for cleared in cleared {
            self.flights.launch(cleared.post(self.engine.clone()));
        }
        Ok(count)
    }

    async fn lease(&self, limit: u32) -> Result<Vec<(LeasedRow, Look)>, EngineError> {
        let engine = &self.engine;
        let work = async {
            let mut tx = engine.store.begin("lease to look at").await?;
            let now = tx.now().await?;
            if engine.doubts_the_clock(now) {
                tx.commit().await?;
                return Ok(Vec::new());
            }
            let lease = Lease {
                owner: &engine.node,
                now,
                until: now + delta(engine.rules.protocol.lease),
                charge_id: self.charge_id,
                limit,
            };
            let rows = tx.lease_to_look_at(&lease).await?;
            let by_reference = |row: &&LeasedRow| row.state != AttemptState::Pending.as_str();
            let unknown: Vec<i64> = rows.iter().filter(by_reference).map(|row| row.id).collect();
            let mut references = BTreeMap::new();
            if !unknown.is_empty() {
                for row in tx.references(unknown).await? {
                    references.insert(row.id, row.reference);
                }
            }
            let mut looks = Vec::with_capacity(rows.len());
            for row in rows {
                let look = match (references.remove(&row.id), row.payment_id.clone()) {
                    (Some(reference), _) => {
                        // Past the key's life absence is believed only beside a witness that look-ups work.
                        let witness = match row.last_sent_at {
                            Some(sent) if row.late_looks > 0 => tx.witness(sent, row.charge_id).await?,
                            _ => None,
                        };
                        Look::ByReference { reference, witness }
                    }
                    (None, Some(payment_id)) => Look::ById(payment_id),
                    (None, None) => continue,
                };
                looks.push((row, look));
            }
            tx.commit().await?;
            Ok(looks)
        };
        work.await.map_err(EngineError::of("reconcile"))
    }
}

/// Whether settling this may clear its attempt to be sent. A list need not be empty for that: it shows the earlier attempts of the
/// period as well.
fn may_lead_to_a_send(seen: &&Observation) -> bool {
    match &seen.seen {
        Seen::LookedUp { outcome, .. } => matches!(outcome, LookUpOutcome::Listed(_)),
        // First payments stand in period 0 or before it.
        Seen::Looked(LookOutcome::Seen(payment)) => {
            payment.source_id.is_none() && payment.period.is_none_or(|it| it <= 0)
        }
        Seen::Looked(_) | Seen::Audited(_) | Seen::Due | Seen::Posted(_) | Seen::BodyChanged => false,
    }
}

async fn look_at(engine: &Engine, payment_id: &str) -> Seen {
    let (client, meter) = engine.client.metered();
    let outcome = client.payment(payment_id).await;
    engine.hear(&meter);
    engine.gate.note_look(outcome.signal(), meter.reads(), engine.clock.now());
    Seen::Looked(outcome)
}

/// Looks up every payment under `reference`, and the witness where one is asked for. One read was granted for it.
pub(super) async fn look_up(engine: &Engine, reference: &str, witness: Option<String>) -> Seen {
    let (client, meter) = engine.client.metered();
    let outcome = client.payments_by_reference(reference).await;
    let witness = match witness {
        None => None,
        Some(other) => {
            let seen = client.payments_by_reference(&other).await;
            Some(matches!(seen, LookUpOutcome::Listed(list) if !list.is_empty()))
        }
    };
    engine.hear(&meter);
    engine.gate.note_look(outcome.signal(), meter.reads(), engine.clock.now());
    Seen::LookedUp { outcome, witness }
}
