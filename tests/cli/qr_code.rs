//! The QR code of a first payment's link, on a real pseudo-terminal (`script` of util-linux makes it), read back by another library.

use crate::sandbox::Running;
use crate::screens::on_a_terminal;
use crate::shop::Shop;
use crate::subscribe::Counter;

/// Pixels of a module: a camera sees more than one.
const SCALE: usize = 4;

/// The lines of the code, without their colours, and whether they were coloured.
fn code_in(text: &str) -> (Vec<Vec<char>>, bool) {
    let is_code = |line: &&str| line.chars().any(|it| matches!(it, '█' | '▀' | '▄'));
    // The first and the last line of a coloured code are blank: they are told by their colour.
    let coloured = text.contains("\u{1b}[38;5;16;48;5;231m");
    let lines = text.lines().filter(|line| if coloured { line.contains("\u{1b}[38;5;16") } else { is_code(line) });
    let bare = |line: &str| line.replace("\u{1b}[38;5;16;48;5;231m", "").replace("\u{1b}[0m", "").chars().collect();
    (lines.map(bare).collect(), coloured)
}

/// What a camera reads of it.
fn read(lines: &[Vec<char>], ink_is_dark: bool) -> String {
    let columns = lines[0].len();
    let is_dark = |x: usize, y: usize| {
        let ink = match lines[y / 2].get(x) {
            Some('█') => true,
            Some('▀') => y.is_multiple_of(2),
            Some('▄') => !y.is_multiple_of(2),
            _ => false,
        };
        ink == ink_is_dark
    };
    let (width, height) = (columns * SCALE, lines.len() * 2 * SCALE);
    let mut image = rqrr::PreparedImage::prepare_from_bitmap(width, height, |x, y| is_dark(x / SCALE, y / SCALE));
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one code is found");
    grids[0].decode().unwrap().1
}

#[test]
fn a_camera_reads_the_link_off_a_terminal_in_colours_and_without() {
    let mut sandbox = Running::start(&Shop::without_books(), &["--json", "--quiet"]);
    let counter = Counter::at(sandbox.first_line()["url"].as_str().unwrap());
    let link = counter.link("ORD-1");
    let resume = counter.command(&["--reference", "ORD-1", "--resume", "--wait-minutes", "0"]);
    for (variables, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let text = on_a_terminal(&resume, 100, variables);
        assert!(text.contains(&link), "{text}");
        let (lines, has_colours) = code_in(&text);
        assert_eq!(has_colours, coloured, "{text}");
        assert_eq!(read(&lines, coloured), link, "{text}");
    }
}

#[test]
fn there_is_none_on_a_narrow_terminal_in_json_and_in_a_pipe() {
    let mut sandbox = Running::start(&Shop::without_books(), &["--json", "--quiet"]);
    let counter = Counter::at(sandbox.first_line()["url"].as_str().unwrap());
    let link = counter.link("ORD-1");
    let arguments = ["--reference", "ORD-1", "--resume", "--wait-minutes", "0"];
    let narrow = on_a_terminal(&counter.command(&arguments), 40, &[]);
    let json = on_a_terminal(&counter.command(&[&arguments[..], &["--json"]].concat()), 100, &[]);
    let pipe = String::from_utf8(counter.command(&arguments).output().unwrap().stdout).unwrap();
    for text in [narrow, json, pipe] {
        assert!(text.contains(&link) && code_in(&text).0.is_empty(), "{text}");
    }
}
