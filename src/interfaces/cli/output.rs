//! How commands print: tables and pages for people, JSON for programs. Standard output may close at any time (a pager, `head`): then
//! nothing more is written, and that is no error.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width, presets};
use serde::Serialize;

use crate::clock::Instant;
use crate::domain::money::{Money, NotACurrency};

/// The narrowest terminal that tables are fitted to.
const NARROWEST: u16 = 40;
/// The columns of free text. They alone give way where a terminal is too narrow: what a reader copies, compares or adds up (ids,
/// times, amounts, states) stands on one line.
const PROSE: &[&str] =
    &["REASON", "DETAIL", "EVIDENCE", "VALUE", "FROM", "ABOUT", "CANCEL REASON", "SUGGESTION", "FINDING"];
/// No column is kept wider than this for the sake of one word: a reference at the gateway has at most so many characters.
const LONGEST_WORD: u16 = 50;
/// What stands between two columns.
const GAP: u16 = 2;
/// How far a page's tables stand in.
const INDENT: u16 = 2;

/// Writes a document of JSON to standard output.
///
/// # Errors
/// Where standard output fails in another way than by closing.
pub fn json(document: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(document).context("the answer could not be written as JSON")?;
    line(&text)
}

/// Writes text, and a line's end, to standard output.
///
/// # Errors
/// Where standard output fails in another way than by closing.
pub fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("standard output could not be written"),
    }
}

/// Writes a remark to standard error, beside what a program may be reading.
pub fn remark(text: &str) {
    // A remark that nobody can read is no reason to fail.
    let _ = writeln!(io::stderr().lock(), "dues: {text}");
}

/// Writes a line as it is to standard error.
pub fn aside(text: &str) {
    // As with a remark.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Rows under headings.
#[derive(Debug)]
pub struct Table {
    headings: Vec<String>,
    right: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<H: AsRef<str>>(headings: &[H]) -> Self {
        Table {
            headings: headings.iter().map(|it| it.as_ref().to_owned()).collect(),
            right: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The same, with the columns of these headings set to the right, as figures are.
    #[must_use]
    pub fn right<H: AsRef<str>>(mut self, headings: &[H]) -> Self {
        self.right = headings.iter().map(|it| it.as_ref().to_owned()).collect();
        self
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row, a cell a heading.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| harmless(&cell)).collect());
    }

    /// The table with these rows.
    #[must_use]
    pub fn rows<const N: usize>(mut self, rows: impl IntoIterator<Item = [String; N]>) -> Self {
        for row in rows {
            self.push(row);
        }
        self
    }

    /// Prints it; `none` where it has no rows.
    ///
    /// # Errors
    /// As [`line`].
    pub fn print(&self) -> anyhow::Result<()> {
        line(&self.text(&Screen::of_stdout()))
    }

    fn text(&self, screen: &Screen) -> String {
        if self.rows.is_empty() {
            return "none".to_owned();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        match screen.width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table.set_header(&self.headings);
        for row in &self.rows {
            table.add_row(row.clone());
        }
        for (index, heading) in self.headings.iter().enumerate() {
            let Some(column) = table.column_mut(index) else { continue };
            column.set_padding((0, GAP));
            if screen.width.is_some() {
                column.set_constraint(if PROSE.contains(&heading.as_str()) {
                    ColumnConstraint::LowerBoundary(Width::Fixed(self.longest_word(index, heading) + GAP))
                } else {
                    ColumnConstraint::ContentWidth
                });
            }
            if self.right.contains(heading) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let trimmed = table.trim_fmt();
        match trimmed.split_once('\n') {
            Some((headings, rows)) => format!("{}\n{rows}", screen.strong(headings)),
            None => trimmed,
        }
    }

    /// The longest word of a column, its heading among them, up to the length of a reference at the gateway.
    fn longest_word(&self, index: usize, heading: &str) -> u16 {
        let cells = self.rows.iter().filter_map(|row| row.get(index).map(String::as_str));
        let words = cells.flat_map(str::split_whitespace).chain([heading]).map(|word| word.chars().count());
        u16::try_from(words.max().unwrap_or_default()).unwrap_or(LONGEST_WORD).min(LONGEST_WORD)
    }
}

/// Everything about one thing: keys beside values, then tables under their titles.
#[derive(Debug, Default)]
pub struct Page {
    fields: Vec<(&'static str, String)>,
    sections: Vec<(String, Table)>,
}

impl Page {
    /// A key and its value.
    #[must_use]
    pub fn field(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((key, value.into()));
        self
    }

    /// The same where there is a value; nothing else.
    #[must_use]
    pub fn maybe(self, key: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// A table under its title.
    #[must_use]
    pub fn section(mut self, title: impl Into<String>, table: Table) -> Self {
        self.sections.push((title.into(), table));
        self
    }

    /// Prints it.
    ///
    /// # Errors
    /// As [`line`].
    pub fn print(&self) -> anyhow::Result<()> {
        line(&self.text(&Screen::of_stdout()))
    }

    fn text(&self, screen: &Screen) -> String {
        let width = self.fields.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
        let fields = self.fields.iter().map(|(key, value)| {
            format!("{}  {}", screen.strong(&format!("{key:width$}")), harmless(value)).trim_end().to_owned()
        });
        let mut lines: Vec<String> = fields.collect();
        let inner = Screen { width: screen.width.map(|width| width.saturating_sub(INDENT)), ..*screen };
        for (title, table) in &self.sections {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.push(screen.strong(title));
            lines.extend(table.text(&inner).lines().map(|line| format!("  {line}")));
        }
        lines.join("\n")
    }
}

/// What is printed on.
#[derive(Debug)]
pub struct Screen {
    /// In characters; none where no line is too long, as in a pipe or a file.
    pub width: Option<u16>,
    /// Whether colours are wanted.
    pub colour: bool,
}

impl Screen {
    /// Standard output.
    pub fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        // A terminal that does not know its width says 0.
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0);
        let width = width.filter(|width| terminal && *width > 0).map(|width| width.max(NARROWEST));
        // https://no-color.org: set and not empty means none.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Screen { width, colour: terminal && !refused }
    }

    fn strong(&self, text: &str) -> String {
        if self.colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// An amount as a row holds it, with its exact decimal.
#[derive(Debug, Clone)]
pub struct Amount {
    /// Whole minor units.
    pub minor: i64,
    /// In major units: `128.00`.
    pub decimal: String,
    /// ISO 4217.
    pub currency: String,
}

impl Amount {
    /// An amount in a currency.
    ///
    /// # Errors
    /// Where the currency is none.
    pub fn of(minor: i64, currency: &str) -> Result<Self, NotACurrency> {
        let money = Money::new(minor, currency.parse()?);
        Ok(Amount { minor, decimal: money.decimal(), currency: currency.to_owned() })
    }

    /// For people: `128.00 HKD`.
    pub fn shown(&self) -> String {
        format!("{} {}", self.decimal, self.currency)
    }
}

/// The first `limit` of rows of which one more was asked for; says so where there are more.
pub fn cut<R>(mut rows: Vec<R>, limit: u32) -> Vec<R> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if rows.len() > limit {
        rows.truncate(limit);
        remark(&format!("there are more than {limit}; --limit shows more"));
    }
    rows
}

/// An instant for people, to the second.
pub fn time(at: Instant) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// An instant in a narrow column whose heading says UTC, to the minute; a dash where there is none.
pub fn minute(at: Option<Instant>) -> String {
    at.map_or_else(dash, |at| at.format("%Y-%m-%d %H:%M").to_string())
}

/// Text in a column; a dash where there is none.
pub fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(dash, str::to_owned)
}

fn dash() -> String {
    "-".to_owned()
}

/// Text without control characters: what a merchant put into a reference must not steer the operator's terminal.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Screen = Screen { width: Some(60), colour: false };

    #[test]
    fn a_table_is_aligned_and_figures_stand_to_the_right() {
        let cell = str::to_owned;
        let table = Table::new(&["ID", "AMOUNT", "STATE"])
            .right(&["AMOUNT"])
            .rows([[cell("a"), cell("8.00 HKD"), cell("paid")], [cell("bcd"), cell("128.00 HKD"), cell("due")]]);
        let text = table.text(&PLAIN);
        assert_eq!(text, "ID       AMOUNT  STATE\na      8.00 HKD  paid\nbcd  128.00 HKD  due");
    }

    #[test]
    fn an_empty_table_says_none() {
        assert_eq!(Table::new(&["ID"]).text(&PLAIN), "none");
    }

    #[test]
    fn ids_and_times_are_never_broken() {
        let (id, payment) = ("chg_0123456789abcdefghijklmnop", "pay_0123456789abcdefghijklmnop");
        let evidence = format!("{}{payment}", "many words ".repeat(20));
        let cells = [id.to_owned(), "2026-11-23 02:00".to_owned(), evidence];
        let text = Table::new(&["ID", "AT (UTC)", "EVIDENCE"]).rows([cells]).text(&PLAIN);
        assert!(text.contains(id) && text.contains(payment) && text.contains("2026-11-23 02:00"), "{text}");
    }

    #[test]
    fn a_pipe_gets_one_line_a_row() {
        let cells = || ["ORD-1".to_owned(), "many words ".repeat(40).trim_end().to_owned(), "r".repeat(100)];
        let table = Table::new(&["REFERENCE", "REASON", "DETAIL"]).rows([cells(), cells()]);
        let pipe = Screen { width: None, colour: false };
        assert_eq!(table.text(&pipe).lines().count(), 3);
        let page = Page::default().section("Charges", table);
        assert_eq!(page.text(&pipe).lines().count(), 4);
    }

    #[test]
    fn only_free_text_is_broken_on_a_narrow_terminal() {
        let detail = "the gateway did not answer within the time that it has";
        let cells = [&"ORD-".repeat(9), "1,234,567.00 HKD", "past_due", detail].map(str::to_owned);
        let table =
            Table::new(&["REFERENCE", "LIST PRICE", "STATE NOW", "DETAIL"]).right(&["LIST PRICE"]).rows([cells]);
        let text = table.text(&PLAIN);
        for whole in [&"ORD-".repeat(9), "1,234,567.00 HKD", "LIST PRICE", "STATE NOW", "DETAIL"] {
            assert!(text.contains(whole), "{whole:?} is broken in\n{text}");
        }
        assert!(!text.contains(detail), "{text}");
    }

    #[test]
    fn a_reference_cannot_steer_the_terminal() {
        let page = Page::default().field("reference", "ORD\u{1b}[2J1");
        assert_eq!(page.text(&PLAIN), "reference  ORD\u{fffd}[2J1");
    }

    #[test]
    fn headings_are_strong_in_colour_only() {
        let table = || Table::new(&["ID"]).rows([["a".to_owned()]]);
        assert!(table().text(&Screen { width: Some(60), colour: true }).starts_with("\u{1b}[1mID"));
        assert!(!table().text(&PLAIN).contains('\u{1b}'));
    }
}
