//! Subscriptions and their schedule segments.

mod doubles;
mod end;
mod show;
mod unopened;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use chrono::NaiveDate;

use super::db::{Rows, Statement, Tx, ids};
use super::{Store, StoreError, parse};
use crate::cells;
use crate::clock::Instant;
use crate::domain::calendar::{Interval, IntervalUnit, Schedule, Segment, Zone};
use crate::domain::id::SubscriptionId;
use crate::domain::subscription::SubscriptionState;
use crate::row;

pub use doubles::{BegunBy, ThereRow, ToBegin};
pub use end::Ended;
pub use show::{Filter, ShownRow, ShownSegmentRow};
pub use unopened::UnopenedRow;

/// A subscription that is about to be entered, with its one segment.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// Its shown id.
    pub public_id: SubscriptionId,
    /// The merchant's own reference.
    pub reference: String,
    /// Who pays.
    pub customer_id: i64,
    /// What is charged.
    pub source_id: Option<i64>,
    /// Where it stands.
    pub state: SubscriptionState,
    /// The plan version.
    pub plan_id: i64,
    /// Its schedule.
    pub segment: Segment,
    /// The first period that gets a row.
    pub next_index: i64,
    /// When that period begins.
    pub next_charge_at: Instant,
    /// The first payment made elsewhere.
    pub first_payment_id: Option<String>,
}

row! {
    /// A subscription that bill looks at.
    pub DueRow {
        /// Its id.
        id: i64,
        /// The merchant's own reference.
        reference: String,
        /// Where it stands.
        state: String,
        /// When it was handed over.
        handed_over_at: Instant,
        /// The first period without a row.
        next_index: i64,
        /// When that period begins.
        next_charge_at: Instant,
        /// Canceled when this period would begin.
        cancel_at_index: Option<i64>,
        /// Who pays.
        customer_id: i64,
        /// Personal data.
        customer_name: Option<String>,
        /// Personal data.
        customer_email: Option<String>,
        /// ISO 3166 alpha-2.
        country: String,
        /// What is charged.
        gateway_source_id: Option<String>,
        /// Whether the outcome of the period before is open.
        predecessor_open: i64,
        /// Where it is to be canceled: whether a charge is still to be sent or on the wire.
        still_collecting: i64,
    }
}

row! {
    SegmentRow {
        subscription_id: i64, first_index: i64, plan_id: i64, anchor_on: String, zone: String, hour: i64,
        interval_unit: String, interval_count: i64,
    }
}

/// A schedule and the plan version of each of its segments.
#[derive(Debug, Clone)]
pub struct StoredSchedule {
    /// The dates.
    pub schedule: Schedule,
    /// The plan version by the segment's first index.
    pub plans: BTreeMap<i64, i64>,
}

impl StoredSchedule {
    /// The plan version that prices period `index`.
    pub fn plan_of(&self, index: i64) -> Option<i64> {
        self.plans.range(..=index).next_back().map(|(_, plan)| *plan)
    }
}

/// Where a subscription goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// Which.
    pub id: i64,
    /// Its state before, as a guard.
    pub was: SubscriptionState,
    /// Its state from now on.
    pub state: SubscriptionState,
    /// The first period without a row.
    pub next_index: i64,
    /// When that period begins.
    pub next_charge_at: Instant,
    /// When bill looks again.
    pub bill_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
}

row! {
    ReferenceRow { reference: String }
}
row! {
    IdRow { id: i64, reference: String }
}

impl Tx {
    /// Up to `limit` subscriptions that bill should look at, the longest overdue first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn subscriptions_to_bill(&mut self, now: Instant, limit: u32) -> Result<Vec<DueRow>, StoreError> {
        self.all(Statement::new(TO_BILL).bind(now).bind(limit)).await
    }

    /// The schedules of these subscriptions, each read by itself: one that is [`StoreError::Inconsistent`], such as by a zone that
    /// this host does not know, hides no other.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn schedules(
        &mut self,
        subscription_ids: Vec<i64>,
    ) -> Result<BTreeMap<i64, Result<StoredSchedule, StoreError>>, StoreError> {
        let rows: Vec<SegmentRow> = self.all(segments_of(subscription_ids)).await?;
        Ok(schedules_of(rows))
    }

    /// Enters subscriptions that are not there yet; the ids of those that were entered, by reference.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn enter_subscriptions(
        &mut self,
        new: &[NewSubscription],
        now: Instant,
    ) -> Result<BTreeMap<String, i64>, StoreError> {
        let mut rows = Rows::new(
            &[
                "public_id",
                "reference",
                "customer_id",
                "source_id",
                "state",
                "next_index",
                "next_charge_at",
                "first_payment_id",
            ],
            "ttiiti@t",
        );
        for it in new {
            rows.push(cells![
                it.public_id.to_string(),
                it.reference.as_str(),
                it.customer_id,
                it.source_id,
                it.state.as_str(),
                it.next_index,
                it.next_charge_at,
                it.first_payment_id.clone(),
            ]);
        }
        let made: Vec<IdRow> = self
            .all(
                Statement::new(
                    "INSERT INTO subscriptions (public_id, reference, customer_id, source_id, state, handed_over_at, \
                     next_index, next_charge_at, bill_at, first_payment_id, created_at) \
                     SELECT v.public_id, v.reference, v.customer_id, v.source_id, v.state, $1, v.next_index, \
                     v.next_charge_at, v.next_charge_at, v.first_payment_id, $1 FROM {v} \
                     WHERE true ON CONFLICT (reference) DO NOTHING RETURNING id, reference",
                )
                .bind(now)
                .rows("v", rows),
            )
            .await?;
        let made: BTreeMap<String, i64> = made.into_iter().map(|row| (row.reference, row.id)).collect();
        let mut segments = Rows::new(
            &[
                "subscription_id",
                "first_index",
                "plan_id",
                "anchor_on",
                "zone",
                "hour",
                "interval_unit",
                "interval_count",
            ],
            "iiittiti",
        );
        for it in new {
            let Some(&id) = made.get(&it.reference) else { continue };
            let segment = &it.segment;
            segments.push(cells![
                id,
                segment.first_index,
                it.plan_id,
                segment.anchor_on.to_string(),
                segment.zone.to_string(),
                i64::from(segment.hour),
                segment.interval.unit.as_str(),
                segment.interval.count.get(),
            ]);
        }
        if !segments.is_empty() {
            self.run(
                Statement::new(
                    "INSERT INTO segments (subscription_id, first_index, plan_id, anchor_on, zone, hour, interval_unit, \
                     interval_count) SELECT v.subscription_id, v.first_index, v.plan_id, v.anchor_on, v.zone, v.hour, \
                     v.interval_unit, v.interval_count FROM {v}",
                )
                .rows("v", segments),
            )
            .await?;
        }
        Ok(made)
    }

    /// Moves subscriptions on to their next period.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Moved`] where another hand changed one meanwhile.
    pub async fn advance_subscriptions(&mut self, advances: &[Advance]) -> Result<(), StoreError> {
        let mut rows =
            Rows::new(&["id", "was", "state", "next_index", "next_charge_at", "bill_at", "ended_at"], "itti@@@");
        for it in advances {
            rows.push(cells![
                it.id,
                it.was.as_str(),
                it.state.as_str(),
                it.next_index,
                it.next_charge_at,
                it.bill_at,
                it.ended_at,
            ]);
        }
        self.run_guarded(
            "subscriptions",
            rows.len(),
            Statement::new(
                "UPDATE subscriptions SET state = v.state, next_index = v.next_index, \
                 next_charge_at = v.next_charge_at, bill_at = v.bill_at, ended_at = v.ended_at \
                 FROM {v} WHERE subscriptions.id = v.id AND subscriptions.state = v.was",
            )
            .rows("v", rows),
        )
        .await
    }
}

/// What bill reads: only due rows, through the index `subscriptions_to_bill`.
pub const TO_BILL: &str = "SELECT s.id, s.reference, s.state, s.handed_over_at, s.next_index, s.next_charge_at, s.cancel_at_index, \
     s.customer_id, k.name AS customer_name, k.email AS customer_email, k.country, o.gateway_source_id, \
     CAST(CASE WHEN EXISTS (SELECT 1 FROM charges c JOIN attempts a ON a.charge_id = c.id \
         WHERE c.subscription_id = s.id AND c.period_index = s.next_index - 1 \
         AND a.state IN ('sending', 'unknown', 'pending')) THEN 1 ELSE 0 END AS BIGINT) AS predecessor_open, \
     CAST(CASE WHEN s.cancel_at_index IS NOT NULL AND EXISTS (SELECT 1 FROM charges d WHERE d.subscription_id = s.id \
         AND d.state IN ('due', 'collecting')) THEN 1 ELSE 0 END AS BIGINT) AS still_collecting \
     FROM subscriptions s JOIN customers k ON k.id = s.customer_id LEFT JOIN sources o ON o.id = s.source_id \
     WHERE s.bill_at <= $1 AND s.state IN ('trialing', 'active', 'past_due', 'unpaid', 'paused') \
     ORDER BY s.bill_at, s.id LIMIT $2 {lock s}";

impl Store {
    /// Which of these references are taken.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn taken_references(&self, references: &[&str]) -> Result<BTreeSet<String>, StoreError> {
        let found: Vec<ReferenceRow> = self.read(taken(references)).await?;
        Ok(found.into_iter().map(|row| row.reference).collect())
    }
}

impl Tx {
    /// Which of these references are taken.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn taken_references(&mut self, references: &[&str]) -> Result<BTreeSet<String>, StoreError> {
        if references.is_empty() {
            return Ok(BTreeSet::new());
        }
        let found: Vec<ReferenceRow> = self.all(taken(references)).await?;
        Ok(found.into_iter().map(|row| row.reference).collect())
    }
}

fn taken(references: &[&str]) -> Statement {
    let mut rows = Rows::new(&["reference"], "t");
    for reference in references {
        rows.push(cells![*reference]);
    }
    Statement::new("SELECT s.reference FROM subscriptions s JOIN {v} ON s.reference = v.reference").rows("v", rows)
}

fn segments_of(subscription_ids: Vec<i64>) -> Statement {
    Statement::new(
        "SELECT g.subscription_id, g.first_index, g.plan_id, g.anchor_on, g.zone, g.hour, g.interval_unit, \
         g.interval_count FROM segments g JOIN {v} ON g.subscription_id = v.id \
         ORDER BY g.subscription_id, g.first_index",
    )
    .rows("v", ids(subscription_ids))
}

fn schedules_of(rows: Vec<SegmentRow>) -> BTreeMap<i64, Result<StoredSchedule, StoreError>> {
    let mut segments: BTreeMap<i64, Vec<SegmentRow>> = BTreeMap::new();
    for row in rows {
        segments.entry(row.subscription_id).or_default().push(row);
    }
    segments.into_iter().map(|(id, rows)| (id, schedule(id, rows))).collect()
}

fn schedule(id: i64, rows: Vec<SegmentRow>) -> Result<StoredSchedule, StoreError> {
    let (mut segments, mut plans) = (Vec::with_capacity(rows.len()), BTreeMap::new());
    for row in rows {
        let anchor_on: NaiveDate = parse("segments", id, "anchor_on", &row.anchor_on)?;
        let zone: Zone = parse("segments", id, "zone", &row.zone)?;
        let unit: IntervalUnit = parse("segments", id, "interval_unit", &row.interval_unit)?;
        let count: NonZeroU32 = parse("segments", id, "interval_count", &row.interval_count.to_string())?;
        let hour: u8 = parse("segments", id, "hour", &row.hour.to_string())?;
        plans.insert(row.first_index, row.plan_id);
        segments.push(Segment {
            first_index: row.first_index,
            anchor_on,
            hour,
            zone,
            interval: Interval::new(unit, count),
        });
    }
    let schedule = Schedule::new(segments).map_err(|why| StoreError::Inconsistent {
        table: "segments",
        row: id,
        column: "first_index",
        value: String::new(),
        why: why.to_string(),
    })?;
    Ok(StoredSchedule { schedule, plans })
}
