//! One table as CSV: quoted as RFC 4180 says, lines that end in a line feed, the headings always there, every cell whole, and none
//! that a spreadsheet would run as a formula.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;

use anyhow::Context;
use serde_json::Value;

use super::output::harmless;

/// What makes a spreadsheet take a cell for a formula, where the cell begins with it.
const FORMULA: &[char] = &['=', '+', '-', '@', '\t', '\r'];

/// A table that is written row by row. Standard output may close at any time; then nothing more is written, and that is no error.
#[derive(Debug)]
pub struct Spreadsheet<W: Write> {
    writer: csv::Writer<W>,
    /// A terminal is not to be steered by what stands in a cell; a file keeps every character.
    to_terminal: bool,
    closed: bool,
}

impl Spreadsheet<io::Stdout> {
    /// On standard output, with its headings.
    ///
    /// # Errors
    /// Where standard output fails in another way than by closing.
    pub fn on_stdout(headings: &[&str]) -> anyhow::Result<Self> {
        let stdout = io::stdout();
        let to_terminal = stdout.is_terminal();
        Spreadsheet::begin(stdout, to_terminal, headings)
    }

    /// A whole table of JSON objects: a column a key, in the order of `columns`.
    ///
    /// # Errors
    /// As [`Spreadsheet::on_stdout`].
    pub fn print(columns: &[&str], rows: impl IntoIterator<Item = Value>) -> anyhow::Result<()> {
        let mut sheet = Spreadsheet::on_stdout(columns)?;
        for row in rows {
            if sheet.row(columns.iter().map(|column| text_of(&row[*column])))?.is_break() {
                break;
            }
        }
        sheet.end()
    }
}

impl<W: Write> Spreadsheet<W> {
    fn begin(writer: W, to_terminal: bool, headings: &[&str]) -> anyhow::Result<Self> {
        let mut sheet = Spreadsheet { writer: csv::Writer::from_writer(writer), to_terminal, closed: false };
        // Headings stay in the writer's buffer, so that a closed output is seen at a later row, or at the end.
        let _ = sheet.row(headings.iter().map(|heading| (*heading).to_owned()))?;
        Ok(sheet)
    }

    /// Writes a row, a cell a heading; breaks off where nobody reads any more.
    ///
    /// # Errors
    /// Where standard output fails in another way than by closing.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) -> anyhow::Result<ControlFlow<()>> {
        let to_terminal = self.to_terminal;
        let cells = cells.into_iter().map(|cell| {
            let cell = inert(cell);
            if to_terminal { harmless(&cell) } else { cell }
        });
        let written =
            self.writer.write_record(cells.map(String::into_bytes)).map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(error) => error,
                other => io::Error::other(format!("{other:?}")),
            });
        self.goes_on(written)
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// As [`Spreadsheet::row`].
    pub fn end(mut self) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.writer.flush();
        self.goes_on(flushed).map(|_| ())
    }

    fn goes_on(&mut self, written: io::Result<()>) -> anyhow::Result<ControlFlow<()>> {
        match written {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(ControlFlow::Break(()))
            }
            Err(error) => Err(error).context("standard output could not be written"),
        }
    }
}

/// A cell that no spreadsheet runs: an apostrophe stands before what would be a formula. A negative number stays one.
fn inert(cell: String) -> String {
    let digits = cell.strip_prefix('-').unwrap_or_default();
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.chars().all(|it| it.is_ascii_digit() || it == '.')
        && digits.matches('.').count() <= 1;
    if cell.starts_with(FORMULA) && !is_number { format!("'{cell}") } else { cell }
}

/// A value of JSON as a cell: nothing where it is null.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(to_terminal: bool, rows: &[&[&str]]) -> String {
        let mut bytes = Vec::new();
        let mut sheet = Spreadsheet::begin(&mut bytes, to_terminal, &["a", "b"]).unwrap();
        for row in rows {
            assert!(sheet.row(row.iter().map(|cell| (*cell).to_owned())).unwrap().is_continue());
        }
        sheet.end().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn cells_are_quoted_as_rfc_4180_says() {
        let text = written(false, &[&["plain", "a,b"], &["say \"no\"", "two\nlines"], &["", "\u{9999}\u{6e2f}"]]);
        assert_eq!(text, "a,b\nplain,\"a,b\"\n\"say \"\"no\"\"\",\"two\nlines\"\n,\u{9999}\u{6e2f}\n");
    }

    #[test]
    fn the_headings_stand_over_no_rows_too() {
        assert_eq!(written(false, &[]), "a,b\n");
    }

    #[test]
    fn a_formula_is_made_harmless_and_a_negative_number_stays_one() {
        for (cell, shown) in [
            ("=1+1", "'=1+1"),
            ("+852", "'+852"),
            ("-1+1", "'-1+1"),
            ("-", "'-"),
            ("-.5", "'-.5"),
            ("-1.2.3", "'-1.2.3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("-128.00", "-128.00"),
            ("-7", "-7"),
            ("128.00", "128.00"),
            ("a=b", "a=b"),
        ] {
            assert_eq!(inert(cell.to_owned()), shown, "{cell:?}");
        }
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal_and_a_file_keeps_it() {
        let row: &[&str] = &["ORD\u{1b}[2J", "x"];
        assert_eq!(written(true, &[row]), "a,b\nORD\u{fffd}[2J,x\n");
        assert_eq!(written(false, &[row]), "a,b\nORD\u{1b}[2J,x\n");
    }
}
