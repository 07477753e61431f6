//! A link as a QR code (ISO/IEC 18004) on a terminal: two modules a character, one above the other, which makes them square.

use std::io::{self, IsTerminal};

use qrcode::{Color, EcLevel, QrCode};

use super::super::output::Screen;

/// So many light modules stand around a code, or no camera finds it.
const QUIET_ZONE: usize = 4;
/// Black on white out of the 256 fixed colours: the same on a dark terminal and on a light one, whose own black and white may be grey.
const BLACK_ON_WHITE: &str = "\u{1b}[38;5;16;48;5;231m";
const PLAIN: &str = "\u{1b}[0m";

/// The code for standard output; none where that is no terminal, or one too narrow.
pub fn for_stdout(link: &str) -> Option<String> {
    io::stdout().is_terminal().then(|| drawn(link, &Screen::of_stdout()))?
}

/// Without colours the light modules are drawn, and the dark ones left: right on a dark terminal, and on a light one for the many
/// cameras that read a code in negative too.
fn drawn(link: &str, screen: &Screen) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, EcLevel::M).ok()?;
    let (modules, width) = (code.to_colors(), code.width());
    let whole = width + 2 * QUIET_ZONE;
    if screen.width.is_some_and(|columns| usize::from(columns) < whole) {
        return None;
    }
    let is_dark = |x: usize, y: usize| {
        let inside = QUIET_ZONE..QUIET_ZONE + width;
        inside.contains(&x) && inside.contains(&y) && modules[(y - QUIET_ZONE) * width + x - QUIET_ZONE] == Color::Dark
    };
    let is_inked = |x, y| is_dark(x, y) == screen.colour;
    let mut text = String::new();
    for y in (0..whole).step_by(2) {
        let line: String = (0..whole)
            .map(|x| match (is_inked(x, y), is_inked(x, y + 1)) {
                (true, true) => '\u{2588}',
                (true, false) => '\u{2580}',
                (false, true) => '\u{2584}',
                (false, false) => ' ',
            })
            .collect();
        text += &if screen.colour { format!("{BLACK_ON_WHITE}{line}{PLAIN}\n") } else { format!("{line}\n") };
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_where_it_fits_with_light_all_around() {
        let link = "http://127.0.0.1:8000/pay/pay_0123456789abcdefghijklmnop";
        let plain = drawn(link, &Screen { width: None, colour: false }).unwrap();
        let columns = plain.lines().next().unwrap().chars().count();
        assert!(plain.lines().all(|line| line.chars().count() == columns && line.starts_with("████")), "{plain}");
        assert_eq!(plain.lines().count(), columns.div_ceil(2), "modules are square");
        assert!(plain.lines().next().unwrap().chars().all(|it| it == '█'), "{plain}");
        let fits = |width| drawn(link, &Screen { width: Some(width), colour: true }).is_some();
        let columns = u16::try_from(columns).unwrap();
        assert!(fits(columns) && !fits(columns - 1));
    }
}
