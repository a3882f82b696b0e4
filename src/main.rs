//! The command line; each subcommand is one line that calls the library.

use std::path::PathBuf;

use clap::Parser;
use tamis::native::{Native, NativeSettings, doctor::doctor, postgres::supervise};

#[derive(Parser)]
enum Command {
    /// Show every native part: version, path, works or why not.
    Doctor {
        #[arg(long, default_value = "state")]
        state: PathBuf,
    },
    #[command(hide = true)]
    SupervisePostgres {
        #[arg(long)]
        state: PathBuf,
        #[arg(long)]
        bin: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::SupervisePostgres { state, bin } => supervise(&state, &bin),
        Command::Doctor { state } => {
            let native = Native::resolve(&NativeSettings::default());
            let url = std::env::var("DATABASE_URL").ok();
            let checks = tokio::runtime::Runtime::new()?.block_on(doctor(&native, url.as_deref(), &state));
            println!("{}", serde_json::to_string_pretty(&checks)?);
            Ok(())
        }
    }
}
