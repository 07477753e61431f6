//! A world drawn from a seed: its settings, who subscribes to what, whose wallet is empty when, who cancels, and when the gateway is
//! away. There are two worlds, because look-up and key each suffice in one: test each layer with the other one broken.

mod fixed;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{Days, TimeDelta};

use super::Plan;
use super::faults::Kind;
use super::incidents::Incident;
use super::stage::Stage;
use crate::chance::Chance;
use crate::clock::Instant;
use crate::domain::calendar::{Interval, IntervalUnit, Schedule, Segment, Zone};
use crate::engine::hand_over::HandOver;
use crate::sandbox::{Effect, Outcome, Rule};
use crate::store::customers::NewCustomer;

/// Which layer of the protocol is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Look-ups work within their bound, but a 5xx may hide an effect, and then the key does not remember it.
    A,
    /// Look-ups are useless for up to a day, but keys are honest.
    B,
}

/// The local hour at which every period begins.
const HOUR: u8 = 10;
/// Name, minor units, interval.
const PLANS: &[(&str, u32, IntervalUnit, u64)] = &[
    ("monthly", 12_800, IntervalUnit::Month, 86),
    ("weekly", 1_100, IntervalUnit::Week, 12),
    ("daily", 100, IntervalUnit::Day, 2),
];
const ZONES: &[(&str, u64)] = &[("Asia/Hong_Kong", 80), ("Europe/London", 10), ("America/New_York", 10)];

/// Everything that is drawn once.
#[derive(Debug)]
pub(super) struct World {
    which: Which,
    pub begins: Instant,
    pub ends: Instant,
    pub members: Vec<Member>,
    by_reference: BTreeMap<String, usize>,
    pub rules: Vec<Rule>,
    pub acts: Vec<Act>,
    episodes: Vec<(Kind, Instant, Instant)>,
    pub settings: Vec<(String, String)>,
    /// What befalls books and clocks.
    pub incidents: Vec<(Instant, Incident)>,
    /// How long the gateway remembers a key.
    pub key_life: Duration,
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Member {
    pub hand_over: HandOver,
    schedule: Schedule,
    pub canceled_at: Option<Instant>,
}

/// Something a person does.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub at: Instant,
    pub reference: String,
    pub at_period_end: bool,
}

impl World {
    /// Draws it.
    pub fn draw(plan: &Plan, database: &str, chance: &Chance) -> World {
        let begins: Instant = "2026-01-15T00:00:00Z".parse().expect("a literal instant");
        let ends = begins + TimeDelta::days(30 * i64::from(plan.months));
        let key_hours = [24, 24, 6][usize::try_from(chance.below(3)).unwrap_or_default()];
        let mut world = World {
            which: plan.world,
            begins,
            ends,
            members: Vec::new(),
            by_reference: BTreeMap::new(),
            rules: Vec::new(),
            acts: Vec::new(),
            episodes: Vec::new(),
            incidents: Vec::new(),
            settings: settings(plan, database, key_hours, chance),
            key_life: Duration::from_hours(key_hours),
        };
        for number in 1..=plan.subscriptions {
            world.join(number, chance);
        }
        world.acts.sort_by_key(|act| act.at);
        world.pendings_and_lags(plan, chance);
        world.draw_episodes(chance);
        world
    }

    /// Whether a 5xx may stand for a payment that was made.
    pub fn may_hide_effects(&self) -> bool {
        self.which == Which::A
    }

    /// When a period begins by the calendar; none where it is nobody's.
    pub fn due_at(&self, subscription: &str, period: i64) -> Option<Instant> {
        self.members[*self.by_reference.get(subscription)?].due_at(period)
    }

    /// What the gateway suffers from at `now`.
    pub fn episode(&self, now: Instant, stage: &Stage) -> Option<Kind> {
        let on = |(kind, from, until): &&(Kind, Instant, Instant)| *from <= now && now < *until && stage.knows(*kind);
        self.episodes.iter().find(on).map(|(kind, _, _)| *kind)
    }

    fn join(&mut self, number: u32, chance: &Chance) {
        let source_id = format!("src_{number:026}");
        let reference = format!("SIM-{number:04}");
        let days = self.days();
        let zone: Zone = pick(ZONES, chance).parse().expect("the zones of a world are in every time zone database");
        let plans: Vec<(&str, u64)> = PLANS.iter().map(|(name, _, _, weight)| (*name, *weight)).collect();
        let plan = pick(&plans, chance);
        let unit = PLANS.iter().find(|(name, ..)| *name == plan).map_or(IntervalUnit::Month, |(_, _, unit, _)| *unit);
        let anchor_on = self.begins.date_naive() + Days::new(1 + chance.below(days.clamp(2, 28)));
        let segment = Segment {
            first_index: 0,
            anchor_on,
            hour: HOUR,
            zone: zone.clone(),
            interval: Interval { unit, count: NonZeroU32::MIN },
        };
        let schedule = Schedule::new(vec![segment]).expect("a schedule of one segment near today");
        let hand_over = HandOver {
            reference: reference.clone(),
            plan: plan.to_owned(),
            source_id: source_id.clone(),
            first_payment_id: None,
            customer: NewCustomer {
                reference: format!("SIM-CUSTOMER-{number:04}"),
                name: Some("Simulated Customer".to_owned()),
                email: Some(format!("customer-{number}@example.com")),
                country: "HK".to_owned(),
            },
            anchor_on,
            zone,
            next_charge_on: None,
        };
        self.wallet_of(&source_id, chance);
        let mut member = Member { hand_over, schedule, canceled_at: None };
        if chance.below(100) < 15 {
            let at = self.instant(chance);
            member.canceled_at = Some(at);
            self.acts.push(Act { at, reference: reference.clone(), at_period_end: chance.below(3) == 0 });
        }
        self.by_reference.insert(reference, self.members.len());
        self.members.push(member);
    }

    /// What declines this wallet's payments.
    fn wallet_of(&mut self, source_id: &str, chance: &Chance) {
        let rule = match chance.below(100) {
            0..14 => {
                let from = self.instant(chance);
                let until = from + TimeDelta::hours(count(24 + chance.below(24 * 20)));
                Rule::decline("empty wallet", "20051").between(from, until)
            }
            14..17 => Rule::decline("unbound", "20120").between(self.instant(chance), Instant::MAX_UTC),
            17..30 => Rule::decline("refused", "20005").per_mille(150),
            30..40 => Rule::decline("technical", "20091").per_mille(150),
            40..43 => Rule::outcome("left", Outcome::Cancel).per_mille(200),
            43..46 => Rule::outcome("too late", Outcome::Expire).per_mille(200),
            _ => return,
        };
        self.rules.push(rule.for_source(source_id));
    }

    fn pendings_and_lags(&mut self, plan: &Plan, chance: &Chance) {
        if plan.kinds.has(Kind::LongPending) {
            for per_mille in [30, 20, 10] {
                let after = Duration::from_secs(600 + 60 * chance.below(60 * 24 * 4));
                let gives = Effect::Settle { outcome: None, after: Some(after) };
                self.rules.push(Rule::new("pending for long", gives).per_mille(per_mille));
            }
        }
        if plan.kinds.has(Kind::LookUpLag) {
            let lags: &[(u64, u16)] = match self.which {
                Which::A => &[(20, 100), (180, 50), (595, 30)],
                Which::B => &[(24 * 3_600, 300), (6 * 3_600, 400), (1_200, 500)],
            };
            for (seconds, per_mille) in lags {
                let read = Duration::from_secs(chance.below(30));
                let gives = Effect::Lag { lookup: Some(Duration::from_secs(*seconds)), read: Some(read) };
                self.rules.push(Rule::new("seen late", gives).per_mille(*per_mille));
            }
        }
    }

    fn draw_episodes(&mut self, chance: &Chance) {
        let months = self.days() / 30 + 1;
        for (kind, each_month, longest_minutes) in
            [(Kind::KeyRefused, 1, 6 * 60), (Kind::Outage, 1, 3 * 60), (Kind::LookUpsDown, 1, 3 * 60)]
        {
            for _ in 0..months * each_month {
                let from = self.instant(chance);
                let minutes = 5 + chance.below(longest_minutes);
                self.episodes.push((kind, from, from + TimeDelta::minutes(count(minutes))));
            }
        }
        // In every other world look-ups are once away for longer than a key lives.
        if chance.below(2) == 0 {
            let from = self.instant(chance);
            let hours = self.key_life.as_secs() / 3_600 + 1 + chance.below(6);
            self.episodes.push((Kind::LookUpsDown, from, from + TimeDelta::hours(count(hours))));
        }
    }

    fn days(&self) -> u64 {
        u64::try_from((self.ends - self.begins).num_days()).unwrap_or(1)
    }

    fn instant(&self, chance: &Chance) -> Instant {
        self.begins + TimeDelta::minutes(count(chance.below(self.days() * 24 * 60)))
    }
}

impl Member {
    pub fn due_at(&self, period: i64) -> Option<Instant> {
        self.schedule.start_of(period).ok()
    }
}

fn settings(plan: &Plan, database: &str, key_hours: u64, chance: &Chance) -> Vec<(String, String)> {
    let one_of =
        |choices: &[&str]| choices[usize::try_from(chance.below(choices.len() as u64)).unwrap_or_default()].to_owned();
    let mut settings: Vec<(String, String)> = [
        ("installation.name", "simulation".to_owned()),
        ("installation.environment", "live".to_owned()),
        ("gateway.url", "https://api.checkout.com".to_owned()),
        ("gateway.processing_channel_id", "pc_simulatedsimulatedsimulate".to_owned()),
        ("database.url", database.to_owned()),
        ("engine.batch", one_of(&["4", "20", "100"])),
        ("engine.in_flight", one_of(&["4", "16", "64"])),
        ("budget.writes_per_second", one_of(&["10", "90", "90", "90", "90", "90"])),
        ("budget.reads_per_second", one_of(&["10", "90", "90", "90", "90", "90"])),
        ("engine.predecessor_wait", one_of(&["0s", "0s", "6h", "24h"])),
        ("protocol.key_life", format!("{key_hours}h")),
        ("protocol.key_margin", "2h".to_owned()),
        ("protocol.settle_wait_after_server_error", "2h".to_owned()),
        ("protocol.look_again", one_of(&["10m", "1h"])),
        ("protocol.gap", one_of(&["3h", "12h", "12h", "12h", "12h", "12h"])),
        // A world is small, and what its faults put off for days comes on one day.
        ("limits.brake_margin", "100000".to_owned()),
        ("audit.reads_per_second", one_of(&["30", "90", "90", "90"])),
        ("audit.ages", one_of(&["1d, 7d, 20d", "2d, 20d"])),
        ("circuit.probe_after", one_of(&["30s", "3m", "10m"])),
        ("protocol.look_first", one_of(&["needed", "needed", "always"])),
        // A look-up that is right about absence is what a new attempt after the key's life rests on.
        (
            "protocol.auto_after_window",
            if plan.world == Which::A { one_of(&["true", "false"]) } else { "false".to_owned() },
        ),
        ("catch_up.missed", one_of(&["bill_all", "bill_all", "bill_latest"])),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    for (name, amount_minor, unit, _) in PLANS {
        let mut set = |key: &str, value: String| settings.push((format!("plans.{name}.{key}"), value));
        set("amount_minor", amount_minor.to_string());
        set("currency", "HKD".to_owned());
        set("interval", unit.as_str().to_owned());
        set("billing_hour", HOUR.to_string());
        set("description", format!("Simulated, {name}"));
    }
    settings
}

fn pick<'a>(choices: &[(&'a str, u64)], chance: &Chance) -> &'a str {
    let mut drawn = chance.below(choices.iter().map(|(_, weight)| weight).sum());
    for (choice, weight) in choices {
        match drawn.checked_sub(*weight) {
            Some(rest) => drawn = rest,
            None => return choice,
        }
    }
    choices[0].0
}

fn count(of: u64) -> i64 {
    i64::try_from(of).unwrap_or_default()
}
