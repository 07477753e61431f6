//! Subscriptions as people see them: lists, and one with its schedule. Customers' names and e-mail addresses are left out.

use super::super::db::Statement;
use super::super::{Store, StoreError};
use crate::clock::Instant;
use crate::domain::subscription::SubscriptionState;
use crate::row;

/// Which subscriptions are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that stand so.
    pub state: Option<SubscriptionState>,
    /// Only those whose next period is on this plan.
    pub plan: Option<String>,
    /// So many at most.
    pub limit: u32,
}

row! {
    /// A subscription as people see it.
    pub ShownRow {
        /// Inside.
        id: i64,
        /// Its shown id.
        public_id: String,
        /// The merchant's own reference.
        reference: String,
        /// The merchant's own reference of the customer.
        customer: String,
        /// Where it stands.
        state: String,
        /// The plan's name.
        plan: String,
        /// The plan's version.
        plan_version: i64,
        /// The price of its next period.
        amount_minor: i64,
        /// In which currency.
        currency: String,
        /// The zone of its next period.
        zone: String,
        /// What is charged, `src_…`.
        source: Option<String>,
        /// The source's state.
        source_state: Option<String>,
        /// The first period without a row.
        next_index: i64,
        /// When that period begins.
        next_charge_at: Instant,
        /// Canceled when this period would begin.
        cancel_at_index: Option<i64>,
        /// When it was canceled or completed.
        ended_at: Option<Instant>,
        /// Why it was canceled.
        cancel_reason: Option<String>,
        /// The first payment where it was made elsewhere.
        first_payment_id: Option<String>,
        /// When it was handed over.
        handed_over_at: Instant,
        /// When it was handed over or begun.
        created_at: Instant,
    }
}

row! {
    /// A segment of a schedule, with its plan.
    pub ShownSegmentRow {
        /// The first period that it dates.
        first_index: i64,
        /// The local date of that period.
        anchor_on: String,
        /// IANA time zone.
        zone: String,
        /// Local hour.
        hour: i64,
        /// `day`, `week`, `month` or `year`.
        interval_unit: String,
        /// Units in one period.
        interval_count: i64,
        /// The plan's name.
        plan: String,
        /// The plan's version.
        plan_version: i64,
    }
}

/// What people see of a subscription, with the segment of its next period; the conditions follow.
macro_rules! shown {
    () => {
        "SELECT s.id, s.public_id, s.reference, k.reference AS customer, s.state, p.name AS plan, p.version AS plan_version, \
         p.amount_minor, p.currency, g.zone, o.gateway_source_id AS source, o.state AS source_state, s.next_index, \
         s.next_charge_at, s.cancel_at_index, s.ended_at, s.cancel_reason, s.first_payment_id, s.handed_over_at, s.created_at \
         FROM subscriptions s JOIN customers k ON k.id = s.customer_id \
         JOIN segments g ON g.subscription_id = s.id AND g.first_index = COALESCE(\
             (SELECT MAX(h.first_index) FROM segments h WHERE h.subscription_id = s.id AND h.first_index <= s.next_index), \
             (SELECT MIN(h.first_index) FROM segments h WHERE h.subscription_id = s.id)) \
         JOIN plans p ON p.id = g.plan_id LEFT JOIN sources o ON o.id = s.source_id"
    };
}

impl Store {
    /// Subscriptions, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn subscription_list(&self, filter: &Filter) -> Result<Vec<ShownRow>, StoreError> {
        let text = concat!(
            shown!(),
            " WHERE ($1 IS NULL OR s.state = $1) AND ($2 IS NULL OR p.name = $2) ORDER BY s.id DESC LIMIT $3"
        );
        self.read(
            Statement::new(text)
                .bind(filter.state.map(SubscriptionState::as_str))
                .bind(filter.plan.as_deref())
                .bind(filter.limit),
        )
        .await
    }

    /// The subscription with this shown id or merchant's reference.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn subscription_shown(&self, name: &str) -> Result<Option<ShownRow>, StoreError> {
        let text = concat!(shown!(), " WHERE s.public_id = $1 OR s.reference = $1");
        Ok(self.read(Statement::new(text).bind(name)).await?.into_iter().next())
    }

    /// The subscriptions of the customer with this reference, in the order in which they were entered.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn subscriptions_of_customer(&self, reference: &str) -> Result<Vec<ShownRow>, StoreError> {
        let text = concat!(shown!(), " WHERE k.reference = $1 ORDER BY s.id");
        self.read(Statement::new(text).bind(reference)).await
    }

    /// The segments of a subscription's schedule, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn segments_shown(&self, subscription_id: i64) -> Result<Vec<ShownSegmentRow>, StoreError> {
        self.read(
            Statement::new(
                "SELECT g.first_index, g.anchor_on, g.zone, g.hour, g.interval_unit, g.interval_count, p.name AS plan, \
                 p.version AS plan_version FROM segments g JOIN plans p ON p.id = g.plan_id \
                 WHERE g.subscription_id = $1 ORDER BY g.first_index",
            )
            .bind(subscription_id),
        )
        .await
    }
}
