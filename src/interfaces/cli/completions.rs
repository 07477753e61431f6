//! `dues completions`: what a shell needs to complete commands, arguments and the names of reports.

use std::process::ExitCode;

use clap_complete::Shell;

use super::{exit, output, whole_command};

/// Arguments of `dues completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  dues completions bash > /usr/share/bash-completion/completions/dues\n  \
    dues completions zsh > /usr/local/share/zsh/site-functions/_dues")]
pub struct Args {
    /// Which shell
    shell: Shell,
}

impl Args {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut whole_command(), "dues", &mut script);
        output::line(String::from_utf8(script)?.trim_end())?;
        Ok(ExitCode::from(exit::OK))
    }
}
