//! The lines of a file, one after the other and never more than a bounded part of one in memory.

use std::io::{self, BufRead};

/// The longest line that is read, without its end.
pub const LONGEST_LINE_BYTES: usize = 64 * 1024;

/// So much is kept of a longer one, for a person to know it by.
const KEPT_OF_A_LONG_LINE_BYTES: usize = 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// One line of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1, as an editor shows it.
    pub number: u64,
    /// What stands on it.
    pub text: Text,
}

/// What stands on a line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Text {
    /// As it is.
    Whole(String),
    /// With U+FFFD in place of what is not UTF-8.
    NotUtf8(String),
    /// Longer than [`LONGEST_LINE_BYTES`]; its beginning, as far as that is text.
    TooLong(String),
}

/// Reads line by line.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    number: u64,
    read_bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// From the reader's first line on.
    pub fn new(reader: R) -> Self {
        Lines { reader, number: 0, read_bytes: 0 }
    }

    /// How much was read.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Whether what comes first is UTF-16 (or UTF-32): it has such a byte order mark, or every other byte is zero. Asked before the
    /// first line.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn are_utf16(&mut self) -> io::Result<bool> {
        let beginning = self.reader.fill_buf()?;
        let wide = matches!(beginning, [0, high, 0, low, ..] | [high, 0, low, 0, ..] if *high != 0 && *low != 0);
        Ok(wide || UTF16_MARKS.iter().any(|mark| beginning.starts_with(mark)))
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        let Some((mut bytes, too_long)) = self.line_bytes()? else { return Ok(None) };
        self.number += 1;
        if self.number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) if too_long => Text::TooLong(beginning(text.as_bytes())),
            Err(error) if too_long => Text::TooLong(beginning(error.as_bytes())),
            Ok(text) => Text::Whole(text),
            Err(error) => Text::NotUtf8(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        };
        Ok(Some(Line { number: self.number, text }))
    }

    /// Up to the next line feed, of which no more is kept than the limit; says whether there was more.
    fn line_bytes(&mut self) -> io::Result<Option<(Vec<u8>, bool)>> {
        let mut kept = Vec::new();
        let mut length = 0_usize;
        let mut any = false;
        loop {
            let piece = self.reader.fill_buf()?;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let part = &piece[..end.unwrap_or(piece.len())];
            any |= !piece.is_empty();
            length = length.saturating_add(part.len());
            // One more than the limit, for a carriage return that is no part of the line.
            let room = (LONGEST_LINE_BYTES + 1).saturating_sub(kept.len());
            kept.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(piece.len(), |end| end + 1);
            let is_last = end.is_some() || used == 0;
            self.reader.consume(used);
            self.read_bytes += u64::try_from(used).unwrap_or(u64::MAX);
            if is_last {
                let ends_in_return = length == LONGEST_LINE_BYTES + 1 && kept.last() == Some(&b'\r');
                let too_long = length > LONGEST_LINE_BYTES && !ends_in_return;
                return Ok(any.then_some((kept, too_long)));
            }
        }
    }
}

/// The beginning of a line, up to what is no text: a letter that is cut, a byte of another encoding, a control character.
fn beginning(bytes: &[u8]) -> String {
    let kept = &bytes[..bytes.len().min(KEPT_OF_A_LONG_LINE_BYTES)];
    let text = kept.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    text.chars().take_while(|letter| !letter.is_control() || *letter == '\t').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(io::BufReader::with_capacity(7, bytes));
        std::iter::from_fn(|| lines.next_line().unwrap()).collect()
    }

    fn whole(number: u64, text: &str) -> Line {
        Line { number, text: Text::Whole(text.to_owned()) }
    }

    #[test]
    fn ends_of_lines_and_a_byte_order_mark_are_no_text() {
        let found = lines(b"\xef\xbb\xbfone\r\n\ntwo\nthree");
        assert_eq!(found, [whole(1, "one"), whole(2, ""), whole(3, "two"), whole(4, "three")]);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn utf16_is_known_by_its_mark_or_by_its_zeros() {
        for (bytes, wide) in [
            (&b"\xff\xfer\0e\0"[..], true),
            (b"\xfe\xff\0r\0e", true),
            (b"r\0e\0f\0", true),
            (b"\0r\0e\0f", true),
            (b"\xef\xbb\xbfref", false),
            (b"ref", false),
            (b"r\0", false),
            (b"", false),
        ] {
            assert_eq!(Lines::new(bytes).are_utf16().unwrap(), wide, "{bytes:?}");
        }
    }

    #[test]
    fn a_line_of_another_encoding_is_kept_readable() {
        assert_eq!(lines(b"caf\xe9\nx")[0].text, Text::NotUtf8("caf\u{fffd}".to_owned()));
    }

    #[test]
    fn of_a_line_over_the_limit_the_beginning_is_kept() {
        let mut bytes = vec![b'a'; LONGEST_LINE_BYTES];
        bytes.extend_from_slice(b"\r\n");
        bytes.extend(vec![b'b'; LONGEST_LINE_BYTES + 1]);
        bytes.extend_from_slice(b"\nafter\n");
        let found = lines(&bytes);
        assert_eq!(found[0], whole(1, &"a".repeat(LONGEST_LINE_BYTES)));
        assert_eq!(found[1], Line { number: 2, text: Text::TooLong("b".repeat(1024)) });
        assert_eq!(found[2], whole(3, "after"));
        assert_eq!(lines(&vec![b'c'; LONGEST_LINE_BYTES + 1])[0].text, Text::TooLong("c".repeat(1024)));
        assert_eq!(lines(&vec![b'c'; LONGEST_LINE_BYTES])[0], whole(1, &"c".repeat(LONGEST_LINE_BYTES)));
    }

    #[test]
    fn the_beginning_ends_where_text_ends() {
        let long = |start: &[u8]| [start, &vec![b'x'; LONGEST_LINE_BYTES][..]].concat();
        for (start, kept) in [(&b"A1,monthly\x00\x01"[..], "A1,monthly"), (b"A1,Caf\xe9,", "A1,Caf"), (b"\xff\xfe", "")]
        {
            assert_eq!(lines(&long(start))[0].text, Text::TooLong(kept.to_owned()));
        }
        // A letter of three bytes that the limit cuts is left out.
        let found = lines(&long("茶".repeat(400).as_bytes()));
        assert_eq!(found[0].text, Text::TooLong("茶".repeat(341)));
    }
}
