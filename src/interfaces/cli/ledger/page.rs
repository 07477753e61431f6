//! What is known of the fence, as a page and as JSON.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::super::NotFound;
use super::super::output::{Amount, Page, Table, cut, minute, or_dash, time};
use super::super::spreadsheet::Spreadsheet;
use super::marks::{NodeMark, marks};
use crate::clock::Instant;
use crate::config::Settings;
use crate::engine::left::still_to_be_looked_up;
use crate::engine::open::pins_of;
use crate::store::Store;
use crate::store::fences::{AdoptedRow, FenceRow, FenceStateRow, LastKnownRow};
use crate::store::installation::InstallationRow;

/// Fences are read so far back.
const FENCES: u32 = 1_000;
/// What to do about refunds. A payment that is refunded is mostly one of the month before, so the span covers a month and the days in which
/// a period is charged, however young the backup is.
const REFUNDS: &str =
    "compare with the gateway: dues verify --gateway --since 35d, longer where older payments were refunded";
/// Adopted payments that a page lists; the JSON has all.
const ADOPTED: u32 = 50;

/// All that is known of the fence.
#[derive(Debug)]
pub struct Fenced {
    installation: InstallationRow,
    /// The first pin that the config does not agree with.
    differs: Option<String>,
    /// The fence as it stands.
    pub state: FenceStateRow,
    fences: Vec<FenceRow>,
    nodes: Vec<NodeMark>,
    /// From when payments were adopted that are shown.
    adopted_since: Option<Instant>,
    adopted: Vec<AdoptedRow>,
    /// Charges that are still to be looked up: what was adopted is the list so far.
    pub left: u64,
    lost: Option<Lost>,
}

/// What a restore may have lost.
#[derive(Debug)]
struct Lost {
    /// The last heartbeat in the books as they came back; none where nothing tells it.
    from: Option<Instant>,
    /// When it was seen that they had been set back.
    until: Instant,
    known: LastKnownRow,
}

/// One kind of act that no look-up brings back: what, when and whose the last one in the books is, and what to do.
type Kind<'a> = (&'static str, Option<Instant>, Option<&'a str>, &'static str);

impl Fenced {
    /// Reads it.
    ///
    /// # Errors
    /// [`NotFound`] where nobody has begun these books; [`crate::store::StoreError`].
    pub async fn read(settings: &Settings, store: &Store) -> anyhow::Result<Fenced> {
        let Some(installation) = store.installation().await? else {
            return Err(
                NotFound("nobody has begun these books: no daemon and no import has used them yet".to_owned()).into()
            );
        };
        let differs = match installation.admit(&pins_of(settings)) {
            Ok(()) => None,
            Err(error) if error.is_of_other_books() => Some(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        let state = store.fence_state().await?;
        let fences = store.fences(FENCES).await?;
        let oldest_open = fences.iter().rev().find(|fence| is_open(fence));
        let adopted_since = oldest_open.or(fences.first()).map(|fence| fence.raised_at);
        let adopted = match adopted_since {
            Some(since) => store.adopted_since(since).await?,
            None => Vec::new(),
        };
        let lost = match span_of(&fences) {
            Some((from, until)) => Some(Lost { from, until, known: store.last_known(from.unwrap_or(until)).await? }),
            None => None,
        };
        let nodes = marks(settings, store).await?;
        let (ages, lease) = (&settings.audit.ages, settings.protocol.lease);
        let left = still_to_be_looked_up(store, state.continuity_from, ages, lease).await?;
        Ok(Fenced { installation, differs, state, fences, nodes, adopted_since, adopted, left, lost })
    }

    /// The number of the fence that was raised last.
    pub fn last_fence(&self) -> i64 {
        self.fences.first().map_or(0, |fence| fence.id)
    }

    /// The page, with so many fences at most.
    ///
    /// # Errors
    /// Where a row holds no currency.
    pub fn page(&self, limit: u32) -> anyhow::Result<Page> {
        let state = &self.state;
        let held = state.held_at.map(|at| {
            let reason = state.held_reason.as_deref().unwrap_or("unknown");
            format!("since {}: {reason}; nothing is sent until `dues ledger acknowledge`", time(at))
        });
        let braked = state.braked_at.map(|at| {
            let reason = state.braked_reason.as_deref().unwrap_or("unknown");
            format!("since {}: {reason}; lifted by `dues resume-collecting`", time(at))
        });
        let lost = self.lost.as_ref().map(Lost::told);
        let mut page = Page::default()
            .field("ledger", &self.installation.ledger_id)
            .field("environment", format!("{} at {}", self.installation.environment, self.installation.gateway_host))
            .maybe("config", self.differs.as_deref())
            .field("begun", time(state.started_at))
            .field("last heartbeat", time(state.heartbeat_at))
            .maybe("timeline", state.timeline.as_deref())
            .field(
                "looked up first",
                state.continuity_from.map_or("nothing".to_owned(), |at| format!("what fell due before {}", time(at))),
            )
            .field("held", held.unwrap_or_else(|| "no".to_owned()))
            .maybe("braked", braked)
            .maybe("adopted", self.adopted_sums()?)
            .field("still to be looked up", self.left_told())
            .maybe("may be lost", lost)
            .section("Fences, the newest first", self.fence_table(limit))
            .section("Sends by daemon", self.mark_table());
        if !self.adopted.is_empty() {
            page = page.section("Payments that the books did not know", self.adopted_table()?);
        }
        if let Some(lost) = &self.lost {
            page = page.section("What no look-up brings back", lost.table());
        }
        Ok(page)
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// Where a row holds no currency.
    pub fn json(&self) -> anyhow::Result<Value> {
        let state = &self.state;
        let stopped =
            |at: Option<Instant>, reason: &Option<String>| at.map(|at| json!({ "since": at, "reason": reason }));
        let adopted = self.adopted.iter().map(|row| {
            let amount = Amount::of(row.amount_minor, &row.currency)?;
            Ok(json!({
                "at": row.at, "payment_id": row.detail, "subscription_reference": row.subscription,
                "period_index": row.period_index, "amount_minor": amount.minor, "amount": amount.decimal,
                "currency": amount.currency,
            }))
        });
        Ok(json!({
            "ledger_id": self.installation.ledger_id,
            "environment": self.installation.environment,
            "gateway_host": self.installation.gateway_host,
            "channel": self.installation.channel,
            "config_differs": self.differs,
            "started_at": state.started_at,
            "heartbeat_at": state.heartbeat_at,
            "timeline": state.timeline,
            "continuity_from": state.continuity_from,
            "held": stopped(state.held_at, &state.held_reason),
            "braked": stopped(state.braked_at, &state.braked_reason),
            "fences": self.fences.iter().map(fence_json).collect::<Vec<_>>(),
            "nodes": self.nodes.iter().map(|it| json!({
                "node": it.node.name, "heartbeat_at": it.node.heartbeat_at, "sends": it.node.sends, "file": it.shown(),
                "file_sends": it.outside(), "lost_sends": it.lost(),
            })).collect::<Vec<_>>(),
            "adopted_since": self.adopted_since,
            "adopted": adopted.collect::<anyhow::Result<Vec<_>>>()?,
            "still_to_be_looked_up": self.left,
            "may_be_lost": self.lost.as_ref().map(Lost::json),
        }))
    }

    fn left_told(&self) -> String {
        match self.left {
            0 => "nothing".to_owned(),
            1 => "1 charge; more may be adopted".to_owned(),
            several => format!("{several} charges; more may be adopted"),
        }
    }

    /// The fences as CSV, with so many at most.
    ///
    /// # Errors
    /// Where standard output fails.
    pub fn spreadsheet(&self, limit: u32) -> anyhow::Result<()> {
        Spreadsheet::print(FENCE_COLUMNS, cut(self.fences.iter().collect(), limit).into_iter().map(fence_json))
    }

    fn adopted_sums(&self) -> anyhow::Result<Option<String>> {
        let Some(since) = self.adopted_since.filter(|_| !self.adopted.is_empty()) else { return Ok(None) };
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for row in &self.adopted {
            *sums.entry(&row.currency).or_default() += row.amount_minor;
        }
        let sums = sums.into_iter().map(|(currency, minor)| Ok(Amount::of(minor, currency)?.shown()));
        let sums = sums.collect::<anyhow::Result<Vec<_>>>()?.join(", ");
        Ok(Some(format!("{} payments of {sums} since {}; they are not charged again", self.adopted.len(), time(since))))
    }

    fn fence_table(&self, limit: u32) -> Table {
        let headings = &["RAISED (UTC)", "REASON", "HOLDS", "LOST SENDS", "BY", "ACKNOWLEDGED (UTC)", "DETAIL"];
        let fences: Vec<&FenceRow> = cut(self.fences.iter().collect(), limit);
        Table::new(headings).right(&["LOST SENDS"]).rows(fences.into_iter().map(|fence| {
            let by = fence.acknowledged_at.zip(fence.acknowledged_by.as_deref());
            [
                minute(Some(fence.raised_at)),
                fence.reason.clone(),
                if fence.holds == 1 { "yes" } else { "no" }.to_owned(),
                fence.lost_sends.to_string(),
                fence.node.clone(),
                by.map_or(or_dash(None), |(at, by)| format!("{} {by}", minute(Some(at)))),
                fence.detail.clone(),
            ]
        }))
    }

    fn mark_table(&self) -> Table {
        let headings = &["NODE", "SEEN (UTC)", "IN THE BOOKS", "IN THE FILE", "LOST"];
        Table::new(headings).right(&["IN THE BOOKS", "IN THE FILE", "LOST"]).rows(self.nodes.iter().map(|it| {
            [
                it.node.name.clone(),
                minute(Some(it.node.heartbeat_at)),
                it.node.sends.to_string(),
                it.shown(),
                it.lost().map_or(or_dash(None), |lost| lost.to_string()),
            ]
        }))
    }

    fn adopted_table(&self) -> anyhow::Result<Table> {
        let mut table = Table::new(&["AT (UTC)", "SUBSCRIPTION", "PERIOD", "AMOUNT", "PAYMENT"]).right(&["AMOUNT"]);
        for row in cut(self.adopted.iter().collect(), ADOPTED) {
            table.push([
                minute(Some(row.at)),
                row.subscription.clone(),
                row.period_index.to_string(),
                Amount::of(row.amount_minor, &row.currency)?.shown(),
                or_dash(row.detail.as_deref()),
            ]);
        }
        Ok(table)
    }
}

impl Lost {
    fn told(&self) -> String {
        let what = "cancellations, pauses, decisions, refunds, prices, imports and erasures made";
        match self.from {
            Some(from) if from <= self.until => format!(
                "{what} between {}, the last heartbeat in these books, and {}: {}",
                time(from),
                time(self.until),
                span(self.until - from)
            ),
            Some(from) => format!("{what} before {}; the clock was set back since {}", time(self.until), time(from)),
            None => format!("{what} since the backup that was restored, up to {}", time(self.until)),
        }
    }

    fn kinds(&self) -> [Kind<'_>; 7] {
        let known = &self.known;
        [
            (
                "cancellations",
                known.canceled_at,
                known.canceled.as_deref(),
                "enter those of the shop since then again: dues subscription cancel",
            ),
            ("refunds", known.refunded_at, known.refunded.as_deref(), REFUNDS),
            (
                "prices",
                known.priced_at,
                known.priced.as_deref(),
                "hold the plans in the config against what was agreed: dues check",
            ),
            (
                "imports",
                known.entered_at,
                known.entered.as_deref(),
                "import the files since then again: what is there already is left as it is",
            ),
            ("pauses", None, None, "dues subscription pause, resume: who was paused since then would be charged"),
            (
                "decisions",
                None,
                None,
                "dues charge void, retry; dues review resolve; dues plans --accept: the old books' journal tells them (docs/restore.md)",
            ),
            ("erasures", None, None, "erased customers are back: dues customer erase"),
        ]
    }

    fn table(&self) -> Table {
        Table::new(&["WHAT", "LAST IN THE BOOKS (UTC)", "WHOSE", "DETAIL"]).rows(
            self.kinds().map(|(what, at, whose, step)| [what.to_owned(), minute(at), or_dash(whose), step.to_owned()]),
        )
    }

    fn json(&self) -> Value {
        let kinds = self.kinds().map(|(what, at, whose, step)| {
            json!({ "what": what, "last_known_at": at, "last_known": whose, "next_step": step })
        });
        json!({ "from": self.from, "until": self.until, "kinds": kinds })
    }
}

/// A fence that an operator is waited for.
fn is_open(fence: &FenceRow) -> bool {
    fence.holds == 1 && fence.acknowledged_at.is_none()
}

/// From when to when acts may be lost; none where no fence says that books were set back. A stranger tells that they were and not
/// when: then the fence before it does, which was raised when they came back.
fn span_of(fences: &[FenceRow]) -> Option<(Option<Instant>, Instant)> {
    let open = fences.iter().rev().find(|fence| is_open(fence) && fence.reason != "clock")?;
    if open.reason != "stranger" {
        return Some((open.heartbeat_at, open.raised_at));
    }
    let told = |fence: &&FenceRow| {
        fence.id < open.id
            && matches!(fence.reason.as_str(), "gap" | "future" | "rewound" | "timeline" | "no_file" | "asked")
    };
    match fences.iter().find(told) {
        Some(before) => Some((before.heartbeat_at, before.raised_at)),
        None => Some((None, open.raised_at)),
    }
}

/// The keys of a fence in JSON, in the order in which CSV has them.
const FENCE_COLUMNS: &[&str] = &[
    "raised_at",
    "reason",
    "holds",
    "lost_sends",
    "node",
    "heartbeat_before_at",
    "acknowledged_at",
    "acknowledged_by",
    "detail",
];

fn fence_json(fence: &FenceRow) -> Value {
    json!({
        "raised_at": fence.raised_at,
        "node": fence.node,
        "reason": fence.reason,
        "detail": fence.detail,
        "holds": fence.holds == 1,
        "lost_sends": fence.lost_sends,
        "heartbeat_before_at": fence.heartbeat_at,
        "acknowledged_at": fence.acknowledged_at,
        "acknowledged_by": fence.acknowledged_by,
    })
}

/// A span of time in its two largest units.
pub fn span(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(id: i64, reason: &str, holds: bool, hour: u32) -> FenceRow {
        let at = |hour: u32| format!("2026-05-03T{hour:02}:00:00Z").parse().unwrap();
        FenceRow {
            id,
            raised_at: at(hour),
            node: "one".to_owned(),
            reason: reason.to_owned(),
            detail: String::new(),
            lost_sends: 0,
            holds: i64::from(holds),
            acknowledged_at: None,
            acknowledged_by: None,
            heartbeat_at: Some(at(hour - 1)),
        }
    }

    #[test]
    fn what_may_be_lost_begins_at_the_last_heartbeat_before_the_books_came_back() {
        let hours = |fences: &[FenceRow]| {
            let hour = |at: Instant| at.format("%H").to_string();
            span_of(fences).map(|(from, until)| (from.map(hour), hour(until)))
        };
        let told = |from: Option<&str>, until: &str| Some((from.map(str::to_owned), until.to_owned()));
        assert_eq!(hours(&[]), None);
        assert_eq!(hours(&[fence(1, "gap", false, 9)]), None, "plain downtime loses nothing");
        assert_eq!(hours(&[fence(1, "clock", true, 9)]), None);
        assert_eq!(hours(&[fence(1, "rewound", true, 9)]), told(Some("08"), "09"));
        let with_file = [fence(3, "stranger", true, 12), fence(2, "gap", false, 9), fence(1, "gap", false, 4)];
        assert_eq!(hours(&with_file), told(Some("08"), "09"));
        assert_eq!(hours(&[fence(1, "stranger", true, 12)]), told(None, "12"));
        let read =
            FenceRow { acknowledged_at: Some("2026-05-03T10:00:00Z".parse().unwrap()), ..fence(1, "rewound", true, 9) };
        assert_eq!(hours(&[read]), None);
    }

    #[test]
    fn a_span_has_its_two_largest_units() {
        let spans = [(5, "5 s"), (65, "1 min 5 s"), (3_660, "1 h 1 min"), (3 * 86_400 + 7_200, "3 d 2 h"), (-3, "0 s")];
        for (seconds, told) in spans {
            assert_eq!(span(TimeDelta::seconds(seconds)), told);
        }
    }
}
