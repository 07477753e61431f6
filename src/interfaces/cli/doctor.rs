//! `dues doctor`: what is wrong with everything that dues stands on, and what to do next. What it looks at stands in
//! [`crate::interfaces::doctor`].

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::output::{self, Table};
use super::{Ground, exit};
use crate::interfaces::doctor::{Finding, Level, Part, Patient, examine};
use crate::interfaces::kept_files;

/// Arguments of `dues doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It changes nothing, and asks the gateway for one list that is empty. Run it as the daemon's user, who reads what \
    the daemon reads.\n\n\
    Exit codes: 0 nothing but notes, 3 warnings, 1 faults, 78 the config is wrong, or belongs to other books.\n\n\
    Examples:\n  dues doctor\n  sudo -u dues dues doctor --json\n  dues doctor --offline"
)]
pub struct Args {
    /// Leaves the gateway out
    #[arg(long)]
    offline: bool,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let config = kept_files::load(&ground.sources);
        let environment = &ground.sources.environment;
        let root = Path::new("/");
        let findings = examine(Patient { config: &config, environment, root, offline: self.offline }).await;
        if ground.json() {
            output::json(&document(&findings))?;
        } else {
            table(&findings).print()?;
            output::line(&format!("\n{}", summary(&findings)))?;
        }
        Ok(ExitCode::from(code_of(&findings)))
    }
}

/// A row a finding, and one more for what to do next.
fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&["LEVEL", "PART", "FINDING"]);
    for finding in findings {
        let (level, part) = (finding.level.as_str(), finding.part.as_str());
        table.push([level.to_owned(), part.to_owned(), finding.text.clone()]);
        if let Some(next) = &finding.next {
            table.push([String::new(), String::new(), format!("next: {next}")]);
        }
    }
    table
}

fn summary(findings: &[Finding]) -> String {
    let count = |level, one: &str| match findings.iter().filter(|it| it.level == level).count() {
        0 => format!("no {one}s"),
        1 => format!("1 {one}"),
        many => format!("{many} {one}s"),
    };
    format!("{}, {}", count(Level::Fault, "fault"), count(Level::Warning, "warning"))
}

fn document(findings: &[Finding]) -> Value {
    let one = |it: &Finding| json!({ "level": it.level.as_str(), "part": it.part.as_str(), "finding": it.text, "next": it.next });
    json!({
        "worst": worst(findings).as_str(),
        "findings": findings.iter().map(one).collect::<Vec<_>>(),
    })
}

fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|it| it.level).max().unwrap_or(Level::Ok)
}

/// A wrong config ends as every other command ends in it.
fn code_of(findings: &[Finding]) -> u8 {
    match worst(findings) {
        Level::Fault if findings.iter().any(|it| it.level == Level::Fault && it.part == Part::Config) => exit::CONFIG,
        Level::Fault => exit::FAILED,
        Level::Warning => exit::PARTLY,
        Level::Ok | Level::Note => exit::OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_how_bad_it_is() {
        let finding = |level, part| Finding { level, part, text: String::new(), next: None };
        let cases: [(&[(Level, Part)], u8); 6] = [
            (&[], exit::OK),
            (&[(Level::Ok, Part::Config), (Level::Note, Part::Systemd)], exit::OK),
            (&[(Level::Note, Part::Systemd), (Level::Warning, Part::Config)], exit::PARTLY),
            (&[(Level::Fault, Part::Database), (Level::Warning, Part::Config)], exit::FAILED),
            (&[(Level::Fault, Part::Config), (Level::Fault, Part::Database)], exit::CONFIG),
            (&[(Level::Ok, Part::Database), (Level::Fault, Part::Config)], exit::CONFIG),
        ];
        for (parts, code) in cases {
            let findings: Vec<Finding> = parts.iter().map(|(level, part)| finding(*level, *part)).collect();
            assert_eq!(code_of(&findings), code, "{parts:?}");
        }
    }
}
