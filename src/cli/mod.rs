//! The command line: one subcommand, one call. Exit code 0 only when what was asked is done,
//! 1 when it failed, 2 when the command was not understood;
//! `audit` has one more, see there.

/// A line on standard output. Whoever reads it may stop reading (`| head`): that is no error, and what is
/// under way goes on.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod annotators;
mod audit;
mod demo;
mod doctor;
mod files;
mod house;
mod import;
mod trainings;
mod watch;
mod work;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Overrides};
use crate::jobs::train::ablate::AblateArgs;

#[derive(Parser)]
#[command(
    name = "tamis",
    version,
    about = "Gets the labels of short-video datasets right",
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone)]
struct Common {
    /// Folder of the embedded database, blobs and caches [default: a folder in the user's data directory;
    /// for root /var/lib/tamis]
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Show every native part: version, path, works or why not
    Doctor {
        /// Machine-readable
        #[arg(long)]
        json: bool,
    },
    /// Serve the pages and the API, and work on jobs
    Serve(Serve),
    /// Import the demo dataset, scan it, print what was found, serve the pages
    Demo {
        /// Stop after the scan
        #[arg(long)]
        no_serve: bool,
        /// Machine-readable summary (implies --no-serve)
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        serve: Serve,
    },
    /// Bring a dataset in, or more rows of one
    Import(import::Arguments),
    /// Encode what is missing and run the detectors
    Scan {
        /// Dataset
        name: String,
        /// Use uploaded predictions (their id) instead of training heads
        #[arg(long, value_name = "ID")]
        predictions: Option<uuid::Uuid>,
        #[arg(long)]
        json: bool,
    },
    /// Write the current labels with what the last scan says of them
    Export {
        /// Dataset
        name: String,
        #[arg(long, value_parser = ["jsonl", "csv", "parquet"])]
        format: String,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Train a model on the current labels
    Train {
        /// Dataset
        name: String,
        /// A recipe file (TOML) or the name of a preset [default: quick]
        #[arg(long)]
        recipe: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Set every option of a recipe otherwise in turn, with several seeds, and write the ledger
    Ablate {
        /// A recipe file (TOML) or the name of a preset
        recipe: String,
        /// Dataset
        #[arg(long, value_name = "NAME")]
        dataset: String,
        /// Seeds, the same ones with and without each option
        #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 2])]
        seeds: Vec<u64>,
        /// Only these options, such as `regularise.ema`
        #[arg(long = "only", value_name = "KEY", value_delimiter = ',')]
        keys: Vec<String>,
        #[arg(long)]
        json: bool,
    },
    /// Find wrong labels in arrays, without database and server
    Audit(audit::Arguments),
    /// Find the consensus of several people's labels, and who labels well, without database and server
    Annotators(annotators::Arguments),
    /// Work on jobs without serving
    Worker,
    #[command(hide = true)]
    SupervisePostgres {
        #[arg(long)]
        bin: PathBuf,
    },
}

#[derive(Args, Clone)]
struct Serve {
    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long)]
    bind: Option<SocketAddr>,
    /// Serve other than loopback addresses too; then everybody has to sign in
    #[arg(long)]
    allow_remote: bool,
}

/// Parses the arguments, runs the command, says what went wrong on standard error.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::SupervisePostgres { bin } = &cli.command {
        let Some(state) = &cli.common.state else {
            return ExitCode::from(2);
        };
        return report(crate::native::postgres::supervise(state, bin));
    }
    if let Command::Audit(arguments) = cli.command {
        return audit::run(&arguments).unwrap_or_else(|e| report(Err(e)));
    }
    if let Command::Annotators(arguments) = cli.command {
        return report(annotators::run(&arguments));
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("TAMIS_LOG")
                .unwrap_or_else(|_| "warn,sqlx=error,graphile_worker_recovery=error".into()),
        )
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(r) => r,
        Err(e) => return report(Err(e.into())),
    };
    let result = runtime.block_on(run(cli));
    // a blocking thread in the middle of a batch must not hold the exit
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    report(result)
}

fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("tamis: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let state = cli.common.state.as_deref();
    let config = |serve: Option<&Serve>| load(state, serve);
    match cli.command {
        Command::Doctor { json } => doctor::run(&config(None)?, json).await,
        Command::Serve(serve) => work::serve(config(Some(&serve))?).await,
        Command::Demo { no_serve, json, serve } => {
            demo::run(config(Some(&serve))?, no_serve || json, json).await
        }
        Command::Import(arguments) => import::run(config(None)?, arguments).await,
        Command::Scan { name, predictions, json } => {
            work::scan(config(None)?, &name, predictions, json).await
        }
        Command::Export { name, format, out } => work::export(config(None)?, &name, &format, &out).await,
        Command::Train { name, recipe, json } => trainings::train(config(None)?, &name, recipe, json).await,
        Command::Ablate { recipe, dataset, seeds, keys, json } => {
            let args = AblateArgs { recipe: Some(recipe), seeds, keys, ..AblateArgs::default() };
            trainings::ablate(config(None)?, &dataset, args, json).await
        }
        Command::Worker => work::worker(config(None)?).await,
        // these need neither configuration nor runtime
        Command::Audit(_) | Command::Annotators(_) | Command::SupervisePostgres { .. } => Ok(()),
    }
}

fn load(state: Option<&Path>, serve: Option<&Serve>) -> anyhow::Result<Config> {
    Ok(Config::load(&Overrides {
        state: state.map(Path::to_owned),
        bind: serve.and_then(|s| s.bind),
        allow_remote: serve.is_some_and(|s| s.allow_remote),
    })?)
}
