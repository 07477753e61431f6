//! Rows under headings. Where a screen is too narrow for the columns, each row becomes a block of keys and values: nothing is left
//! out, whatever the width, and what a reader copies (ids, times, amounts) is broken only where it is longer than a whole line.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width, presets};
use unicode_width::UnicodeWidthStr;

use super::{Screen, harmless, line};

/// The columns of free text. They alone are broken into lines within a table.
const PROSE: &[&str] =
    &["REASON", "DETAIL", "EVIDENCE", "VALUE", "FROM", "ABOUT", "CANCEL REASON", "SUGGESTION", "FINDING"];
/// Free text in a narrower column than this is hard to read: then it is a block's.
const NARROWEST_PROSE: usize = 24;
/// No column is kept wider than this for the sake of one word: a reference at the gateway has at most so many characters.
const LONGEST_WORD: usize = 50;
/// What stands between two columns.
const GAP: usize = 2;

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

    /// What is printed on such a screen.
    pub(super) fn text(&self, screen: &Screen) -> String {
        let least: Vec<usize> = (0..self.headings.len()).map(|index| self.least_width(index)).collect();
        let needed = least.iter().sum::<usize>() + GAP * least.len().saturating_sub(1);
        match screen.width.map(usize::from) {
            _ if self.rows.is_empty() => "none".to_owned(),
            Some(width) if needed > width => self.blocks(width, screen),
            Some(_) | None => self.columns(&least, screen),
        }
    }

    /// A line a row, or more where free text is broken.
    fn columns(&self, least: &[usize], screen: &Screen) -> String {
        let gap = u16::try_from(GAP).unwrap_or_default();
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        match screen.width {
            // The gap behind the last column is cut off again.
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.saturating_add(gap))
            }
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table.set_header(&self.headings);
        for row in &self.rows {
            table.add_row(row.clone());
        }
        for (index, (heading, least)) in self.headings.iter().zip(least).enumerate() {
            let Some(column) = table.column_mut(index) else { continue };
            column.set_padding((0, gap));
            if screen.width.is_some() {
                column.set_constraint(if PROSE.contains(&heading.as_str()) {
                    let least = u16::try_from(*least).unwrap_or(u16::MAX);
                    ColumnConstraint::LowerBoundary(Width::Fixed(least.saturating_add(gap)))
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

    /// How narrow a column may be.
    fn least_width(&self, index: usize) -> usize {
        let heading = self.headings[index].as_str();
        let cells = || self.rows.iter().filter_map(|row| row.get(index).map(String::as_str)).chain([heading]);
        let whole = cells().map(UnicodeWidthStr::width).max().unwrap_or_default();
        if !PROSE.contains(&heading) {
            return whole;
        }
        let word = cells().flat_map(str::split_whitespace).map(UnicodeWidthStr::width).max().unwrap_or_default();
        whole.min(word.clamp(NARROWEST_PROSE, LONGEST_WORD))
    }

    /// A block a row, with an empty line between two.
    fn blocks(&self, width: usize, screen: &Screen) -> String {
        let key_width = self.headings.iter().map(|it| it.width()).max().unwrap_or_default();
        let block = |row: &Vec<String>| {
            let fields = self.headings.iter().zip(row).filter(|(_, value)| !value.is_empty());
            let lines: Vec<String> =
                fields.flat_map(|(key, value)| field(key, key_width, value, width, screen)).collect();
            lines.join("\n")
        };
        self.rows.iter().map(block).collect::<Vec<_>>().join("\n\n")
    }
}

/// A key and its value beside it; below it where a word of the value does not fit there.
fn field(key: &str, key_width: usize, value: &str, width: usize, screen: &Screen) -> Vec<String> {
    let beside = width.saturating_sub(key_width + GAP);
    let longest = value.split_whitespace().map(UnicodeWidthStr::width).max().unwrap_or_default();
    let padding = " ".repeat(key_width - key.width() + GAP);
    if longest <= beside {
        let hanging = " ".repeat(key_width + GAP);
        let lines = wrapped(value, beside).into_iter().enumerate();
        let line = |(index, text)| match index {
            0 => format!("{}{padding}{text}", screen.strong(key)),
            _ => format!("{hanging}{text}"),
        };
        return lines.map(line).collect();
    }
    let below = wrapped(value, width - GAP).into_iter().map(|text| format!("{}{text}", " ".repeat(GAP)));
    std::iter::once(screen.strong(key)).chain(below).collect()
}

/// A text in lines of at most so many columns, broken between words; a longer word is broken where the line ends.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let taken = word.width();
        if used > 0 && used + 1 + taken <= width {
            used += 1 + taken;
            let line = lines.last_mut().expect("there is a line from the start");
            line.push(' ');
            line.push_str(word);
            continue;
        }
        if used > 0 {
            lines.push(String::new());
            used = 0;
        }
        for letter in word.chars() {
            let letter_width = letter.encode_utf8(&mut [0; 4]).width();
            if used > 0 && used + letter_width > width {
                lines.push(String::new());
                used = 0;
            }
            used += letter_width;
            lines.last_mut().expect("there is a line from the start").push(letter);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::Page;
    use super::*;

    const PLAIN: Screen = Screen { width: Some(60), colour: false };
    const PIPE: Screen = Screen { width: None, colour: false };

    /// One cell of each kind that a list has, the longest of each.
    fn wide() -> (Table, Vec<String>) {
        let evidence = "the gateway answered with another amount than the one that was asked for ".repeat(3);
        let cells = [
            "chg_0123456789abcdefghijklmnop",
            &"ORD-".repeat(12),
            "1,234,567.00 HKD",
            "2026-11-23 02:00",
            evidence.trim_end(),
            "会員番号一二三四五六七八九十",
        ];
        let cells = cells.map(str::to_owned);
        let table = Table::new(&["ID", "SUBSCRIPTION", "SUM", "NEXT CHARGE (UTC)", "EVIDENCE", "PLAN"]).right(&["SUM"]);
        (table.rows([cells.clone(), cells.clone()]), cells.to_vec())
    }

    #[test]
    fn a_table_is_aligned_and_figures_stand_to_the_right() {
        let cell = str::to_owned;
        let table = Table::new(&["ID", "AMOUNT", "STATE"])
            .right(&["AMOUNT"])
            .rows([[cell("a"), cell("8.00 HKD"), cell("paid")], [cell("bcd"), cell("128.00 HKD"), cell("due")]]);
        let aligned = "ID       AMOUNT  STATE\na      8.00 HKD  paid\nbcd  128.00 HKD  due";
        assert_eq!(table.text(&PLAIN), aligned);
        let just_fits = Screen { width: Some(22), colour: false };
        assert_eq!(table.text(&just_fits), aligned);
        let too_narrow = Screen { width: Some(21), colour: false };
        assert_eq!(
            table.text(&too_narrow),
            "ID      a\nAMOUNT  8.00 HKD\nSTATE   paid\n\nID      bcd\nAMOUNT  128.00 HKD\nSTATE   due"
        );
    }

    #[test]
    fn an_empty_table_says_none() {
        assert_eq!(Table::new(&["ID"]).text(&PLAIN), "none");
    }

    #[test]
    fn a_table_fits_every_width_and_loses_nothing() {
        let (table, cells) = wide();
        let letters = |text: &str| text.chars().filter(|it| !it.is_whitespace()).collect::<String>();
        for width in 40..300 {
            let text = table.text(&Screen { width: Some(width), colour: false });
            for line in text.lines() {
                assert!(line.width() <= usize::from(width), "{width}: {} columns in {line:?}", line.width());
            }
            for cell in cells.iter().filter(|cell| !cell.contains("gateway")) {
                assert_eq!(letters(&text).matches(&letters(cell)).count(), 2, "{width}: {cell} is lost in\n{text}");
            }
            // Free text may stand beside other columns: its words are whole, all of them.
            let count = |text: &str, word: &str| text.split_whitespace().filter(|it| *it == word).count();
            for word in cells.iter().filter(|cell| cell.contains("gateway")).flat_map(|cell| cell.split_whitespace()) {
                let wanted: usize = cells.iter().map(|cell| 2 * count(cell, word)).sum();
                assert_eq!(count(&text, word), wanted, "{width}: {word} is lost in\n{text}");
            }
            for id in cells.iter().filter(|cell| cell.width() < 38 && !cell.contains("gateway")) {
                assert!(text.contains(id), "{width}: {id} is broken in\n{text}");
            }
        }
        let (headings, columns) = (table.text(&PIPE), table.text(&Screen { width: Some(299), colour: false }));
        assert_eq!(headings.lines().count(), 3);
        assert!(columns.starts_with("ID  "), "{columns}");
    }

    #[test]
    fn a_pipe_gets_one_line_a_row() {
        let cells = || ["ORD-1".to_owned(), "many words ".repeat(40).trim_end().to_owned(), "r".repeat(100)];
        let table = Table::new(&["REFERENCE", "REASON", "DETAIL"]).rows([cells(), cells()]);
        assert_eq!(table.text(&PIPE).lines().count(), 3);
        let page = Page::default().section("Charges", table);
        assert_eq!(page.text(&PIPE).lines().count(), 4);
    }

    #[test]
    fn free_text_alone_is_broken_within_a_table() {
        let detail = "the gateway did not answer within the time that it has";
        let cells = [&"ORD-".repeat(5), "1,234,567.00 HKD", "past_due", detail].map(str::to_owned);
        let table =
            Table::new(&["REFERENCE", "LIST PRICE", "STATE NOW", "DETAIL"]).right(&["LIST PRICE"]).rows([cells]);
        let text = table.text(&Screen { width: Some(80), colour: false });
        for whole in [&"ORD-".repeat(5), "1,234,567.00 HKD", "LIST PRICE", "STATE NOW", "DETAIL"] {
            assert!(text.contains(whole), "{whole:?} is broken in\n{text}");
        }
        assert!(!text.contains(detail) && text.starts_with("REFERENCE  "), "{text}");
    }

    #[test]
    fn a_block_in_a_page_stands_in_and_fits_too() {
        let (table, _) = wide();
        let text = Page::default().section("Charges", table).text(&PLAIN);
        assert!(text.starts_with("Charges\n  ID"), "{text}");
        assert!(text.lines().all(|line| line.width() <= 60 && line.trim_end() == line), "{text}");
    }

    #[test]
    fn headings_are_strong_in_colour_only() {
        let (table, _) = wide();
        for width in [40, 400] {
            assert!(table.text(&Screen { width: Some(width), colour: true }).starts_with("\u{1b}[1mID"));
            assert!(!table.text(&Screen { width: Some(width), colour: false }).contains('\u{1b}'));
        }
    }
}
