//! How many requests a second we may make: a token bucket on instants. Pure: no timer, no task, whole numbers only.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::Instant;

/// One token is this many parts; at a rate of one a second a microsecond brings one part.
const TOKEN: i64 = 1_000_000;
/// After a pause the rate grows back in so many steps, one a second.
const STEPS_BACK: u32 = 20;
/// It is overdrawn by no more than so many seconds bring at the whole rate.
const MOST_OVERDRAFT_SECONDS: i64 = 60;

/// A budget of requests. Its burst is a tenth of a second's worth, at least one. It may be overdrawn by what was asked without being
/// granted first; then nothing goes until that is made good.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    whole: Option<NonZeroU32>,
    limit: Option<NonZeroU32>,
    rate: u32,
    parts: i64,
    seen_at: Option<Instant>,
    paused_until: Option<Instant>,
    grows_from: Option<Instant>,
    used_since_pause: bool,
}

impl TokenBucket {
    /// A full bucket; without a limit it is never empty, but can be paused.
    pub fn new(per_second: Option<NonZeroU32>) -> Self {
        let rate = per_second.map_or(0, NonZeroU32::get);
        TokenBucket {
            whole: per_second,
            limit: per_second,
            rate,
            parts: burst(rate) * TOKEN,
            seen_at: None,
            paused_until: None,
            grows_from: None,
            used_since_pause: true,
        }
    }

    /// How many requests may go now.
    pub fn available(&self, now: Instant) -> u32 {
        self.refilled(now).tokens(now)
    }

    /// Takes up to `wanted` tokens, and says how many were there.
    pub fn take(&mut self, now: Instant, wanted: u32) -> u32 {
        *self = self.refilled(now);
        self.spend(wanted.min(self.tokens(now)))
    }

    /// The same for what goes before everything else: one token is taken beyond what is there.
    pub fn overdraw(&mut self, now: Instant, wanted: u32) -> u32 {
        *self = self.refilled(now);
        let mut beyond = self.clone();
        beyond.parts = beyond.parts.saturating_add(TOKEN);
        self.spend(wanted.min(beyond.tokens(now)))
    }

    fn spend(&mut self, granted: u32) -> u32 {
        if self.limit.is_some() {
            self.parts = self.parts.saturating_sub(i64::from(granted) * TOKEN);
        }
        granted
    }

    /// Requests that were granted are being made.
    pub fn used(&mut self) {
        self.used_since_pause = true;
    }

    /// Takes tokens for requests that were made already, whether they are there or not.
    pub fn debit(&mut self, now: Instant, made: u32) {
        *self = self.refilled(now);
        if let Some(limit) = self.limit {
            let least = -i64::from(limit.get()) * MOST_OVERDRAFT_SECONDS * TOKEN;
            self.parts = self.parts.saturating_sub(i64::from(made) * TOKEN).max(least);
        }
    }

    /// The budget is shared by so many daemons, and this bucket has an equal part of it, at least one a second.
    pub fn share_among(&mut self, daemons: u32) {
        let Some(whole) = self.whole else { return };
        let part = NonZeroU32::new(whole.get() / daemons.max(1)).unwrap_or(NonZeroU32::MIN);
        let was_whole = self.limit.is_some_and(|limit| self.rate >= limit.get());
        self.limit = Some(part);
        self.rate = if was_whole { part.get() } else { self.rate.min(part.get()) };
        self.parts = self.parts.min(burst(self.rate) * TOKEN);
    }

    /// Gives back tokens that were taken and not used.
    pub fn give_back(&mut self, unused: u32) {
        self.parts = self.parts.saturating_add(i64::from(unused) * TOKEN).min(burst(self.rate) * TOKEN);
    }

    /// When at least one token will be there; none where one is there now.
    pub fn next_at(&self, now: Instant) -> Option<Instant> {
        let bucket = self.refilled(now);
        if bucket.tokens(now) > 0 {
            return None;
        }
        let resumes_at = bucket.paused_until.unwrap_or(now).max(now);
        let missing = match bucket.limit {
            Some(_) => u64::try_from(TOKEN.saturating_sub(bucket.parts)).unwrap_or(0),
            None => 0,
        };
        let wait_micros = missing.div_ceil(u64::from(bucket.rate.max(1)));
        Some(resumes_at.max(now + Duration::from_micros(wait_micros)))
    }

    /// The gateway limited our rate: nothing goes until `instant`, and then half as much, growing back over twenty seconds.
    /// A volley of such answers, all to requests from before the pause, halves the rate once. Whether this one is the first of its volley.
    pub fn pause_until(&mut self, instant: Instant) -> bool {
        let is_first = std::mem::take(&mut self.used_since_pause);
        if is_first {
            self.rate = (self.rate / 2).max(1);
        }
        self.parts = self.parts.min(burst(self.rate) * TOKEN);
        let until = self.paused_until.map_or(instant, |known| known.max(instant));
        self.paused_until = Some(until);
        self.grows_from = Some(until);
        is_first
    }

    /// The rate granted now, in requests a second; none where unlimited.
    pub fn rate(&self, now: Instant) -> Option<u32> {
        self.limit.map(|_| self.refilled(now).rate)
    }

    fn tokens(&self, now: Instant) -> u32 {
        if self.paused_until.is_some_and(|until| now < until) {
            return 0;
        }
        match self.limit {
            Some(_) => u32::try_from((self.parts / TOKEN).max(0)).unwrap_or(u32::MAX),
            None => u32::MAX,
        }
    }

    /// The bucket as it stands at `now`. A clock set back brings no token and moves a pause along, so that it lasts as long as
    /// it was meant to; a clock set forward brings at most one burst.
    fn refilled(&self, now: Instant) -> TokenBucket {
        let mut bucket = self.clone();
        let elapsed = bucket.seen_at.map_or(TimeDelta::zero(), |seen_at| now - seen_at);
        bucket.seen_at = Some(now);
        if elapsed < TimeDelta::zero() {
            for instant in [&mut bucket.paused_until, &mut bucket.grows_from].into_iter().flatten() {
                *instant = instant.checked_add_signed(elapsed).unwrap_or(now);
            }
            return bucket;
        }
        bucket.grow(now);
        let micros = elapsed.num_microseconds().unwrap_or(i64::MAX);
        let brought = micros.saturating_mul(i64::from(bucket.rate));
        bucket.parts = bucket.parts.saturating_add(brought).min(burst(bucket.rate) * TOKEN);
        bucket
    }

    fn grow(&mut self, now: Instant) {
        let (Some(limit), Some(from)) = (self.limit, self.grows_from) else { return };
        let seconds = u32::try_from((now - from).num_seconds()).unwrap_or(0);
        if seconds == 0 {
            return;
        }
        let step = limit.get().div_ceil(STEPS_BACK);
        self.rate = self.rate.saturating_add(step.saturating_mul(seconds)).min(limit.get());
        self.grows_from = (self.rate < limit.get()).then(|| from + TimeDelta::seconds(i64::from(seconds)));
    }
}

fn burst(rate: u32) -> i64 {
    i64::from((rate / 10).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant_from_micros;

    fn at(millis: i64) -> Instant {
        instant_from_micros(1_800_000_000_000_000 + millis * 1_000)
    }

    fn bucket(per_second: u32) -> TokenBucket {
        TokenBucket::new(NonZeroU32::new(per_second))
    }

    #[test]
    fn a_second_brings_what_was_granted_and_the_burst_a_tenth_of_it() {
        let mut bucket = bucket(100);
        assert_eq!(bucket.take(at(0), 1_000), 10);
        let granted: u32 = (1..=1_000).map(|millis| bucket.take(at(millis), 1_000)).sum();
        assert_eq!(granted, 100);
        assert_eq!(bucket.available(at(60_000)), 10);
    }

    #[test]
    fn a_small_budget_still_moves() {
        let mut bucket = bucket(1);
        assert_eq!(bucket.take(at(0), 5), 1);
        assert_eq!(bucket.next_at(at(0)), Some(at(1_000)));
        assert_eq!(bucket.take(at(999), 5), 0);
        assert_eq!(bucket.next_at(at(1_000)), None);
        assert_eq!(bucket.take(at(1_000), 5), 1);
    }

    #[test]
    fn an_overdraft_is_one_token_and_is_made_good_first() {
        let mut bucket = bucket(100);
        assert_eq!(bucket.overdraw(at(0), 4), 4);
        assert_eq!(bucket.overdraw(at(0), 100), 7);
        assert_eq!((bucket.overdraw(at(0), 1), bucket.take(at(19), 1)), (0, 0));
        assert_eq!((bucket.take(at(20), 100), bucket.overdraw(at(20), 100)), (1, 1));
        bucket.pause_until(at(2_000));
        assert_eq!(bucket.overdraw(at(1_999), 1), 0, "a pause is a pause");
        let mut unlimited = TokenBucket::new(None);
        assert_eq!(unlimited.overdraw(at(0), 1_000), 1_000);
    }

    #[test]
    fn at_next_at_there_is_a_token() {
        for per_second in [1, 3, 7, 10, 99, 1_000, u32::MAX] {
            let mut bucket = bucket(per_second);
            bucket.take(at(0), u32::MAX);
            bucket.pause_until(at(20));
            let next_at = bucket.next_at(at(1)).unwrap();
            assert!(next_at >= at(20) && bucket.available(next_at) > 0, "{per_second}");
        }
    }

    #[test]
    fn a_volley_of_429_pauses_and_halves_once_and_the_rate_grows_back() {
        let mut bucket = bucket(100);
        bucket.take(at(0), 10);
        let firsts = (0..64).filter(|_| bucket.pause_until(at(1_000))).count();
        assert_eq!(firsts, 1);
        assert_eq!((bucket.available(at(999)), bucket.rate(at(999))), (0, Some(50)));
        assert_eq!(bucket.next_at(at(10)), Some(at(1_000)));
        assert_eq!(bucket.take(at(1_000), 100), 5);
        assert!(!bucket.pause_until(at(2_000)), "what was granted is not yet on its way: it is of the same volley");
        bucket.used();
        assert!(bucket.pause_until(at(2_000)));
        assert_eq!(bucket.rate(at(2_000)), Some(25));
        assert_eq!(bucket.rate(at(3_500)), Some(30));
        assert_eq!(bucket.rate(at(17_000)), Some(100));
        assert_eq!(bucket.rate(at(900_000)), Some(100));
    }

    #[test]
    fn a_clock_set_back_or_forth_grants_no_flood_and_ends_every_pause() {
        let day = 86_400_000;
        let mut bucket = bucket(100);
        bucket.take(at(0), 10);
        bucket.pause_until(at(1_000));
        assert_eq!(bucket.take(at(-day), 100), 0);
        assert_eq!(bucket.next_at(at(-day)), Some(at(-day + 1_000)));
        assert!(bucket.take(at(-day + 1_000), 100) <= 10);
        assert!(bucket.take(at(365 * day), 1_000) <= 10);
        assert_eq!(bucket.take(at(-365 * day), 1_000), 0);
        assert!(bucket.available(Instant::MAX_UTC) <= 10);
        assert!(bucket.available(Instant::MIN_UTC) <= 10);
    }

    #[test]
    fn a_budget_is_shared_equally_and_whole_again_when_the_others_are_gone() {
        let mut bucket = bucket(90);
        bucket.share_among(3);
        assert_eq!((bucket.rate(at(0)), bucket.available(at(0))), (Some(30), 3));
        bucket.take(at(0), 3);
        bucket.pause_until(at(100));
        bucket.share_among(2);
        assert_eq!(bucket.rate(at(100)), Some(15), "what a pause took grows back");
        assert_eq!(bucket.rate(at(60_000)), Some(45));
        bucket.share_among(1);
        assert_eq!(bucket.rate(at(60_001)), Some(90));
        bucket.share_among(1_000);
        assert_eq!(bucket.rate(at(60_001)), Some(1));
        let mut unlimited = TokenBucket::new(None);
        unlimited.share_among(5);
        assert_eq!(unlimited.take(at(0), 100), 100);
    }

    #[test]
    fn without_a_limit_only_a_pause_holds() {
        let mut bucket = TokenBucket::new(None);
        assert_eq!(bucket.take(at(0), 7_000_000), 7_000_000);
        bucket.pause_until(at(50));
        assert_eq!((bucket.take(at(49), 3), bucket.next_at(at(49))), (0, Some(at(50))));
        assert_eq!((bucket.take(at(50), 3), bucket.next_at(at(50)), bucket.rate(at(50))), (3, None, None));
    }

    #[test]
    fn unused_tokens_come_back_but_never_above_the_burst() {
        let mut bucket = bucket(50);
        assert_eq!(bucket.take(at(0), 4), 4);
        bucket.give_back(3);
        assert_eq!(bucket.available(at(0)), 4);
        bucket.give_back(u32::MAX);
        assert_eq!(bucket.available(at(0)), 5);
    }

    #[test]
    fn what_was_asked_without_a_grant_is_made_good_before_anything_goes() {
        let mut bucket = bucket(100);
        bucket.debit(at(0), 4);
        assert_eq!(bucket.available(at(0)), 6);
        bucket.debit(at(0), 26);
        assert_eq!((bucket.available(at(0)), bucket.take(at(0), 5)), (0, 0));
        assert_eq!(bucket.take(at(200), 5), 0);
        assert_eq!(bucket.next_at(at(200)), Some(at(210)));
        assert_eq!(bucket.take(at(210), 5), 1);
        let granted: u32 = (211..=1_210).map(|millis| bucket.take(at(millis), 1_000)).sum();
        assert_eq!(granted, 100);
    }

    #[test]
    fn an_overdraft_is_made_good_within_a_minute() {
        for per_second in [1, 90, u32::MAX] {
            let mut bucket = bucket(per_second);
            for _ in 0..1_000 {
                bucket.debit(at(0), u32::MAX);
            }
            let next_at = bucket.next_at(at(0)).unwrap();
            assert!(at(60_000) < next_at && next_at <= at(61_000), "{per_second}: {next_at}");
            assert_eq!((bucket.available(at(59_999)), bucket.available(next_at) > 0), (0, true), "{per_second}");
            assert_eq!(bucket.available(Instant::MAX_UTC), full(per_second), "{per_second}");
        }
    }

    /// What a full bucket holds.
    fn full(per_second: u32) -> u32 {
        bucket(per_second).available(at(0))
    }

    #[test]
    fn without_a_limit_nothing_is_overdrawn() {
        let mut bucket = TokenBucket::new(None);
        bucket.debit(at(0), 1_000);
        assert_eq!(bucket.take(at(0), 3), 3);
    }
}
