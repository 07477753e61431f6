//! The rows of a set of charges as domain values, and the difference that decisions made to them. Several charges may share a
//! subscription or a source: each of these stands here once.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Instant;
use crate::domain::attempt::AttemptState;
use crate::domain::money::{Currency, Money};
use crate::engine::desk::{Attempt, Charge, Desk, DunningCase, Notes, Source, Subscription};
use crate::store::changes::{AttemptChange, CaseChange, Changes, ChargeChange, SourceChange, SubscriptionChange};
use crate::store::situations::SituationRow;
use crate::store::{StoreError, parse};

/// What was read, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Books {
    charges: BTreeMap<i64, (Charge, Charge)>,
    subscriptions: BTreeMap<i64, (Subscription, Subscription)>,
    sources: BTreeMap<i64, (Source, Source)>,
    source_of: BTreeMap<i64, i64>,
    notes: Vec<(i64, Notes)>,
    /// Charges of which a row cannot be read: nothing is decided about them.
    pub unreadable: Vec<Unreadable>,
}

/// A charge of which a row cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub charge_id: i64,
    pub charge_public_id: String,
    pub subscription_id: i64,
    pub why: StoreError,
}

/// Everything that decisions came to.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub changes: Changes,
    pub cleared: Vec<i64>,
    pub look_first: Vec<i64>,
    pub warnings: Vec<String>,
    /// Payments that were adopted although the books know of no send.
    pub strangers: Vec<String>,
    /// Charges of which a row cannot be read: their attempts are put off.
    pub unreadable: Vec<i64>,
}

impl Books {
    /// Reads the rows of situations, which stand in order of charge and attempt.
    pub fn read(rows: Vec<SituationRow>) -> Books {
        let mut books = Books::default();
        let mut unreadable = BTreeSet::new();
        for row in rows {
            let (charge_id, subscription_id) = (row.charge_id, row.subscription_id);
            if unreadable.contains(&charge_id) {
                continue;
            }
            let charge_public_id = row.charge_public_id.clone();
            if let Err(why) = books.add(row) {
                books.charges.remove(&charge_id);
                unreadable.insert(charge_id);
                books.unreadable.push(Unreadable { charge_id, charge_public_id, subscription_id, why });
            }
        }
        books
    }

    fn add(&mut self, row: SituationRow) -> Result<(), StoreError> {
        let attempt = attempt(&row)?;
        if let Some((read, now)) = self.charges.get_mut(&row.charge_id) {
            read.attempts.push(attempt.clone());
            now.attempts.push(attempt);
            return Ok(());
        }
        let subscription = Subscription {
            id: row.subscription_id,
            reference: row.subscription_reference.clone(),
            state: parse("subscriptions", row.subscription_id, "state", &row.subscription_state)?,
        };
        if let (Some(id), Some(state)) = (row.source_id, &row.source_state) {
            let source = Source { id, state: parse("sources", id, "state", state)? };
            self.sources.entry(id).or_insert_with(|| (source.clone(), source));
            self.source_of.insert(row.subscription_id, id);
        }
        let charge = charge(row, attempt)?;
        self.subscriptions.entry(subscription.id).or_insert_with(|| (subscription.clone(), subscription));
        self.charges.insert(charge.id, (charge.clone(), charge));
        Ok(())
    }

    /// Takes a charge onto the desk; the books stay as they are until it is laid back.
    pub fn desk(&self, charge_id: i64) -> Option<Desk> {
        let (_, charge) = self.charges.get(&charge_id)?;
        let (_, subscription) = self.subscriptions.get(&charge.subscription_id)?;
        let source = self.source_of.get(&subscription.id).and_then(|id| self.sources.get(id));
        Some(Desk {
            charge: charge.clone(),
            subscription: subscription.clone(),
            source: source.map(|(_, source)| source.clone()),
            notes: Notes::default(),
        })
    }

    /// Lays a decided charge back.
    pub fn lay_back(&mut self, desk: Desk) {
        if let Some((_, subscription)) = self.subscriptions.get_mut(&desk.subscription.id) {
            *subscription = desk.subscription;
        }
        if let Some(changed) = desk.source
            && let Some((_, source)) = self.sources.get_mut(&changed.id)
        {
            *source = changed;
        }
        let id = desk.charge.id;
        let subscription_id = desk.charge.subscription_id;
        let open = |charge: &Charge| i64::from(charge.case.as_ref().is_some_and(|case| case.state == "open"));
        if let Some((_, charge)) = self.charges.get_mut(&id) {
            let opened = open(&desk.charge) - open(charge);
            *charge = desk.charge;
            if opened != 0 {
                // What its siblings know of its dunning was read before this decision.
                let siblings = self.charges.values_mut().map(|(_, other)| other);
                for other in siblings.filter(|it| it.subscription_id == subscription_id && it.id != id) {
                    other.other_open_cases += opened;
                }
            }
        }
        self.notes.push((id, desk.notes));
    }

    /// The difference between what was read and what stands now.
    pub fn decided(self, now: Instant) -> Decided {
        let mut decided = Decided::default();
        let changes = &mut decided.changes;
        for (read, charge) in self.charges.into_values() {
            if read.state != charge.state && read.state == crate::domain::charge::ChargeState::InReview {
                changes.answered.push(charge.id);
            }
            if read.case != charge.case
                && let Some(case) = &charge.case
            {
                changes.cases.push(case_change(charge.id, case, now));
            }
            for (was, attempt) in read.attempts.iter().zip(&charge.attempts) {
                if was != attempt {
                    changes.attempts.push(attempt_change(was.state, attempt, now));
                }
            }
            if (read.state, &read.reason, &read.paid_by) != (charge.state, &charge.reason, &charge.paid_by) {
                changes.charges.push(ChargeChange {
                    id: charge.id,
                    was: read.state,
                    state: charge.state,
                    reason: charge.reason,
                    paid_at: charge.paid_at,
                    paid_by: charge.paid_by,
                });
            }
        }
        for (read, subscription) in self.subscriptions.into_values().filter(|(read, now)| read != now) {
            changes.subscriptions.push(SubscriptionChange {
                id: subscription.id,
                was: read.state,
                state: subscription.state,
            });
        }
        for (_, source) in self.sources.into_values().filter(|(read, now)| read != now) {
            changes.sources.push(SourceChange { id: source.id, state: source.state });
        }
        let mut payments = BTreeMap::new();
        for (charge_id, notes) in self.notes {
            if notes.answered {
                changes.answered.push(charge_id);
            }
            decided.warnings.extend(notes.warnings);
            decided.strangers.extend(notes.strangers);
            // One row a payment: what was seen last in this set is what stands.
            payments.extend(notes.payments.into_iter().map(|it| (it.gateway_payment_id.clone(), it)));
            changes.reviews.extend(notes.reviews);
            changes.new_sources.extend(notes.new_source);
            changes.journal.extend(notes.journal);
            decided.cleared.extend(notes.cleared);
            decided.look_first.extend(notes.look_first);
        }
        changes.payments = payments.into_values().collect();
        decided
    }
}

fn attempt(row: &SituationRow) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        id: row.attempt_id,
        n: row.n,
        is_first: row.kind == "first",
        epoch: row.lease_epoch,
        leased_epoch: row.lease_epoch,
        leased_until: row.lease_until,
        state: parse("attempts", row.attempt_id, "state", &row.attempt_state)?,
        payment_id: row.payment_id.clone(),
        next_at: row.next_at,
        lease_until: None,
        sends: row.sends,
        looks: row.looks,
        late_looks: row.late_looks,
        first_sent_at: row.first_sent_at,
        last_sent_at: row.last_sent_at,
        unknown_since: row.unknown_since,
        server_error: row.server_error != 0,
        answer_lost: row.answer_lost != 0,
        missing_since: row.missing_since,
        created_at: row.created_at,
        settled_at: None,
    })
}

fn charge(row: SituationRow, attempt: Attempt) -> Result<Charge, StoreError> {
    let id = row.charge_id;
    let currency: Currency = parse("charges", id, "currency", &row.currency)?;
    let case = match (row.case_policy_id, row.case_state.as_deref(), row.case_steps, row.case_opened_at) {
        (Some(policy_id), Some(state), Some(steps), Some(opened_at)) => Some(DunningCase {
            policy_id,
            state: match state {
                "open" => "open",
                "recovered" => "recovered",
                "exhausted" => "exhausted",
                _ => "stopped",
            },
            steps,
            next_step_at: row.case_next_step_at,
            opened_at,
            closed_at: None,
        }),
        _ => None,
    };
    Ok(Charge {
        id,
        public_id: row.charge_public_id,
        subscription_id: row.subscription_id,
        reference: row.reference,
        due_at: row.due_at,
        amount: Money::new(row.amount_minor, currency),
        state: parse("charges", id, "state", &row.charge_state)?,
        reason: row.reason,
        paid_at: row.paid_at,
        paid_by: row.paid_by,
        dunning: row.dunning,
        zone: row.zone.unwrap_or_default(),
        case,
        other_open_cases: row.other_open_cases,
        attempts: vec![attempt],
    })
}

fn attempt_change(was: AttemptState, it: &Attempt, now: Instant) -> AttemptChange {
    AttemptChange {
        id: it.id,
        was,
        epoch: it.epoch,
        leased_epoch: it.leased_epoch,
        state: it.state,
        payment_id: it.payment_id.clone(),
        next_at: it.next_at,
        lease_until: it.lease_until.unwrap_or(now),
        sends: it.sends,
        looks: it.looks,
        late_looks: it.late_looks,
        first_sent_at: it.first_sent_at,
        last_sent_at: it.last_sent_at,
        unknown_since: it.unknown_since,
        server_error: it.server_error,
        answer_lost: it.answer_lost,
        missing_since: it.missing_since,
        settled_at: it.settled_at.or((!it.state.is_live()).then_some(now)),
    }
}

fn case_change(charge_id: i64, it: &DunningCase, now: Instant) -> CaseChange {
    CaseChange {
        charge_id,
        policy_id: it.policy_id,
        state: it.state,
        steps: it.steps,
        next_step_at: it.next_step_at,
        opened_at: it.opened_at,
        closed_at: it.closed_at.or((it.state != "open").then_some(now)),
    }
}
