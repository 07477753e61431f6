//! One charge with everything around it, built by hand, and in words what a decision changed of it.

use std::fmt::Write;
use std::sync::LazyLock;

use chrono::TimeDelta;

use crate::chance::Chance;
use crate::clock::Instant;
use crate::config::{self, Sources};
use crate::domain::attempt::AttemptState;
use crate::domain::charge::ChargeState;
use crate::domain::money::Money;
use crate::domain::source::SourceState;
use crate::domain::subscription::SubscriptionState;
use crate::domain::word::IllegalEvent;
use crate::engine::desk::{Attempt, Charge, Context, Desk, DunningCase, Notes, Source, Subscription};
use crate::engine::rules::Rules;
use crate::engine::standing::{Room, Standing};
use crate::gateway::outcome::{Payment, PaymentStatus};

/// The attempt that is decided about, and the one before it where it is a retry.
pub(super) const ID: i64 = 11;
pub(super) const EARLIER: i64 = 10;
/// The lease under which it was read.
pub(super) const EPOCH: i64 = 3;
/// Its payment, and another.
pub(super) const OURS: &str = "pay_ours";
pub(super) const OTHER: &str = "pay_other";
pub(super) const REFERENCE: &str = "d1-ours-0";
pub(super) const AMOUNT_MINOR: i64 = 12_800;

/// What the metadata of our payments bear.
static LEDGER: LazyLock<String> = LazyLock::new(|| rules(&[]).ledger.to_string());

pub(super) fn now() -> Instant {
    "2026-01-20T02:00:00Z".parse().unwrap()
}

/// How long a lease holds.
pub(super) const LEASE: TimeDelta = TimeDelta::minutes(3);

pub(super) fn ago(span: TimeDelta) -> Option<Instant> {
    Some(now() - span)
}

/// The rules of a config that says nothing but what it must, and whatever `flags` say.
pub(super) fn rules(flags: &[(&str, &str)]) -> Rules {
    let own = [
        ("installation.name", "test"),
        ("installation.environment", "live"),
        ("gateway.url", "https://api.checkout.com"),
        ("gateway.processing_channel_id", "pc_ekaubqrravqupfxde7kxvd2t3i"),
        ("database.url", "sqlite:nowhere.db"),
        ("plans.monthly.amount_minor", "12800"),
        ("plans.monthly.currency", "HKD"),
        ("plans.monthly.interval", "month"),
        ("plans.monthly.description", "Monthly plan"),
        ("protocol.lease", "3m"),
        ("dunning.default.funds", "1d, 3d"),
        ("dunning.default.refused", "2d"),
        ("dunning.default.technical", "2h, 1d"),
        ("dunning.default.end", "suspend"),
    ];
    let all = own
        .iter()
        .filter(|it| !flags.iter().any(|flag| flag.0 == it.0))
        .chain(flags)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let settings = match config::load(&Sources::of_flags(all.collect())) {
        Ok(loaded) => loaded.settings,
        Err(faults) => panic!("the settings of the tables are wrong:\n{faults}"),
    };
    Rules::without_books(&settings)
}

pub(super) fn context<'a>(rules: &'a Rules, chance: &'a Chance) -> Context<'a> {
    let room = Room { count: 5, amount_minor: 5 * AMOUNT_MINOR };
    Context {
        rules,
        now: now(),
        resend_from: now() - TimeDelta::days(1),
        stepped_at: None,
        allowance: 2,
        standing: Standing { room: [("HKD".to_owned(), room)].into(), ..Standing::default() },
        newer: Default::default(),
        chance,
    }
}

/// An attempt as it stands in the books in such a state.
pub(super) fn attempt(id: i64, n: i64, state: AttemptState) -> Attempt {
    use AttemptState as S;
    let sent = !matches!(state, S::Created | S::Withdrawn);
    let sent_at = if sent { ago(TimeDelta::minutes(10)) } else { None };
    let knows = matches!(state, S::Pending | S::Captured | S::Declined | S::Canceled | S::Expired);
    Attempt {
        id,
        n,
        is_first: false,
        epoch: EPOCH,
        leased_epoch: EPOCH,
        leased_until: now() + LEASE,
        state,
        payment_id: knows.then(|| OURS.to_owned()),
        next_at: state.is_live().then_some(now()),
        lease_until: Some(now() + TimeDelta::minutes(1)),
        sends: i64::from(sent),
        looks: 0,
        late_looks: 0,
        first_sent_at: sent_at,
        last_sent_at: sent_at,
        unknown_since: if state == S::Unknown { ago(TimeDelta::minutes(9)) } else { None },
        server_error: false,
        answer_lost: state == S::Unknown,
        missing_since: None,
        created_at: now() - TimeDelta::minutes(30),
        settled_at: if state.is_live() { None } else { ago(TimeDelta::minutes(5)) },
    }
}

/// A charge whose one attempt is in this state, and everything as it is then.
pub(super) fn desk(state: AttemptState) -> Desk {
    use AttemptState as S;
    let charge_state = match state {
        S::Created => ChargeState::Due,
        S::Sending | S::Unknown | S::Pending => ChargeState::Collecting,
        S::Captured | S::Superseded => ChargeState::Paid,
        S::Declined | S::Canceled | S::Expired | S::Absent => ChargeState::Retrying,
        S::Rejected => ChargeState::InReview,
        S::Withdrawn => ChargeState::Void,
    };
    let paid_by = match state {
        S::Captured => Some(OURS.to_owned()),
        S::Superseded => Some(OTHER.to_owned()),
        _ => None,
    };
    let case = DunningCase {
        policy_id: 1,
        state: "open",
        steps: 1,
        next_step_at: Some(now() + TimeDelta::days(1)),
        opened_at: now() - TimeDelta::days(1),
        closed_at: None,
    };
    Desk {
        charge: Charge {
            id: 7,
            public_id: "chg_7".to_owned(),
            subscription_id: 5,
            reference: REFERENCE.to_owned(),
            due_at: now() - TimeDelta::hours(1),
            amount: Money::new(AMOUNT_MINOR, "HKD".parse().unwrap()),
            state: charge_state,
            reason: None,
            paid_at: paid_by.as_ref().map(|_| now() - TimeDelta::minutes(5)),
            paid_by,
            dunning: "default".to_owned(),
            zone: "Asia/Hong_Kong".to_owned(),
            case: (charge_state == ChargeState::Retrying).then_some(case),
            other_open_cases: 0,
            attempts: vec![attempt(ID, 1, state)],
        },
        subscription: Subscription { id: 5, reference: "ORD-1".to_owned(), state: SubscriptionState::Active },
        source: Some(Source { id: 3, state: SourceState::Active }),
        notes: Notes::default(),
    }
}

/// The same where it is the second attempt, after one that was declined.
pub(super) fn retry(state: AttemptState) -> Desk {
    let mut desk = desk(state);
    let mut earlier = attempt(EARLIER, 1, AttemptState::Declined);
    earlier.payment_id = Some("pay_earlier".to_owned());
    desk.charge.attempts = vec![earlier, attempt(ID, 2, state)];
    if desk.charge.state == ChargeState::Due {
        desk.charge.state = ChargeState::Retrying;
    }
    desk
}

/// The same where it is a first payment whose source nobody has named yet.
pub(super) fn first(state: AttemptState) -> Desk {
    let mut desk = desk(state);
    desk.charge.attempts[0].is_first = true;
    desk.source = None;
    desk.subscription.state = SubscriptionState::Incomplete;
    desk.charge.case = None;
    desk
}

pub(super) fn payment(id: &str, status: PaymentStatus) -> Payment {
    let taken = matches!(status, PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded);
    Payment {
        id: id.to_owned(),
        status,
        reference: Some(REFERENCE.to_owned()),
        amount_minor: Some(AMOUNT_MINOR),
        currency: Some("HKD".to_owned()),
        source_id: None,
        redirect_url: None,
        response_code: None,
        response_summary: None,
        code_unread: false,
        captured_minor: taken.then_some(AMOUNT_MINOR),
        refunded_minor: None,
        requested_on: None,
        attempt_n: Some(1),
        ledger: Some(LEDGER.clone()),
        subscription: None,
        period: None,
        retry_scheduled: false,
        request_id: None,
        partner_code: None,
    }
}

/// What a decision came to: everything that is not as it was.
pub(super) fn told(was: &Desk, is: &Desk, came: Result<(), IllegalEvent>, context: &Context<'_>) -> String {
    if let Err(illegal) = came {
        // It is decided anew from what was read: set aside.
        let mut aside = was.clone();
        aside.set_aside(context, ID, &illegal);
        return format!("ILLEGAL {illegal}: {}", told(was, &aside, Ok(()), context));
    }
    let mut out = String::new();
    for (was, is) in was.charge.attempts.iter().zip(&is.charge.attempts) {
        let mut words = Vec::new();
        let mut changed = |name: &str, was: String, is: String| {
            if was != is {
                words.push(format!("{name} {is}"));
            }
        };
        changed("", was.state.to_string(), is.state.to_string());
        changed("payment", show(was.payment_id.as_ref()), show(is.payment_id.as_ref()));
        changed("next", when(was.next_at), when(is.next_at));
        changed("lease", when(was.lease_until), when(is.lease_until));
        changed("leased", was.leased_epoch.to_string(), is.leased_epoch.to_string());
        changed("sends", was.sends.to_string(), is.sends.to_string());
        changed("looks", was.looks.to_string(), is.looks.to_string());
        changed("late", was.late_looks.to_string(), is.late_looks.to_string());
        changed("first sent", when(was.first_sent_at), when(is.first_sent_at));
        changed("last sent", when(was.last_sent_at), when(is.last_sent_at));
        changed("unknown since", when(was.unknown_since), when(is.unknown_since));
        changed("server error", was.server_error.to_string(), is.server_error.to_string());
        changed("answer lost", was.answer_lost.to_string(), is.answer_lost.to_string());
        changed("missing since", when(was.missing_since), when(is.missing_since));
        changed("settled", when(was.settled_at), when(is.settled_at));
        if !words.is_empty() {
            let which = if is.id == ID { "attempt" } else { "earlier" };
            put(&mut out, format_args!("{which}: {}", words.join(", ").trim()));
        }
    }
    let (before, after) = (&was.charge, &is.charge);
    if (before.state, &before.reason, &before.paid_by) != (after.state, &after.reason, &after.paid_by) {
        let (reason, paid_by) = (show(after.reason.as_ref()), show(after.paid_by.as_ref()));
        put(&mut out, format_args!("charge {} ({reason}) paid by {paid_by} at {}", after.state, when(after.paid_at)));
    }
    if before.case != after.case
        && let Some(case) = &after.case
    {
        let (next, closed) = (when(case.next_step_at), when(case.closed_at));
        put(
            &mut out,
            format_args!(
                "case {} of policy {} steps {} next {next} closed {closed}",
                case.state, case.policy_id, case.steps
            ),
        );
    }
    if was.subscription != is.subscription {
        put(&mut out, format_args!("subscription {}", is.subscription.state));
    }
    if was.source != is.source {
        put(&mut out, format_args!("source {}", is.source.as_ref().map_or("none", |it| it.state.as_str())));
    }
    notes(&mut out, &is.notes);
    if context.allowance != 2 {
        put(&mut out, format_args!("allowance {}", context.allowance));
    }
    for (currency, (count, minor)) in &context.standing.first_sends {
        put(&mut out, format_args!("day's plan {count:+} {minor:+} {currency}"));
    }
    if let Some(exceeded) = &context.standing.exceeded {
        put(&mut out, format_args!("exceeded: {exceeded}"));
    }
    if out.is_empty() { "nothing".to_owned() } else { out }
}

fn notes(out: &mut String, notes: &Notes) {
    for it in &notes.payments {
        let (taken, back) = (it.captured_minor, it.refunded_minor);
        let (id, class) = (show(it.attempt_id.as_ref()), it.decline_class.unwrap_or("-"));
        put(
            out,
            format_args!("kept {} {} {} of {id}: {taken} {back} {class}", it.kind, it.gateway_payment_id, it.status),
        );
    }
    if let Some(source) = &notes.new_source {
        put(out, format_args!("new source {} {}", source.gateway_source_id, source.state));
    }
    for it in &notes.reviews {
        put(out, format_args!("REVIEW {} of {}: {}", it.reason, it.subject, it.evidence));
    }
    for it in &notes.journal {
        let detail = show(it.detail.as_ref());
        put(out, format_args!("journal {} {} {}: {detail}", it.act, it.was.unwrap_or("-"), it.now.unwrap_or("-")));
    }
    for (what, ids) in [("CLEARED", &notes.cleared), ("LOOK FIRST", &notes.look_first)] {
        if !ids.is_empty() {
            put(out, format_args!("{what} {ids:?}"));
        }
    }
    for warning in &notes.warnings {
        put(out, format_args!("warns: {warning}"));
    }
    for stranger in &notes.strangers {
        put(out, format_args!("stranger {stranger}"));
    }
    if notes.answered {
        put(out, format_args!("answered"));
    }
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    let between = if out.is_empty() { "" } else { "; " };
    write!(out, "{between}{what}").unwrap();
}

fn show(it: Option<&impl ToString>) -> String {
    it.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// An instant by how far it is from now.
pub(super) fn when(at: Option<Instant>) -> String {
    let Some(at) = at else { return "-".to_owned() };
    let off = at - now();
    let millis = off.num_milliseconds();
    if millis == 0 {
        return "now".to_owned();
    }
    match (millis % 3_600_000, millis % 60_000, millis % 1_000) {
        (0, _, _) => format!("{:+}h", off.num_hours()),
        (_, 0, _) => format!("{:+}m", off.num_minutes()),
        (_, _, 0) => format!("{:+}s", off.num_seconds()),
        _ => format!("{millis:+}ms"),
    }
}
