//! `/metrics`: figures of this daemon and of its books, in Prometheus' text format. Names and units follow its conventions; no label holds
//! a name, an id or a text of anybody's. Figures of the books are the same from every daemon on them, and their help says so.

use std::fmt::Display;
use std::fmt::Write as _;
use std::time::Duration;

use super::health::Health;
use crate::clock::Instant;
use crate::engine::GateFigures;
use crate::engine::audit::AuditFigures;
use crate::engine::beat::ALIVE_WITHIN;
use crate::store::figures::{FiguresRow, OldestRow};
use crate::store::{Store, StoreError};

/// The text format's version.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Books that say nothing for so long are left out: what the daemon knows by itself is told all the same.
const BOOKS_WITHIN: Duration = Duration::from_secs(3);

/// What is said of a figure that is not one daemon's.
const SHARED: &str =
    "Of the database: every daemon on it tells the same, so take the maximum over daemons, not the sum.";

/// How much stands where in the books.
#[derive(Debug)]
struct Books {
    now: Instant,
    figures: FiguresRow,
    oldest: OldestRow,
    living: usize,
    held_at: Option<Instant>,
    /// By how many seconds the database's clock is ahead of the gateway's; none where that was not heard.
    ahead: Option<i64>,
    braked: bool,
}

/// All figures.
pub(super) async fn read(health: &Health) -> String {
    let books = match health.store() {
        Some(store) => tokio::time::timeout(BOOKS_WITHIN, Books::read(store, health)).await.ok().and_then(Result::ok),
        None => None,
    };
    let own = Own {
        started_at: Some(health.started_at()),
        parts: health.parts().to_vec(),
        reload_was_taken_up: health.last_reload_was_taken_up(),
        plans_withheld: health.plans_withheld(),
        moved: health.rows_moved(),
        gate: health.gate_figures(),
        unknown_limit_is_passed: health.unknown_limit_is_passed(),
        audit: health.audit_figures(),
    };
    text(&own, books.as_ref())
}

/// What the daemon knows by itself.
#[derive(Debug, Default)]
struct Own {
    started_at: Option<Instant>,
    /// Each part, and whether it is ready.
    parts: Vec<(&'static str, bool)>,
    reload_was_taken_up: bool,
    plans_withheld: usize,
    moved: Vec<(&'static str, usize)>,
    gate: Option<GateFigures>,
    unknown_limit_is_passed: Option<bool>,
    audit: Option<AuditFigures>,
}

impl Books {
    async fn read(store: &Store, health: &Health) -> Result<Books, StoreError> {
        let now = store.now().await?;
        let ahead = health.gateway_now().map(|gateway| (now - gateway).num_seconds());
        let fence = store.fence_state().await?;
        let alive = |heartbeat_at| now - heartbeat_at < ALIVE_WITHIN;
        let nodes = store.nodes().await?;
        Ok(Books {
            now,
            figures: store.figures(now).await?,
            living: nodes.iter().filter(|node| node.stopped_at.is_none() && alive(node.heartbeat_at)).count(),
            oldest: store.oldest().await?,
            held_at: fence.held_at,
            ahead,
            braked: fence.braked_at.is_some(),
        })
    }
}

/// What is written, line by line.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    /// A family with its help and the values of its labels.
    fn family<V: Display>(&mut self, name: &str, kind: &str, help: &str, values: &[(&str, V)]) {
        let mut write = || {
            writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
            values.iter().try_for_each(|(labels, value)| writeln!(self.0, "{name}{labels} {value}"))
        };
        // A text takes whatever is written to it.
        let _never_fails: std::fmt::Result = write();
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help, &[("", value)]);
    }

    /// A figure that every daemon on the same books tells alike.
    fn of_books(&mut self, name: &str, help: &str, value: impl Display) {
        self.gauge(name, &format!("{help} {SHARED}"), value);
    }
}

fn text(own: &Own, books: Option<&Books>) -> String {
    let mut page = Page::default();
    of_process(&mut page, own);
    page.gauge(
        "dues_database_up",
        "Whether the database answers a read (1) or not (0); whether it takes writes, dues_ready tells.",
        u8::from(books.is_some()),
    );
    let labels: Vec<(String, usize)> =
        own.moved.iter().map(|(verb, rows)| (format!("{{verb=\"{verb}\"}}"), *rows)).collect();
    let labels: Vec<(&str, usize)> = labels.iter().map(|(labels, rows)| (labels.as_str(), *rows)).collect();
    page.family(
        "dues_rows_moved_total",
        "counter",
        "Rows that this daemon has moved since it started, by verb.",
        &labels,
    );
    if let Some(gate) = &own.gate {
        of_gate(&mut page, gate);
    }
    if let Some(is_passed) = own.unknown_limit_is_passed {
        page.gauge(
            "dues_unknown_limit_passed",
            "Whether more outcomes are unknown than protocol.unknown_limit lets be, so that this daemon sends one request every half minute (1) or not (0).",
            u8::from(is_passed),
        );
    }
    if let Some(audit) = &own.audit {
        of_audit(&mut page, audit);
    }
    if let Some(books) = books {
        of_books(&mut page, books);
    }
    page.0
}

fn of_process(page: &mut Page, own: &Own) {
    let version = concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
    page.family("dues_build_info", "gauge", "1 for the version that runs.", &[(version, 1)]);
    let started: Vec<(&str, i64)> = own.started_at.iter().map(|at| ("", at.timestamp())).collect();
    page.family("dues_start_time_seconds", "gauge", "When this daemon was started, in Unix time.", &started);
    let labels: Vec<(String, u8)> =
        own.parts.iter().map(|(part, ready)| (format!("{{part=\"{part}\"}}"), u8::from(*ready))).collect();
    let labels: Vec<(&str, u8)> = labels.iter().map(|(labels, ready)| (labels.as_str(), *ready)).collect();
    page.family(
        "dues_ready",
        "gauge",
        "Whether this part of the daemon is ready (1) or not (0): what /readyz tells in words.",
        &labels,
    );
    page.gauge(
        "dues_config_last_reload_successful",
        "Whether the last reload was taken up (1) or refused (0), which leaves the old config in use.",
        u8::from(own.reload_was_taken_up),
    );
    page.gauge(
        "dues_plans_withheld",
        "Plans whose price in the config waits for `dues plans --accept PLAN --reason TEXT`.",
        own.plans_withheld,
    );
}

fn of_gate(page: &mut Page, gate: &GateFigures) {
    let open = u8::from(gate.cause.is_some());
    page.gauge(
        "dues_gateway_circuit_open",
        "Whether this daemon holds requests to the gateway back (1) or not (0).",
        open,
    );
    let is = |cause| u8::from(gate.cause == Some(cause));
    page.family(
        "dues_gateway_circuit_cause",
        "gauge",
        "Why they are held back: 1 for the cause that does.",
        &[
            ("{cause=\"server_trouble\"}", is("server_trouble")),
            ("{cause=\"rate_limited\"}", is("rate_limited")),
            ("{cause=\"refused\"}", is("refused")),
        ],
    );
    let kinds = [("{kind=\"write\"}", gate.writes), ("{kind=\"read\"}", gate.reads)];
    let granted: Vec<(&str, u32)> =
        kinds.iter().filter_map(|(kind, budget)| budget.per_second.map(|rate| (*kind, rate))).collect();
    page.family(
        "dues_gateway_budget_requests_per_second",
        "gauge",
        "Requests a second that this daemon may make now; none where there is no limit.",
        &granted,
    );
    page.family(
        "dues_gateway_requests_total",
        "counter",
        "Requests that this daemon has made since it started.",
        &kinds.map(|(kind, budget)| (kind, budget.spent)),
    );
}

fn of_books(page: &mut Page, books: &Books) {
    let figures = &books.figures;
    let late = figures.oldest_due_at.map_or(0, |at| (books.now - at).num_seconds().max(0));
    page.of_books("dues_nodes_living", "Daemons on these books that came round lately.", books.living);
    page.of_books(
        "dues_held",
        "Whether nothing is sent until an operator acknowledges (1) or not (0).",
        u8::from(books.held_at.is_some()),
    );
    page.of_books("dues_braked", "Whether collecting is stopped by the brake (1) or not (0).", u8::from(books.braked));
    page.of_books("dues_periods_due", "Billing periods that have begun and are not opened yet.", figures.periods_due);
    page.of_books("dues_attempts_due", "Attempts whose time to be sent has come.", figures.attempts_due);
    page.of_books("dues_lateness_seconds", "How long the oldest of them waits.", late);
    page.of_books("dues_attempts_sending", "Attempts that may be on the wire.", figures.sending);
    page.of_books("dues_attempts_pending", "Payments whose outcome the gateway has not told.", figures.pending);
    page.of_books("dues_attempts_unknown", "Attempts of which nothing is proven.", figures.unknown);
    page.of_books(
        "dues_attempts_unknown_against_limit",
        "Those of them of which a look-up has found nothing although their answer was lost and their key lives: \
         protocol.unknown_limit is held against these.",
        figures.held_back,
    );
    page.of_books("dues_review_cases_open", "Review cases that wait for a person.", figures.reviews);
    of_oldest(page, books);
    if let Some(ahead) = books.ahead {
        page.of_books(
            "dues_database_clock_ahead_of_gateway_seconds",
            "The database's clock less the gateway's, which is told in whole seconds; negative where it is behind.",
            ahead,
        );
    }
}

/// Ages, in whole seconds; 0 where nothing stands so.
fn of_oldest(page: &mut Page, books: &Books) {
    let oldest = &books.oldest;
    let age = |since: Option<Instant>| since.map_or(0, |at| (books.now - at).num_seconds().max(0));
    page.of_books(
        "dues_attempts_pending_oldest_age_seconds",
        "Since the oldest pending payment was sent first.",
        age(oldest.pending_since),
    );
    page.of_books(
        "dues_attempts_unknown_oldest_age_seconds",
        "For how long the oldest unknown outcome is unknown.",
        age(oldest.unknown_since),
    );
    page.of_books(
        "dues_review_cases_open_oldest_age_seconds",
        "Since the oldest open review case was opened.",
        age(oldest.review_since),
    );
    page.of_books("dues_hold_age_seconds", "For how long an operator is waited for.", age(books.held_at));
    page.of_books(
        "dues_charges_held",
        "Charges that wait for a person to say whether they are billed.",
        oldest.charges_held,
    );
    page.of_books("dues_charges_held_oldest_age_seconds", "Since the oldest of them fell due.", age(oldest.held_since));
    page.of_books(
        "dues_attempt_sends_max",
        "How often the live attempt that was sent most was sent.",
        oldest.most_sends,
    );
    page.family(
        "dues_fences_raised_total",
        "counter",
        &format!("Times that the books could not be trusted to be the latest, since they were begun. {SHARED}"),
        &[("", oldest.fences_raised)],
    );
}

fn of_audit(page: &mut Page, audit: &AuditFigures) {
    page.family(
        "dues_audit_look_ups_total",
        "counter",
        "Charges that this daemon has looked up again since it started.",
        &[("", audit.look_ups)],
    );
    page.family(
        "dues_audit_differences_total",
        "counter",
        "Review cases that these look-ups opened, and charges that they moved.",
        &[("", audit.differences)],
    );
    // None before the first: an age that grows from the start would alarm where nothing is to be audited.
    let last: Vec<(&str, i64)> = audit.last_at.iter().map(|at| ("", at.timestamp())).collect();
    page.family(
        "dues_audit_last_look_up_timestamp_seconds",
        "gauge",
        "When the last of them was recorded, in Unix time; none before the first.",
        &last,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant_from_micros;
    use crate::engine::BudgetFigures;

    /// Books in which everything that has an age has one.
    fn troubled_books() -> Books {
        let now = instant_from_micros(1_800_000_000_000_000);
        let ago = |seconds| Some(now - chrono::TimeDelta::seconds(seconds));
        Books {
            now,
            figures: FiguresRow {
                periods_due: 1,
                attempts_due: 2,
                oldest_due_at: ago(30),
                tried_next_at: None,
                attempts_waiting: 3,
                sending: 4,
                pending: 5,
                unknown: 6,
                not_found: 0,
                held_back: 3,
                retries_to_come: 0,
                charges_in_review: 0,
                reviews: 7,
            },
            oldest: OldestRow {
                pending_since: ago(90),
                unknown_since: ago(60),
                review_since: ago(3_600),
                charges_held: 8,
                held_since: ago(86_400),
                most_sends: 5,
                fences_raised: 9,
            },
            living: 2,
            held_at: ago(120),
            ahead: Some(-2),
            braked: false,
        }
    }

    #[test]
    fn what_an_alarm_goes_by_is_told_in_base_units_and_no_name_is_said_twice() {
        let now = instant_from_micros(1_800_000_000_000_000);
        let audit = AuditFigures { look_ups: 12, differences: 1, last_at: Some(now) };
        let parts = vec![("database", true), ("gateway", false)];
        let own = Own {
            started_at: Some(now),
            parts,
            plans_withheld: 2,
            unknown_limit_is_passed: Some(true),
            audit: Some(audit),
            ..Own::default()
        };
        let page = text(&own, Some(&troubled_books()));
        for line in [
            "dues_lateness_seconds 30",
            "dues_attempts_pending_oldest_age_seconds 90",
            "dues_attempts_unknown_oldest_age_seconds 60",
            "dues_review_cases_open_oldest_age_seconds 3600",
            "dues_held 1",
            "dues_hold_age_seconds 120",
            "dues_charges_held 8",
            "dues_charges_held_oldest_age_seconds 86400",
            "dues_attempt_sends_max 5",
            "# TYPE dues_fences_raised_total counter",
            "dues_fences_raised_total 9",
            "dues_audit_look_ups_total 12",
            "# TYPE dues_audit_differences_total counter",
            "dues_audit_differences_total 1",
            "dues_audit_last_look_up_timestamp_seconds 1800000000",
            "dues_database_clock_ahead_of_gateway_seconds -2",
            concat!("dues_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "dues_start_time_seconds 1800000000",
            "dues_ready{part=\"database\"} 1",
            "dues_ready{part=\"gateway\"} 0",
            "dues_config_last_reload_successful 0",
            "dues_plans_withheld 2",
            "dues_unknown_limit_passed 1",
            "dues_attempts_unknown_against_limit 3",
        ] {
            assert!(page.lines().any(|it| it == line), "{line} is missing in\n{page}");
        }
        let types: Vec<(&str, &str)> =
            page.lines().filter_map(|it| it.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        let mut names: Vec<&str> = types.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), types.len(), "{page}");
        for (name, kind) in types {
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            assert!(page.contains(&format!("# HELP {name} ")), "{name}");
        }
    }

    #[test]
    fn each_family_has_its_help_and_type_and_unlimited_budgets_have_no_rate() {
        let gate = GateFigures {
            cause: Some("server_trouble"),
            writes: BudgetFigures { per_second: Some(90), spent: 7 },
            reads: BudgetFigures { per_second: None, spent: 9 },
        };
        let page = text(&Own { moved: vec![("bill", 3)], gate: Some(gate), ..Own::default() }, None);
        for line in [
            "# TYPE dues_gateway_circuit_open gauge",
            "dues_gateway_circuit_open 1",
            "dues_gateway_circuit_cause{cause=\"server_trouble\"} 1",
            "dues_gateway_circuit_cause{cause=\"rate_limited\"} 0",
            "dues_gateway_circuit_cause{cause=\"refused\"} 0",
            "dues_gateway_budget_requests_per_second{kind=\"write\"} 90",
            "dues_gateway_requests_total{kind=\"read\"} 9",
            "dues_rows_moved_total{verb=\"bill\"} 3",
            "dues_database_up 0",
        ] {
            assert!(page.lines().any(|it| it == line), "{line} is missing in\n{page}");
        }
        assert!(!page.contains("per_second{kind=\"read\"}") && !page.contains("dues_held"), "{page}");
        assert!(!page.contains("dues_audit"), "{page}");
        let named = page.lines().filter(|it| !it.starts_with('#')).all(|it| it.starts_with("dues_"));
        assert!(named, "{page}");
    }
}
