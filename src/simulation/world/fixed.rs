//! A world that is not drawn: one monthly subscription whose first period begins at a known instant.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::NaiveDate;

use super::{HOUR, Member, Which, World};
use crate::clock::Instant;
use crate::domain::calendar::{Interval, IntervalUnit, Schedule, Segment, Zone};
use crate::engine::hand_over::HandOver;
use crate::store::customers::NewCustomer;

impl World {
    /// One monthly subscription that begins on `anchor_on`; nothing goes wrong but what somebody else does.
    pub fn of_one(begins: Instant, ends: Instant, anchor_on: NaiveDate) -> World {
        let zone: Zone = "Asia/Hong_Kong".parse().expect("every time zone database has Hong Kong");
        let segment = Segment {
            first_index: 0,
            anchor_on,
            hour: HOUR,
            zone: zone.clone(),
            interval: Interval { unit: IntervalUnit::Month, count: NonZeroU32::MIN },
        };
        let reference = "ORD-1".to_owned();
        let hand_over = HandOver {
            reference: reference.clone(),
            plan: "monthly".to_owned(),
            source_id: format!("src_{:026}", 1),
            first_payment_id: None,
            customer: NewCustomer {
                reference: "CUSTOMER-1".to_owned(),
                name: Some("Simulated Customer".to_owned()),
                email: Some("customer-1@example.com".to_owned()),
                country: "HK".to_owned(),
            },
            anchor_on,
            zone,
            next_charge_on: None,
        };
        let schedule = Schedule::new(vec![segment]).expect("a schedule of one segment");
        World {
            which: Which::A,
            begins,
            ends,
            members: vec![Member { hand_over, schedule, canceled_at: None }],
            by_reference: BTreeMap::from([(reference, 0)]),
            rules: Vec::new(),
            acts: Vec::new(),
            episodes: Vec::new(),
            settings: Vec::new(),
            incidents: Vec::new(),
            key_life: Duration::from_hours(24),
        }
    }
}
