//! Whether anything may be sent now: what the books say of fence, hold, brake and unknown outcomes, read in the very transaction that
//! commits `sending`, so that no daemon sends past what another has just decided.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::clock::Instant;
use crate::config::Brake;
use crate::domain::money::Money;
use crate::engine::Engine;
use crate::store::daily_plans::{Amounts, DailyPlanRow};
use crate::store::{StoreError, Tx};

/// What may be sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// What fell due before is looked up before its first send.
    pub continuity_from: Option<Instant>,
    /// Payments of what fell due before may turn up: an operator has acknowledged it.
    pub acknowledged_until: Option<Instant>,
    /// Payments that may turn up although the books know of no send.
    pub strangers_left: i64,
    /// Something that fell due before the fence is still to be looked up: nothing is sent before all of it was, for it may show that the
    /// books are old.
    pub unsurveyed: bool,
    /// An operator is waited for: reads and adoption only.
    pub held: bool,
    /// Collecting is stopped: nothing is claimed but what somebody waits for.
    pub braked: bool,
    /// The clock is wrong or not known to be right, or nothing of what is settled may lead to a send.
    pub closed: bool,
    /// So many requests at most.
    pub at_most: Option<u32>,
    /// What a day's plan leaves, by currency.
    pub room: BTreeMap<String, Room>,
    /// What was sent for the first time, to be counted.
    pub first_sends: BTreeMap<String, (i64, i64)>,
    /// The plan that was exceeded.
    pub exceeded: Option<String>,
}

/// What a day's plan leaves in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub count: i64,
    pub amount_minor: i64,
}

impl Standing {
    /// Whether anything may be sent at all.
    pub fn may_send(&self) -> bool {
        !self.held && !self.closed && self.exceeded.is_none()
    }

    /// Takes a charge's first send from the day's plan. False: the plan is exceeded, and it is not sent.
    pub fn takes(&mut self, amount: &Money) -> bool {
        let code = amount.currency.code();
        let minor = amount.amount_minor;
        let Some(room) = self.room.get_mut(code) else { return true };
        if room.count < 1 || room.amount_minor < minor {
            self.exceeded = Some(format!(
                "sending {amount} more would exceed today's plan in {code}: {} charges and {} minor units are left of it",
                room.count.max(0),
                room.amount_minor.max(0)
            ));
            return false;
        }
        room.count -= 1;
        room.amount_minor -= minor;
        let sent = self.first_sends.entry(code.to_owned()).or_default();
        sent.0 += 1;
        sent.1 = sent.1.saturating_add(minor);
        true
    }

    /// A first send was proven not to have been one.
    pub fn gives_back(&mut self, amount: &Money) {
        let sent = self.first_sends.entry(amount.currency.code().to_owned()).or_default();
        sent.0 -= 1;
        sent.1 = sent.1.saturating_sub(amount.amount_minor);
    }

    /// First sends, as the daily plan counts them.
    pub fn counted(&self) -> Vec<Amounts> {
        let amounts = |(currency, (count, minor)): (&String, &(i64, i64))| Amounts {
            currency: currency.clone(),
            count: *count,
            amount_minor: *minor,
        };
        self.first_sends.iter().map(amounts).collect()
    }
}

impl Room {
    /// What a plan leaves: so many hundredths of it and some charges more, what earlier days owe to it, less what was sent.
    pub fn of(row: &DailyPlanRow, brake: &Brake) -> Room {
        let beyond = |planned: i64| planned.saturating_mul(brake.percent) / 100;
        let margin_minor = brake.margin.saturating_mul(row.usual_minor);
        Room {
            count: beyond(row.planned_count + row.granted_count) + brake.margin + row.carried_count.max(0)
                - row.sent_count,
            amount_minor: beyond(row.planned_minor + row.granted_minor)
                .saturating_add(margin_minor)
                .saturating_add(row.carried_minor.max(0))
                .saturating_sub(row.sent_minor),
        }
    }
}

impl Engine {
    /// Whether anything may be sent now. Until `tx` ends no daemon can raise the fence.
    ///
    /// # Errors
    /// [`StoreError::Moved`] where another process has this daemon's name; [`StoreError::OtherTimeline`] after a fail-over, until a
    /// daemon has come round and raised the fence.
    pub(super) async fn standing(&self, tx: &mut Tx, now: Instant) -> Result<Standing, StoreError> {
        // Read first: what is committed meanwhile, the books may not show to this statement yet.
        let written = self.high_water.written();
        let row = tx.standing(&self.node, now).await?;
        if let (Some(was), Some(is)) = (row.timeline, row.timeline_now)
            && was != is
        {
            return Err(StoreError::OtherTimeline { was, is });
        }
        if written > row.sends.unwrap_or(0) {
            return Err(StoreError::Rewound { known: row.sends.unwrap_or(0), written });
        }
        match row.process.as_deref() {
            None => tx.register_node(&self.node, &self.process, now).await?,
            Some(process) if *process == *self.process => {}
            Some(_) => return Err(StoreError::Moved { table: "nodes" }),
        }
        let day = now.date_naive();
        let doubted = self.doubts_the_clock(now);
        let mut plans = Vec::new();
        if !doubted {
            plans = tx.daily_plans(day).await?;
            if plans.is_empty() {
                tx.freeze_day(day, now).await?;
                plans = tx.daily_plans(day).await?;
            }
        }
        self.surveying.store(row.unsurveyed != 0, Ordering::SeqCst);
        let limit = i64::from(self.rules.protocol.unknown_limit.get());
        Ok(Standing {
            continuity_from: row.continuity_from,
            acknowledged_until: row.acknowledged_until,
            strangers_left: row.strangers_left,
            unsurveyed: row.unsurveyed != 0,
            held: row.held_at.is_some(),
            braked: row.braked_at.is_some(),
            closed: doubted
                || self.high_water.fails()
                || self.steady.overslept(self.clock.since_boot(), self.rules.protocol.gap),
            at_most: self.pace.limit(row.not_found, limit, now),
            room: plans.iter().map(|row| (row.currency.clone(), Room::of(row, &self.rules.brake))).collect(),
            ..Standing::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> DailyPlanRow {
        DailyPlanRow {
            day: "2026-01-20".to_owned(),
            currency: "HKD".to_owned(),
            planned_count: 100,
            planned_minor: 100 * 12_800,
            granted_count: 0,
            granted_minor: 0,
            sent_count: 0,
            sent_minor: 0,
            usual_minor: 12_800,
            carried_count: 0,
            carried_minor: 0,
        }
    }

    #[test]
    fn a_day_may_send_half_as_much_again_and_twenty_more_and_what_earlier_days_owe() {
        let brake = Brake { percent: 150, margin: 20 };
        assert_eq!(Room::of(&row(), &brake), Room { count: 170, amount_minor: 170 * 12_800 });
        let later = DailyPlanRow { sent_count: 160, sent_minor: 160 * 12_800, ..row() };
        assert_eq!(Room::of(&later, &brake).count, 10);
        let owed = DailyPlanRow { carried_count: 200, carried_minor: 200 * 12_800, ..row() };
        assert_eq!(Room::of(&owed, &brake).count, 370);
        let granted = DailyPlanRow { granted_count: 10, granted_minor: 10 * 12_800, ..row() };
        assert_eq!(Room::of(&granted, &brake), Room { count: 185, amount_minor: 185 * 12_800 });
        let overdrawn = DailyPlanRow { carried_count: -50, carried_minor: -50, ..row() };
        assert_eq!(Room::of(&overdrawn, &brake).count, 170);
    }

    #[test]
    fn a_price_a_hundred_times_too_high_exceeds_the_sum_long_before_the_count() {
        let brake = Brake { percent: 150, margin: 20 };
        let room = [("HKD".to_owned(), Room::of(&row(), &brake))].into();
        let mut standing = Standing { room, ..Standing::default() };
        let price = Money::new(1_280_000, "HKD".parse().unwrap());
        assert!(standing.takes(&price));
        let room = standing.room["HKD"];
        assert_eq!((room.count, room.amount_minor), (169, (170 - 100) * 12_800));
        assert!(!standing.takes(&price) && !standing.may_send());
        assert_eq!(standing.counted(), [Amounts { currency: "HKD".to_owned(), count: 1, amount_minor: 1_280_000 }]);
    }
}
