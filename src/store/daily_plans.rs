//! Daily plans: how many charges a day would send for the first time, frozen before it begins; what was granted beyond it, and what
//! was sent. Days are UTC.

use chrono::NaiveDate;

use super::db::{Rows, Statement, Tx};
use super::{Store, StoreError};
use crate::cells;
use crate::clock::Instant;
use crate::row;

row! {
    /// One day's plan in one currency.
    pub DailyPlanRow {
        /// The day, YYYY-MM-DD.
        day: String,
        /// The currency.
        currency: String,
        /// Charges planned.
        planned_count: i64,
        /// Their sum.
        planned_minor: i64,
        /// Charges granted by acknowledged acts.
        granted_count: i64,
        /// Their sum.
        granted_minor: i64,
        /// Charges sent.
        sent_count: i64,
        /// Their sum.
        sent_minor: i64,
        /// The price of one charge, on average over those planned, or over the plans of this currency where none is.
        usual_minor: i64,
        /// Charges that the days before planned and did not send, or that stand created since longer ago.
        carried_count: i64,
        /// Their sum.
        carried_minor: i64,
    }
}

/// First sends of one day in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amounts {
    /// The currency.
    pub currency: String,
    /// How many.
    pub count: i64,
    /// Their sum.
    pub amount_minor: i64,
}

/// What falls due on a day, by currency: subscriptions whose next period begins then, those of one day that begin anew each day, and
/// intents that wait for it. Intents from before the day of freezing stand beside the plan. `$1` is the day's text, `$2` its first instant,
/// `$3` the first after it, `$4` when it is frozen, `$5` the first instant of the day before.
const FREEZE: &str = "INSERT INTO daily_plans (day, currency, frozen_at, planned_count, planned_minor, standing_count, standing_minor) \
     SELECT $1, u.currency, $4, CAST(SUM(u.n) AS BIGINT), CAST(SUM(u.minor) AS BIGINT), CAST(SUM(u.standing) AS BIGINT), \
     CAST(SUM(u.standing_minor) AS BIGINT) FROM ( \
         SELECT k.code AS currency, 0 AS n, 0 AS minor, 0 AS standing, 0 AS standing_minor FROM currencies k \
         UNION ALL SELECT p.currency, 1, p.amount_minor, 0, 0 FROM subscriptions s \
             JOIN segments g ON g.subscription_id = s.id AND g.first_index = (SELECT MAX(h.first_index) FROM segments h \
                 WHERE h.subscription_id = s.id AND h.first_index <= s.next_index) \
             JOIN plans p ON p.id = g.plan_id \
             WHERE s.state IN ('trialing', 'active', 'past_due') AND s.bill_at < $3 \
             AND (s.next_charge_at >= $2 OR $4 >= $2 OR (g.interval_unit = 'day' AND g.interval_count = 1)) \
         UNION ALL SELECT c.currency, 1, c.amount_minor, 0, 0 FROM attempts a JOIN charges c ON c.id = a.charge_id \
             WHERE a.state = 'created' AND a.kind = 'recurring' AND a.n = 1 AND a.next_at < $3 \
             AND (a.next_at >= $2 OR $4 >= $2) \
         UNION ALL SELECT c.currency, 0, 0, 1, c.amount_minor FROM attempts a JOIN charges c ON c.id = a.charge_id \
             WHERE a.state = 'created' AND a.kind = 'recurring' AND a.n = 1 AND a.next_at < $2 \
             AND a.created_at < $5 AND $4 < $2 \
     ) u GROUP BY u.currency ON CONFLICT (day, currency) DO NOTHING";

impl Tx {
    /// Plans a day from the books as they stand; does nothing where it is planned already.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn freeze_day(&mut self, day: NaiveDate, now: Instant) -> Result<(), StoreError> {
        let starts = day.and_time(chrono::NaiveTime::MIN).and_utc();
        let ends = starts + chrono::TimeDelta::days(1);
        let before = starts - chrono::TimeDelta::days(1);
        self.run(Statement::new(FREEZE).bind(day.to_string()).bind(starts).bind(ends).bind(now).bind(before)).await?;
        Ok(())
    }

    /// A day's plans, one a currency; none where it was not planned.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn daily_plans(&mut self, day: NaiveDate) -> Result<Vec<DailyPlanRow>, StoreError> {
        self.all(plans_of(day)).await
    }

    /// Counts first sends of a day, less those that were proven not to have been sent.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn count_first_sends(&mut self, day: NaiveDate, sent: &[Amounts]) -> Result<(), StoreError> {
        if sent.is_empty() {
            return Ok(());
        }
        self.run(
            Statement::new(
                "UPDATE daily_plans SET sent_count = CASE WHEN sent_count + v.n > 0 THEN sent_count + v.n ELSE 0 END, \
                 sent_minor = CASE WHEN sent_minor + v.minor > 0 THEN sent_minor + v.minor ELSE 0 END FROM {v} \
                 WHERE daily_plans.day = $1 AND daily_plans.currency = v.currency",
            )
            .bind(day.to_string())
            .rows("v", set_of(sent)),
        )
        .await?;
        Ok(())
    }

    /// Grants more for a day, by an act that somebody has acknowledged.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn grant(&mut self, day: NaiveDate, granted: &[Amounts]) -> Result<(), StoreError> {
        if granted.is_empty() {
            return Ok(());
        }
        self.run(
            Statement::new(
                "UPDATE daily_plans SET granted_count = granted_count + v.n, granted_minor = granted_minor + v.minor \
                 FROM {v} WHERE daily_plans.day = $1 AND daily_plans.currency = v.currency",
            )
            .bind(day.to_string())
            .rows("v", set_of(granted)),
        )
        .await?;
        Ok(())
    }

    /// Stops collecting, for every daemon. Whether it ran until now.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn brake(&mut self, reason: &str, now: Instant) -> Result<bool, StoreError> {
        let braked = self
            .run(
                Statement::new(
                    "UPDATE installation SET braked_at = $1, braked_reason = $2 WHERE id = 1 AND braked_at IS NULL",
                )
                .bind(now)
                .bind(reason),
            )
            .await?;
        Ok(braked > 0)
    }

    /// Lets collecting go on: brings forward what was put off until then, and grants what waits to be sent by the end of `day` and is not
    /// owed by earlier days. What was granted; none where nothing was stopped.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn release_brake(&mut self, day: NaiveDate, now: Instant) -> Result<Option<Vec<Amounts>>, StoreError> {
        let released = self
            .run(Statement::new(
                "UPDATE installation SET braked_at = NULL, braked_reason = NULL WHERE id = 1 AND braked_at IS NOT NULL",
            ))
            .await?;
        if released == 0 {
            return Ok(None);
        }
        self.bring_forward(now).await?;
        let waiting: Vec<WaitingRow> = self.all(Statement::new(WAITING).bind(end_of(day))).await?;
        let plans = self.daily_plans(day).await?;
        let mut granted = amounts_of(waiting);
        for it in &mut granted {
            if let Some(plan) = plans.iter().find(|plan| plan.currency == it.currency) {
                // What was sent was of the day's own plan first.
                let beyond = plan.sent_count - plan.planned_count - plan.granted_count;
                let beyond_minor = plan.sent_minor - plan.planned_minor - plan.granted_minor;
                let owed = plan.carried_count.max(0) - beyond.max(0);
                let owed_minor = plan.carried_minor.max(0) - beyond_minor.max(0);
                it.count = (it.count - owed.max(0)).max(0);
                it.amount_minor = (it.amount_minor - owed_minor.max(0)).max(0);
            }
        }
        self.grant(day, &granted).await?;
        Ok(Some(granted))
    }
}

row! { WaitingRow { currency: String, n: i64, minor: i64 } }

const WAITING: &str = "SELECT c.currency, COUNT(*) AS n, CAST(SUM(c.amount_minor) AS BIGINT) AS minor FROM attempts a \
     JOIN charges c ON c.id = a.charge_id WHERE a.state = 'created' AND a.kind = 'recurring' AND a.n = 1 AND a.next_at < $1 \
     GROUP BY c.currency ORDER BY c.currency";

/// What days before owe to this one: what those of `$2` and later planned and did not send; or, where that is more, what stood created
/// when this plan was frozen, with what the day before (`$3`) added to it, as far as days of `$4` and later planned or granted it.
macro_rules! carried {
    ($of:literal) => {
        concat!(
            "CAST(CASE WHEN d.standing_",
            $of,
            " = 0 OR COALESCE(m.",
            $of,
            ", 0) <= COALESCE(w.",
            $of,
            ", 0) OR d.standing_",
            $of,
            " + COALESCE(y.",
            $of,
            ", 0) <= COALESCE(w.",
            $of,
            ", 0) THEN COALESCE(w.",
            $of,
            ", 0) WHEN d.standing_",
            $of,
            " + COALESCE(y.",
            $of,
            ", 0) < m.",
            $of,
            " THEN d.standing_",
            $of,
            " + COALESCE(y.",
            $of,
            ", 0) ELSE m.",
            $of,
            " END AS BIGINT) AS carried_",
            $of
        )
    };
}

/// What the days from one on planned or granted and did not send.
macro_rules! left_by {
    ($name:literal, $days:literal) => {
        concat!(
            "LEFT JOIN (SELECT e.currency, SUM(e.planned_count + e.granted_count - e.sent_count) AS count, \
             SUM(e.planned_minor + e.granted_minor - e.sent_minor) AS minor FROM daily_plans e WHERE ",
            $days,
            " GROUP BY e.currency) ",
            $name,
            " ON ",
            $name,
            ".currency = d.currency "
        )
    };
}

const PLANS_OF_DAY: &str = concat!(
    "SELECT d.day, d.currency, d.planned_count, d.planned_minor, d.granted_count, d.granted_minor, \
     d.sent_count, d.sent_minor, CAST(CASE WHEN d.planned_count > 0 THEN d.planned_minor / d.planned_count \
     ELSE COALESCE((SELECT AVG(p.amount_minor) FROM plans p WHERE p.currency = d.currency), 0) END AS BIGINT) AS usual_minor, ",
    carried!("count"),
    ", ",
    carried!("minor"),
    " FROM daily_plans d ",
    left_by!("w", "e.day < $1 AND e.day >= $2"),
    left_by!("y", "e.day = $3"),
    left_by!("m", "e.day < $1 AND e.day >= $4"),
    "WHERE d.day = $1 ORDER BY d.currency"
);

/// What was planned and not sent is owed to later days for so long.
const CARRIED_FOR: chrono::Days = chrono::Days::new(7);

/// And for so long where it has stood created since, as under a hold.
const REMEMBERED_FOR: chrono::Days = chrono::Days::new(35);

fn set_of(amounts: &[Amounts]) -> Rows {
    let mut rows = Rows::new(&["currency", "n", "minor"], "tii");
    for it in amounts {
        rows.push(cells![it.currency.as_str(), it.count, it.amount_minor]);
    }
    rows
}

fn plans_of(day: NaiveDate) -> Statement {
    let before = day - chrono::Days::new(1);
    Statement::new(PLANS_OF_DAY)
        .bind(day.to_string())
        .bind((day - CARRIED_FOR).to_string())
        .bind(before.to_string())
        .bind((day - REMEMBERED_FOR).to_string())
}

fn amounts_of(waiting: Vec<WaitingRow>) -> Vec<Amounts> {
    let amounts = |row: WaitingRow| Amounts { currency: row.currency, count: row.n, amount_minor: row.minor };
    waiting.into_iter().map(amounts).collect()
}

fn end_of(day: NaiveDate) -> Instant {
    day.and_time(chrono::NaiveTime::MIN).and_utc() + chrono::TimeDelta::days(1)
}

impl Store {
    /// What waits to be sent for the first time by the end of a day, by currency.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn waiting_by(&self, day: NaiveDate) -> Result<Vec<Amounts>, StoreError> {
        Ok(amounts_of(self.read(Statement::new(WAITING).bind(end_of(day))).await?))
    }

    /// The plans of a day, for people.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn plans_of_day(&self, day: NaiveDate) -> Result<Vec<DailyPlanRow>, StoreError> {
        self.read(plans_of(day)).await
    }
}
