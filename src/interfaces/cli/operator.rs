//! An operator's act: who does it and why, which the journal keeps, and whether it is meant.

use std::io::{self, BufRead, IsTerminal, Write};

use super::WrongUsage;

/// Who acts, and why.
#[derive(Debug, clap::Args)]
pub struct Act {
    /// Why, for the journal, which keeps it for ever: no name and no e-mail address
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// Who does it, for the journal; without it the user of this terminal
    #[arg(long, value_name = "NAME", value_parser = line)]
    operator: Option<String>,
}

impl Act {
    /// An act that a command asks for only beside one of its flags.
    pub fn new(reason: String, operator: Option<String>) -> Act {
        Act { reason, operator }
    }

    /// The operator's name.
    ///
    /// # Errors
    /// [`WrongUsage`] where neither the command line nor the environment names one.
    pub fn operator(&self) -> Result<String, WrongUsage> {
        let named = self.operator.clone().or_else(user);
        named.ok_or(WrongUsage("nobody is named: say who does it with --operator NAME"))
    }
}

/// Asks on the terminal; none where there is no terminal to ask on.
///
/// # Errors
/// Where the terminal fails.
pub fn confirmed(question: &str) -> io::Result<Option<bool>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let mut asked = io::stderr().lock();
    write!(asked, "{question} [y/N] ")?;
    asked.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")))
}

/// Who sits at the terminal: behind `sudo` the person, not root.
fn user() -> Option<String> {
    ["SUDO_USER", "USER"].iter().filter_map(|name| std::env::var(name).ok()).find(|user| !user.trim().is_empty())
}

/// Why, for the journal: what is written there is never erased.
///
/// # Errors
/// What is allowed.
pub fn reason(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err("the journal keeps it for ever, so it holds no e-mail address".to_owned());
    }
    line(text)
}

/// A text of one line, for the journal.
///
/// # Errors
/// What is allowed.
pub fn line(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        1..=200 if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err("it has 1 to 200 characters on one line".to_owned()),
    }
}
