//! The story of a run: what happened, line by line, and a hash of it that two runs share only when they are the same run.

use crate::clock::Instant;

/// Lines that are shown of a run that failed, about its subjects and about the world as a whole.
const SHOWN: usize = 300;

/// Lines, or their hash alone.
#[derive(Debug)]
pub(super) struct Story {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Story {
    /// An empty one; with `kept` it remembers its lines.
    pub fn new(kept: bool) -> Self {
        // FNV-1a of 64 bits: its offset here, its prime below.
        Story { hash: 0xcbf2_9ce4_8422_2325, lines: kept.then(Vec::new) }
    }

    /// Adds a line.
    pub fn tell(&mut self, at: Instant, what: std::fmt::Arguments<'_>) {
        let line = format!("{} {what}", at.format("%m-%d %H:%M:%S%.3f"));
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines that name one of `subjects`, and the last that name no payment at all, in their order.
    pub fn about(&self, subjects: &[String]) -> Vec<String> {
        let lines = self.lines.as_deref().unwrap_or_default();
        let is_named = |line: &str| subjects.is_empty() || subjects.iter().any(|it| line.contains(it.as_str()));
        let is_general = |line: &str| !line.contains("d1-") && !line.contains("/pay_");
        let last = |chosen: &dyn Fn(&str) -> bool| {
            let mut places: Vec<usize> = (0..lines.len()).filter(|it| chosen(&lines[*it])).collect();
            places.drain(..places.len().saturating_sub(SHOWN));
            places
        };
        let mut shown = last(&is_named);
        shown.extend(last(&is_general));
        shown.sort_unstable();
        shown.dedup();
        shown.into_iter().map(|it| lines[it].clone()).collect()
    }
}
