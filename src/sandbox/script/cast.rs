//! A script on stage: which rule speaks to a request. It keeps the counts that "every", "times" and the dice need.

use std::time::Duration;

use serde::Serialize;

use super::{Effect, Fault, On, Outcome, Rule, Script};
use crate::clock::Instant;
use crate::gateway::transport::Method;
use crate::sandbox::names::Names;

/// What is known of a request when a rule is asked; a condition on something unknown does not hold.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sandbox) struct Facts<'a> {
    pub(in crate::sandbox) customer: Option<&'a str>,
    pub(in crate::sandbox) source: Option<&'a str>,
    pub(in crate::sandbox) reference: Option<&'a str>,
    pub(in crate::sandbox) amount_minor: Option<i64>,
    pub(in crate::sandbox) subscription: Option<&'a str>,
}

/// A script and how often each of its rules was met.
#[derive(Debug)]
pub(in crate::sandbox) struct Cast(Vec<Part>);

/// One rule of the script that is obeyed now.
#[derive(Debug, Serialize)]
pub(in crate::sandbox) struct RuleCount {
    name: String,
    /// How many requests fulfilled its conditions.
    met: u64,
    /// How many of them it decided.
    spoke: u64,
}

#[derive(Debug)]
struct Part {
    rule: Rule,
    met: u64,
    spoke: u64,
}

impl Cast {
    /// The script with all counts at nought.
    pub(in crate::sandbox) fn of(script: Script) -> Self {
        Cast(script.rules.into_iter().map(|rule| Part { rule, met: 0, spoke: 0 }).collect())
    }

    /// How often each rule was met and spoke, in order.
    pub(in crate::sandbox) fn counts(&self) -> Vec<RuleCount> {
        let count = |part: &Part| RuleCount { name: part.rule.name.clone(), met: part.met, spoke: part.spoke };
        self.0.iter().map(count).collect()
    }

    /// What goes wrong with a request.
    pub(in crate::sandbox) fn fault(
        &mut self,
        method: Method,
        facts: &Facts<'_>,
        now: Instant,
        dice: &Names,
    ) -> Option<Fault> {
        self.0.iter_mut().find_map(|part| match &part.rule.gives {
            Effect::Fault(fault) if meets(part.rule.when.on, method) => {
                let fault = fault.clone();
                part.speaks(facts, now, dice).then_some(fault)
            }
            Effect::Fault(_) | Effect::Settle { .. } | Effect::Lag { .. } => None,
        })
    }

    /// How and when a new payment ends, where a rule says so.
    pub(in crate::sandbox) fn settlement(
        &mut self,
        facts: &Facts<'_>,
        now: Instant,
        dice: &Names,
    ) -> (Option<Outcome>, Option<Duration>) {
        let said = self.0.iter_mut().find_map(|part| match &part.rule.gives {
            Effect::Settle { outcome, after } => {
                let said = (outcome.clone(), *after);
                part.speaks(facts, now, dice).then_some(said)
            }
            Effect::Fault(_) | Effect::Lag { .. } => None,
        });
        said.unwrap_or_default()
    }

    /// How long a new payment stays hidden from look-ups and from reads, where a rule says so.
    pub(in crate::sandbox) fn lag(
        &mut self,
        facts: &Facts<'_>,
        now: Instant,
        dice: &Names,
    ) -> (Option<Duration>, Option<Duration>) {
        let said = self.0.iter_mut().find_map(|part| match part.rule.gives {
            Effect::Lag { lookup, read } => part.speaks(facts, now, dice).then_some((lookup, read)),
            Effect::Fault(_) | Effect::Settle { .. } => None,
        });
        said.unwrap_or_default()
    }
}

impl Part {
    fn speaks(&mut self, facts: &Facts<'_>, now: Instant, dice: &Names) -> bool {
        let when = &self.rule.when;
        let holds = equal(when.customer.as_deref(), facts.customer)
            && equal(when.source.as_deref(), facts.source)
            && equal(when.subscription.as_deref(), facts.subscription)
            && when.reference_prefix.as_deref().is_none_or(|p| facts.reference.is_some_and(|r| r.starts_with(p)))
            && when.amount_minor.is_none_or(|wanted| facts.amount_minor == Some(wanted))
            && when.from.is_none_or(|from| from <= now)
            && when.until.is_none_or(|until| now < until)
            && when.times.is_none_or(|times| self.spoke < times);
        if !holds {
            return false;
        }
        self.met += 1;
        let speaks = when.every.is_none_or(|every| self.met.is_multiple_of(every.max(1)))
            && when.per_mille.is_none_or(|per_mille| dice.happens(per_mille));
        self.spoke += u64::from(speaks);
        speaks
    }
}

fn equal(wanted: Option<&str>, found: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| found == Some(wanted))
}

fn meets(on: On, method: Method) -> bool {
    match on {
        On::Any => true,
        On::Get => method == Method::Get,
        On::Post => method == Method::Post,
    }
}
