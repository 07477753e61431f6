//! How commands print: tables and pages for people, JSON for programs. Standard output may close at any time (a pager, `head`): then
//! nothing more is written, and that is no error.

mod table;

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use serde::Serialize;

use crate::clock::Instant;
use crate::domain::money::{Money, NotACurrency};

pub use table::Table;

/// The narrowest terminal that tables are fitted to.
const NARROWEST: u16 = 40;
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
            lines.extend(table.text(&inner).lines().map(|line| format!("  {line}").trim_end().to_owned()));
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
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0);
        Screen::of(io::stdout().is_terminal(), width, std::env::var_os("NO_COLOR").as_deref())
    }

    /// A terminal of this width, or what is none; `NO_COLOR` as the environment has it.
    fn of(is_terminal: bool, width: Option<u16>, no_color: Option<&OsStr>) -> Self {
        // A terminal that does not know its width says 0.
        let width = width.filter(|width| is_terminal && *width > 0).map(|width| width.max(NARROWEST));
        // https://no-color.org: set and not empty means none.
        let refused = no_color.is_some_and(|value| !value.is_empty());
        Screen { width, colour: is_terminal && !refused }
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

/// The same to the second, where what follows what matters.
pub fn second(at: Instant) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
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
    fn a_reference_cannot_steer_the_terminal() {
        let page = Page::default().field("reference", "ORD\u{1b}[2J1");
        assert_eq!(page.text(&PLAIN), "reference  ORD\u{fffd}[2J1");
    }

    #[test]
    fn a_terminal_has_colours_unless_they_are_refused() {
        let table = Table::new(&["ID"]).rows([["a".to_owned()]]);
        let page = Page::default().field("key", "value").section("Title", Table::new(&["ID"]).rows([["a".to_owned()]]));
        for (is_terminal, no_color, coloured) in [
            (true, None, true),
            (true, Some(""), true),
            (true, Some("1"), false),
            (true, Some("0"), false),
            (false, None, false),
            (false, Some(""), false),
            (false, Some("1"), false),
        ] {
            for width in [None, Some(0), Some(20), Some(100)] {
                let screen = Screen::of(is_terminal, width, no_color.map(OsStr::new));
                for text in [table.text(&screen), page.text(&screen)] {
                    assert_eq!(text.contains('\u{1b}'), coloured, "{is_terminal} {no_color:?} {width:?}: {text}");
                }
            }
        }
    }

    #[test]
    fn only_a_terminal_has_a_width() {
        let width = |is_terminal, width| Screen::of(is_terminal, width, None).width;
        assert_eq!(width(true, Some(80)), Some(80));
        assert_eq!(width(true, Some(7)), Some(NARROWEST), "narrower than a screen may be said to be");
        assert_eq!(width(true, Some(0)), None, "it does not know");
        assert_eq!(width(false, Some(80)), None, "a pipe in a terminal");
        assert_eq!(width(true, None), None);
    }
}
