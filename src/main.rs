//! The `dues` command: parse the command line, run it, turn an error chain into a message and an exit code.

use std::process::ExitCode;

use dues::interfaces::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::of_command_line();
    let as_json = cli.json();
    // sqlx and reqwest share one provider of cryptography; which one is said once, before either asks.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("dues: another provider of cryptography is installed already");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dues: the runtime did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli.run()) {
        Ok(code) => code,
        Err(error) => ExitCode::from(cli::print(&error, as_json)),
    }
}
