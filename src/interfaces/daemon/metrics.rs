//! `/metrics`: figures of this daemon and of its books, in Prometheus' text format. Names and units follow its conventions; no label holds
//! a name, an id or a text of anybody's.

use std::fmt::Display;
use std::fmt::Write as _;
use std::time::Duration;

use super::health::Health;
use crate::clock::Instant;
use crate::engine::GateFigures;
use crate::engine::beat::ALIVE_WITHIN;
use crate::store::figures::FiguresRow;
use crate::store::{Store, StoreError};

/// The text format's version.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Books that say nothing for so long are left out: what the daemon knows by itself is told all the same.
const BOOKS_WITHIN: Duration = Duration::from_secs(3);

/// How much stands where in the books.
#[derive(Debug)]
struct Books {
    now: Instant,
    figures: FiguresRow,
    living: usize,
    held: bool,
    braked: bool,
}

/// All figures.
pub(super) async fn read(health: &Health) -> String {
    let books = match health.store() {
        Some(store) => tokio::time::timeout(BOOKS_WITHIN, Books::read(store)).await.ok().and_then(Result::ok),
        None => None,
    };
    text(&health.rows_moved(), health.gate_figures().as_ref(), books.as_ref())
}

impl Books {
    async fn read(store: &Store) -> Result<Books, StoreError> {
        let now = store.now().await?;
        let fence = store.fence_state().await?;
        let alive = |heartbeat_at| now - heartbeat_at < ALIVE_WITHIN;
        let nodes = store.nodes().await?;
        Ok(Books {
            now,
            figures: store.figures(now).await?,
            living: nodes.iter().filter(|node| node.stopped_at.is_none() && alive(node.heartbeat_at)).count(),
            held: fence.held_at.is_some(),
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
}

fn text(moved: &[(&'static str, usize)], gate: Option<&GateFigures>, books: Option<&Books>) -> String {
    let mut page = Page::default();
    page.gauge("dues_database_up", "Whether the database answers (1) or not (0).", u8::from(books.is_some()));
    let labels: Vec<(String, usize)> =
        moved.iter().map(|(verb, rows)| (format!("{{verb=\"{verb}\"}}"), *rows)).collect();
    let labels: Vec<(&str, usize)> = labels.iter().map(|(labels, rows)| (labels.as_str(), *rows)).collect();
    page.family(
        "dues_rows_moved_total",
        "counter",
        "Rows that this daemon has moved since it started, by verb.",
        &labels,
    );
    if let Some(gate) = gate {
        of_gate(&mut page, gate);
    }
    if let Some(books) = books {
        of_books(&mut page, books);
    }
    page.0
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
        &[("{cause=\"server_trouble\"}", is("server_trouble")), ("{cause=\"refused\"}", is("refused"))],
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
    page.gauge("dues_nodes_living", "Daemons on these books that came round lately.", books.living);
    page.gauge(
        "dues_held",
        "Whether nothing is sent until an operator acknowledges (1) or not (0).",
        u8::from(books.held),
    );
    page.gauge("dues_braked", "Whether collecting is stopped by the brake (1) or not (0).", u8::from(books.braked));
    page.gauge("dues_periods_due", "Billing periods that have begun and are not opened yet.", figures.periods_due);
    page.gauge("dues_attempts_due", "Attempts whose time to be sent has come.", figures.attempts_due);
    page.gauge("dues_lateness_seconds", "How long the oldest of them waits.", late);
    page.gauge("dues_attempts_sending", "Attempts that may be on the wire.", figures.sending);
    page.gauge("dues_attempts_pending", "Payments whose outcome the gateway has not told.", figures.pending);
    page.gauge("dues_attempts_unknown", "Attempts of which nothing is proven.", figures.unknown);
    page.gauge("dues_review_cases_open", "Review cases that wait for a person.", figures.reviews);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::BudgetFigures;

    #[test]
    fn each_family_has_its_help_and_type_and_unlimited_budgets_have_no_rate() {
        let gate = GateFigures {
            cause: Some("server_trouble"),
            writes: BudgetFigures { per_second: Some(90), spent: 7 },
            reads: BudgetFigures { per_second: None, spent: 9 },
        };
        let page = text(&[("bill", 3)], Some(&gate), None);
        for line in [
            "# TYPE dues_gateway_circuit_open gauge",
            "dues_gateway_circuit_open 1",
            "dues_gateway_circuit_cause{cause=\"server_trouble\"} 1",
            "dues_gateway_circuit_cause{cause=\"refused\"} 0",
            "dues_gateway_budget_requests_per_second{kind=\"write\"} 90",
            "dues_gateway_requests_total{kind=\"read\"} 9",
            "dues_rows_moved_total{verb=\"bill\"} 3",
            "dues_database_up 0",
        ] {
            assert!(page.lines().any(|it| it == line), "{line} is missing in\n{page}");
        }
        assert!(!page.contains("per_second{kind=\"read\"}") && !page.contains("dues_held"), "{page}");
        let named = page.lines().filter(|it| !it.starts_with('#')).all(|it| it.starts_with("dues_"));
        assert!(named, "{page}");
    }
}
