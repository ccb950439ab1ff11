//! `cargo xtask demo`: the main job on real parts, told step by step.
//!
//! A private PostgreSQL, the real `bootstrap` under a Lambda runtime API of our
//! own, plugins that it loads from files, and Sym's events. What each step
//! expects is checked: a demo that shows the wrong thing fails.
//!
//! | module | what it does |
//! |---|---|
//! | [`stage`] | gets, builds and starts the parts |
//! | [`story`] | the order of events, and what each must show |
//! | [`narrator`] | prints it, as text or as JSON |
//! | [`job`] | builds, with a spinner, stoppable |

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use sym_test_support::tools;
use tokio::signal::unix::{SignalKind, signal};

use crate::terminal;

mod job;
mod narrator;
pub(crate) mod stage;
mod story;

use narrator::{Format, Narrator};

/// Exit code of a program that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// How long an interrupted demo waits for what can't be stopped half way.
const BLOCKING_PATIENCE: Duration = Duration::from_secs(3);

/// Show the main job on this machine: access is given and taken back in a real
/// PostgreSQL, by both strategies. Needs no AWS account and no Docker.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask demo --json | jq '.[] | select(.ok | not)'")]
pub(crate) struct DemoArgs {
    /// Print the same as data: an array of steps.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &DemoArgs) -> Result<ExitCode> {
    tools::show_progress_by(terminal::progress);
    let format = if arguments.json {
        Format::Json
    } else {
        Format::Text
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut narrator = Narrator::new(format);
    let ending = runtime.block_on(async {
        tokio::select! {
            told = story::tell(&mut narrator) => Ok(Ending::of(told)),
            result = interruption() => result.map(|()| Ending::Interrupted),
        }
    })?;
    // All parts are gone by now, however it ended: they were dropped above.
    narrator.finish(ending == Ending::Complete);
    // A server that was just being started stops too. A download is left alone.
    runtime.shutdown_timeout(BLOCKING_PATIENCE);
    Ok(match ending {
        Ending::Complete => ExitCode::SUCCESS,
        Ending::Failed => ExitCode::FAILURE,
        Ending::Interrupted => ExitCode::from(INTERRUPTED),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Complete,
    Failed,
    Interrupted,
}

impl Ending {
    fn of(told: Result<(), narrator::Failed>) -> Ending {
        match told {
            Ok(()) => Ending::Complete,
            // The narrator has said why.
            Err(narrator::Failed) => Ending::Failed,
        }
    }
}

async fn interruption() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    terminal::progress("interrupted: stopping what was started");
    Ok(())
}
