//! What an import came to: counts, money that falls due, and the rejected rows as far as they are shown.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::domain::money::{Currency, Money};
use crate::engine::hand_over::{BeyondPlan, FallsDue, Terms};

/// So many rejected rows are kept to be shown; the rejects file has all of them.
const MOST_KEPT: usize = 1_000;
/// So many of them are shown to a person.
const MOST_SHOWN: usize = 20;

/// What an import came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Rows read.
    pub read: u64,
    /// Rows entered; in a dry run those that would be.
    pub entered: u64,
    /// Rows whose reference stands in the books already.
    pub already_there: u64,
    /// Rows refused.
    pub rejected: u64,
    /// Rows entered although their first payment was not looked up.
    pub not_looked_up: u64,
    /// Rejected rows whose subscription is in the books with another source, plan or e-mail address.
    pub there_otherwise: u64,
    /// Rows entered beside another on the same source and plan, as was meant.
    pub another: u64,
    /// Charges that the plans of today and tomorrow have no room for, as a rehearsal counts them.
    pub beyond_plan: BeyondPlan,
    /// Whether the whole was refused because of them, and nothing was entered.
    pub refused: bool,
    /// Whether it was told to stop before the end of the file.
    pub stopped: bool,
    /// Whether the file's columns were called otherwise.
    pub mapped: bool,
    /// Where the rejected rows stand.
    pub rejects_file: Option<PathBuf>,
    first_rejected: Vec<Rejected>,
    due_now: BTreeMap<Currency, Due>,
    held: u64,
    acknowledged: bool,
}

/// A rejected row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its line in the file.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, Default)]
struct Due {
    charges: u64,
    sum_minor: i64,
}

impl Summary {
    /// Nothing yet.
    pub(super) fn new(dry_run: bool, terms: Terms) -> Self {
        Summary { dry_run, acknowledged: terms.acknowledged, ..Summary::default() }
    }

    /// Whether the day's plans have no room for it, and nobody has acknowledged that: an import enters nothing then.
    pub fn exceeds_plan(&self) -> bool {
        !self.acknowledged && self.beyond_plan.count() > 0
    }

    /// What a rehearsal counted, for an import that was refused by it.
    pub fn refused(self) -> Summary {
        Summary { dry_run: false, refused: true, ..self }
    }

    /// What is told of an import that was told to stop while a rehearsal went before it.
    pub fn stopped_before() -> Summary {
        Summary { stopped: true, ..Summary::default() }
    }

    /// The rows that went in.
    pub fn went_in(&self) -> u64 {
        if self.dry_run || self.refused { 0 } else { self.entered }
    }

    /// Whether every row is in the books, or would be.
    pub fn is_whole(&self) -> bool {
        self.rejected == 0 && !self.exceeds_plan() && !self.stopped
    }

    /// Notes a rejected row.
    pub(super) fn reject(&mut self, line: u64, reason: String) {
        self.rejected += 1;
        if self.first_rejected.len() < MOST_KEPT {
            self.first_rejected.push(Rejected { line, reason });
        }
    }

    /// Notes what an entered row costs at once.
    pub(super) fn falls_due(&mut self, due: FallsDue) {
        self.held += count(due.held);
        if due.charges == 0 {
            return;
        }
        let total = self.due_now.entry(due.price.currency).or_default();
        total.charges += count(due.charges);
        // A sum that does not fit any more is shown as the largest there is, never as a small one.
        let charges = i64::try_from(due.charges).unwrap_or(i64::MAX);
        total.sum_minor = total.sum_minor.saturating_add(due.price.amount_minor.saturating_mul(charges));
    }

    /// The rejected rows, the first ones only where there are very many.
    pub fn first_rejected(&self) -> &[Rejected] {
        &self.first_rejected
    }

    /// The rejected rows for a person, one a line.
    pub fn rejected_lines(&self) -> Vec<String> {
        let shown = self.first_rejected.iter().take(MOST_SHOWN);
        let mut lines: Vec<String> = shown.map(|it| format!("line {}: {}", it.line, it.reason)).collect();
        let more = self.rejected - count(lines.len());
        if more > 0 {
            lines.push(format!("… and {more} more"));
        }
        lines
    }

    /// The whole in sentences, one a line.
    pub fn sentences(&self) -> Vec<String> {
        let entered = if self.dry_run || self.refused { "would be entered" } else { "entered" };
        let rows = if self.read == 1 { "row" } else { "rows" };
        let mut lines = vec![format!(
            "{} {rows} read: {} {entered}, {} already there, {} rejected.",
            self.read, self.entered, self.already_there, self.rejected
        )];
        if self.stopped {
            let rest = if self.dry_run {
                "the rest of the file was not looked at."
            } else {
                "import the same file again, what is there is left as it is."
            };
            lines.push(format!("It was told to stop: {rest}"));
        }
        if self.entered > 0 && self.due_now.is_empty() {
            lines.push("No charge falls due at once.".to_owned());
        }
        for (currency, due) in &self.due_now {
            let sum = Money::new(due.sum_minor, *currency);
            let (charges, fall) = if due.charges == 1 { ("charge", "falls") } else { ("charges", "fall") };
            lines.push(format!("{} {charges} {fall} due at once, {sum} in all.", due.charges));
        }
        if self.held > 0 {
            lines.push(format!("Periods held back by the catch-up rule until somebody decides: {}.", self.held));
        }
        if self.beyond_plan.count() > 0 {
            let BeyondPlan { today, tomorrow } = self.beyond_plan;
            let then = match (self.refused, self.acknowledged) {
                (true, _) => "Nothing was entered: see whether they are meant, and import again with --accept.",
                (false, false) => "An import enters nothing then, unless --accept acknowledges them.",
                (false, true) => "They are acknowledged by --accept.",
            };
            lines.push(format!(
                "Charges beyond what the plans of the days leave room for (days in UTC): {today} today, {tomorrow} tomorrow. {then}"
            ));
        }
        if self.there_otherwise > 0 {
            lines.push(format!(
                "Rejected because they are in the books with another source, plan or e-mail address: {}.",
                self.there_otherwise
            ));
        }
        if self.another > 0 {
            lines.push(format!("Beside another subscription on the same source and plan: {}.", self.another));
        }
        if self.not_looked_up > 0 {
            lines.push(format!("First payments that were not looked up at the gateway: {}.", self.not_looked_up));
        }
        if let Some(path) = &self.rejects_file {
            let mapped = if self.mapped { " with the same --map" } else { "" };
            let path = path.display();
            lines.push(format!("The rejected rows stand in {path}: mend them there and import that file{mapped}."));
        }
        lines
    }

    /// The whole for a program.
    pub fn json(&self) -> Value {
        let rejected: Vec<Value> =
            self.first_rejected.iter().map(|it| json!({"line": it.line, "reason": it.reason})).collect();
        let due = |(currency, due): (&Currency, &Due)| {
            let amount = Money::new(due.sum_minor, *currency).decimal();
            json!({"currency": currency.code(), "charges": due.charges, "amount_minor": due.sum_minor, "amount": amount})
        };
        json!({
            "dry_run": self.dry_run,
            "read": self.read,
            "entered": if self.refused { 0 } else { self.entered },
            "already_there": self.already_there,
            "rejected_count": self.rejected,
            "rejected": rejected,
            "rejects_file": self.rejects_file.as_ref().map(|path| path.display().to_string()),
            "due_now": self.due_now.iter().map(due).collect::<Vec<Value>>(),
            "held": self.held,
            "there_otherwise": self.there_otherwise,
            "another": self.another,
            "beyond_plan": self.beyond_plan.count(),
            "beyond_plan_today": self.beyond_plan.today,
            "beyond_plan_tomorrow": self.beyond_plan.tomorrow,
            "refused": self.refused,
            "stopped": self.stopped,
            "not_looked_up": self.not_looked_up,
        })
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
