//! The fence: can these books be the latest? Pure: from what the books, the file outside them and the clock say, to whether
//! everything due is looked up before it is sent, and whether an operator must be waited for.

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::engine::high_water::Mark;
use crate::store::fences::NewFence;

/// A heartbeat may lie so far in the future before it is taken for that of books that were set back, or of a wrong clock.
const AHEAD_AT_MOST: TimeDelta = TimeDelta::seconds(30);

/// Why the books are held where the clock is wrong.
pub(super) const CLOCK: &str = "clock";

/// Whether that is what they are held for.
pub(super) fn is_for_the_clock(held_reason: Option<&str>) -> bool {
    held_reason == Some(CLOCK)
}

/// What is known when a daemon comes round.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Now, by the database's clock.
    pub now: Instant,
    /// When a daemon last came round; none where none ever did.
    pub heartbeat_at: Option<Instant>,
    /// When this daemon last came round, as the books know; none where they do not know it.
    pub own_heartbeat_at: Option<Instant>,
    /// PostgreSQL's timeline then, and now.
    pub timelines: (Option<String>, Option<String>),
    /// Sends of this daemon that the books know; none where it is new.
    pub sends: Option<i64>,
    /// What the file outside the books says.
    pub mark: Mark,
    /// A stop longer than this is a gap.
    pub gap: TimeDelta,
    /// The operator wants it.
    pub asked: bool,
}

impl Known {
    /// Whether the books were used by a clock ahead of this one: what was dated by it may lie far ahead.
    pub fn was_set_back(&self) -> bool {
        self.heartbeat_at.is_some_and(|at| self.now - at < -AHEAD_AT_MOST)
    }
}

/// The fence to raise; none where the books go on from where they were.
pub(super) fn judge(known: &Known) -> Option<NewFence> {
    let asleep = known.heartbeat_at.map(|at| known.now - at);
    let fence = |reason, detail: String| NewFence { reason, detail, lost_sends: 0, holds: false };
    if let Mark::Foreign(why) = &known.mark {
        let detail = format!("the high-water file is not that of these books: {why}");
        return Some(NewFence { holds: true, ..fence("other_ledger", detail) });
    }
    if let Mark::Sends(outside) = known.mark
        && outside > known.sends.unwrap_or(0)
    {
        let lost = outside - known.sends.unwrap_or(0);
        // Within the gap it is what a fail-over loses; longer ago cancellations, refunds and prices are gone as well. Another daemon may
        // have come round in these books since, so what counts is when this one did.
        let asleep = known.own_heartbeat_at.map(|at| known.now - at);
        let long_ago = asleep.is_none_or(|it| it > known.gap || it < -AHEAD_AT_MOST);
        let asleep = asleep.map_or("an unknown time".to_owned(), in_words);
        let detail = format!("the books know {lost} sends fewer than the file outside them, and are {asleep} old");
        return Some(NewFence { lost_sends: lost, holds: long_ago, ..fence("rewound", detail) });
    }
    if let (Some(was), Some(is)) = &known.timelines
        && was != is
    {
        return Some(fence(
            "timeline",
            format!("PostgreSQL went from timeline {was} to {is}: a fail-over or a restore"),
        ));
    }
    if known.was_set_back() {
        return Some(fence("future", "the last heartbeat lies in the future: the clock was set back".to_owned()));
    }
    if let Some(asleep) = asleep.filter(|it| *it > known.gap) {
        return Some(fence("gap", format!("no daemon came round for {}", in_words(asleep))));
    }
    if known.asked {
        return Some(fence("asked", "the operator asked for look-ups first".to_owned()));
    }
    if known.mark == Mark::Missing && known.sends.is_some_and(|sends| sends > 0) {
        return Some(fence("no_file", "the high-water file is gone, so a restore could not be seen".to_owned()));
    }
    None
}

fn in_words(span: TimeDelta) -> String {
    match span.num_minutes() {
        ..0 => "less than no time".to_owned(),
        minutes @ 0..120 => format!("{minutes} minutes"),
        minutes @ 120..2880 => format!("{} hours", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant_from_micros;

    fn known() -> Known {
        let now = instant_from_micros(1_800_000_000_000_000);
        Known {
            now,
            heartbeat_at: Some(now - TimeDelta::seconds(5)),
            own_heartbeat_at: Some(now - TimeDelta::seconds(5)),
            timelines: (None, None),
            sends: Some(10),
            mark: Mark::Sends(10),
            gap: TimeDelta::minutes(10),
            asked: false,
        }
    }

    fn raised(known: &Known) -> Option<(&'static str, i64, bool)> {
        judge(known).map(|fence| (fence.reason, fence.lost_sends, fence.holds))
    }

    #[test]
    fn books_that_go_on_raise_nothing() {
        assert_eq!(raised(&known()), None);
        // The file is written after the commit: a crash in between leaves it behind, which proves nothing.
        assert_eq!(raised(&Known { mark: Mark::Sends(9), ..known() }), None);
        assert_eq!(raised(&Known { mark: Mark::NoPlace, ..known() }), None);
        // A second daemon, or the first start of all, is no restore.
        assert_eq!(raised(&Known { sends: None, mark: Mark::Missing, ..known() }), None);
        assert_eq!(raised(&Known { sends: None, mark: Mark::Missing, heartbeat_at: None, ..known() }), None);
    }

    #[test]
    fn each_sign_of_other_times_raises_its_fence() {
        let ago = |minutes| Some(known().now - TimeDelta::minutes(minutes));
        let timelines = (Some("00000001".to_owned()), Some("00000002".to_owned()));
        for (known, wanted) in [
            (Known { heartbeat_at: ago(11), ..known() }, ("gap", 0, false)),
            (Known { heartbeat_at: ago(-3), ..known() }, ("future", 0, false)),
            (Known { timelines, ..known() }, ("timeline", 0, false)),
            (Known { asked: true, ..known() }, ("asked", 0, false)),
            (Known { mark: Mark::Missing, ..known() }, ("no_file", 0, false)),
            (Known { mark: Mark::Sends(14), ..known() }, ("rewound", 4, false)),
            (Known { mark: Mark::Sends(14), own_heartbeat_at: ago(3 * 1440), ..known() }, ("rewound", 4, true)),
            (Known { mark: Mark::Sends(14), own_heartbeat_at: ago(-3), ..known() }, ("rewound", 4, true)),
            (Known { mark: Mark::Sends(14), sends: None, own_heartbeat_at: None, ..known() }, ("rewound", 14, true)),
            (Known { mark: Mark::Foreign("other".to_owned()), ..known() }, ("other_ledger", 0, true)),
        ] {
            assert_eq!(raised(&known), Some(wanted), "{known:?}");
        }
    }

    #[test]
    fn each_limit_is_still_no_sign() {
        let ago = |seconds| Some(known().now - TimeDelta::seconds(seconds));
        assert_eq!(raised(&Known { heartbeat_at: ago(600), ..known() }), None);
        assert_eq!(raised(&Known { heartbeat_at: ago(-30), ..known() }), None);
        for (seconds, holds) in [(600, false), (601, true), (-30, false), (-31, true)] {
            let known = Known { mark: Mark::Sends(11), own_heartbeat_at: ago(seconds), ..known() };
            assert_eq!(raised(&known), Some(("rewound", 1, holds)), "{seconds}");
        }
        // A daemon that never sent has no mark to lose.
        assert_eq!(raised(&Known { sends: Some(0), mark: Mark::Missing, ..known() }), None);
    }

    #[test]
    fn how_long_it_was_is_said_in_the_unit_that_a_person_would_take() {
        for (minutes, said) in
            [(-1, "less than no time"), (0, "0 minutes"), (119, "119 minutes"), (120, "2 hours"), (2879, "47 hours")]
        {
            assert_eq!(in_words(TimeDelta::minutes(minutes)), said);
        }
        assert_eq!(in_words(TimeDelta::minutes(2880)), "2 days");
        let detail = judge(&Known { heartbeat_at: Some(known().now - TimeDelta::hours(3)), ..known() }).unwrap().detail;
        assert_eq!(detail, "no daemon came round for 3 hours");
    }
}
