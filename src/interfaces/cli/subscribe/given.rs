//! What the arguments say: held against their limits before anything is entered, and against what was begun where it is resumed.

use super::{Args, OsKind, TerminalKind};
use crate::domain::customer::{LONGEST_PERSONAL, is_country, is_email};
use crate::domain::own_reference;
use crate::gateway::payments::{Os, Terminal};
use crate::interfaces::cli::WrongUsage;
use crate::store::first_payments::BeginningRow;

/// A text without the blanks around it: those of an import are cut off as well.
pub fn trimmed(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.trim().to_owned())
}

/// A country as the gateway has it, also where it was written small.
///
/// # Errors
/// What is allowed.
pub fn country(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_uppercase();
    if is_country(&text) { Ok(text) } else { Err("it is two letters, such as HK".to_owned()) }
}

impl Args {
    /// Whether everything keeps its limits: what the gateway refuses later would have spent the reference.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        // What was begun under an older rule is still taken up.
        if !self.resume {
            let customer = self.customer_reference.as_deref().map(|it| ("--customer-reference", it));
            for (option, text) in [Some(("--reference", self.reference.as_str())), customer].into_iter().flatten() {
                own_reference::check(text).map_err(|fault| {
                    anyhow::Error::new(WrongUsage("a reference has 1 to 100 characters that can be seen"))
                        .context(format!("{option} {fault}"))
                })?;
            }
        }
        self.check_the_rest()?;
        Ok(())
    }

    fn check_the_rest(&self) -> Result<(), WrongUsage> {
        let plain =
            |text: &str, most: usize| (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        let all = |text: &Option<String>, most: usize| text.as_deref().is_none_or(|text| plain(text, most));
        if !all(&self.customer_name, LONGEST_PERSONAL) {
            return Err(WrongUsage("--customer-name has 1 to 255 characters, none of them a control character"));
        }
        if !all(&self.customer_email, LONGEST_PERSONAL) {
            return Err(WrongUsage("--customer-email has 1 to 255 characters, none of them a control character"));
        }
        if self.customer_email.as_deref().is_some_and(|email| !is_email(email)) {
            return Err(WrongUsage("--customer-email is no e-mail address"));
        }
        if self.os.is_some() && !matches!(self.terminal, Some(TerminalKind::Wap | TerminalKind::App)) {
            return Err(WrongUsage("--os is for --terminal wap and app alone"));
        }
        Ok(())
    }

    /// Where the customer approves, if it is said; the phone's system is there where it is needed.
    pub(super) fn terminal(&self) -> Option<Terminal> {
        let os = match self.os {
            Some(OsKind::Android) => Os::Android,
            Some(OsKind::Ios) | None => Os::Ios,
        };
        self.terminal.map(|terminal| match terminal {
            TerminalKind::Web => Terminal::Web,
            TerminalKind::Wap => Terminal::Wap(os),
            TerminalKind::App => Terminal::App(os),
        })
    }

    /// Whether what is said beside --resume is what was begun: nothing of it can be changed any more.
    pub(super) fn agrees_with(&self, begun: &BeginningRow) -> Result<(), WrongUsage> {
        let same = |given: &Option<String>, begun: Option<&str>| {
            given.as_deref().is_none_or(|given| begun.is_some_and(|begun| begun.eq_ignore_ascii_case(given)))
        };
        let exactly = |given: &Option<String>, begun: &str| given.as_deref().is_none_or(|given| given == begun);
        let wrong = if !exactly(&self.plan, &begun.plan) {
            "the first payment of this --reference was begun for another --plan; leave --plan out, or give a new --reference"
        } else if !exactly(&self.customer_reference, &begun.customer) {
            "the first payment of this --reference was begun for another --customer-reference; leave that out, or give a new --reference"
        } else if !same(&self.customer_email, begun.email.as_deref()) {
            "the first payment of this --reference was begun with another --customer-email; leave that out, or give a new --reference"
        } else if !same(&self.customer_name, begun.name.as_deref()) {
            "the first payment of this --reference was begun with another --customer-name; leave that out, or give a new --reference"
        } else if !exactly(&self.country, &begun.country) {
            "the first payment of this --reference was begun with another --country; leave that out, or give a new --reference"
        } else if self.time_zone.as_ref().is_some_and(|zone| zone.to_string() != begun.zone) {
            "the first payment of this --reference was begun with another --time-zone; leave that out, or give a new --reference"
        } else if self.anchor_on.is_some_and(|on| on.to_string() != begun.anchor_on) {
            "the first payment of this --reference was begun with another --anchor-on; leave that out, or give a new --reference"
        } else if self.terminal().is_some_and(|terminal| Terminal::of_body(&begun.body) != Some(terminal)) {
            "the first payment of this --reference was begun for another --terminal or --os; leave them out, or give a new --reference"
        } else {
            return Ok(());
        };
        Err(WrongUsage(wrong))
    }
}
