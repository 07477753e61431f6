//! What a round does about the clock. Pure: from what the clock, the books and this daemon's own memory say, to a verdict.

/// What is seen when a daemon comes round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The clock jumped, or is not the gateway's.
    pub is_wrong: bool,
    /// The books are held, for whatever reason.
    pub is_held: bool,
    /// They are held for the clock.
    pub is_held_for_it: bool,
    /// This daemon has told of a wrong clock, and that is not settled.
    pub is_told: bool,
    /// The gateway's clock was heard, and agrees.
    pub gateway_agrees: bool,
}

/// What follows. It is remembered once it stands in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is right, and what was wrong with it is over.
    Right,
    /// It is right again: the books need not be held any longer.
    Lift,
    /// An operator has acknowledged what this daemon told: it is right as it is, whatever the gateway says.
    Accept,
    /// It is wrong: the books are held until somebody has looked.
    Hold,
    /// Another daemon holds the books for it: what an operator acknowledges is said to this one as well.
    Join,
    /// Nothing is known of it, or the books are held for something else.
    Wait,
}

/// What follows from what is seen.
pub(super) fn judge(seen: &Seen) -> Verdict {
    match seen {
        // A process that was started while the books were held for the clock has seen no other clock than that one, unless the gateway's
        // agrees.
        Seen { is_wrong: false, is_held_for_it: true, is_told: false, gateway_agrees: false, .. } => Verdict::Wait,
        Seen { is_wrong: false, is_held_for_it: true, .. } => Verdict::Lift,
        Seen { is_wrong: false, .. } => Verdict::Right,
        Seen { is_held: false, is_told: true, .. } => Verdict::Accept,
        Seen { is_held: false, .. } => Verdict::Hold,
        Seen { is_held_for_it: true, .. } => Verdict::Join,
        Seen { .. } => Verdict::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_round_does_about_the_clock() {
        let table = [
            // wrong, held, for it, told, agrees
            ("- - - - -", Verdict::Right),
            ("- - - - a", Verdict::Right),
            ("- - - t -", Verdict::Right),
            ("- h - - -", Verdict::Right),
            ("- h - t -", Verdict::Right),
            ("- h f - -", Verdict::Wait),
            ("- h f - a", Verdict::Lift),
            ("- h f t -", Verdict::Lift),
            ("- h f t a", Verdict::Lift),
            ("w - - - -", Verdict::Hold),
            ("w - - - a", Verdict::Hold),
            ("w - - t -", Verdict::Accept),
            ("w - - t a", Verdict::Accept),
            ("w h - - -", Verdict::Wait),
            ("w h - t -", Verdict::Wait),
            ("w h f - -", Verdict::Join),
            ("w h f t a", Verdict::Join),
        ];
        for (seen, follows) in table {
            let says = |letter: char| seen.contains(letter);
            let seen_now = Seen {
                is_wrong: says('w'),
                is_held: says('h'),
                is_held_for_it: says('f'),
                is_told: says('t'),
                gateway_agrees: says('a'),
            };
            assert_eq!(judge(&seen_now), follows, "{seen}");
        }
    }
}
