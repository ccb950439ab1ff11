//! `symctl revoke`: end runs by hand.

use clap::{ArgGroup, Args};
use sym_host::handler::Selection;

use crate::host::with_host;
use crate::output::Status;
use crate::sweep::report;

/// End runs by hand, as their deescalate events would. Also with a DBA's login.
#[derive(Args)]
#[command(
    group = ArgGroup::new("selection").required(true),
    after_help = "Example:\n  symctl revoke --user sym-user@healthy-health.co"
)]
pub(crate) struct RevokeArgs {
    /// The run's SRN, as `symctl grants` shows it.
    #[arg(group = "selection")]
    run: Option<String>,
    /// The open runs of this requester, or of this database user.
    #[arg(long, value_name = "NAME", group = "selection")]
    user: Option<String>,
    /// Every open run.
    #[arg(long, group = "selection")]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RevokeArgs) -> anyhow::Result<Status> {
    let selection = match (&args.run, &args.user) {
        (Some(run), _) => Selection::Run(run.clone()),
        (None, Some(user)) => Selection::User(user.clone()),
        (None, None) => Selection::All,
    };
    with_host(async |host| Ok(report(host.revoke(&selection).await?, args.json)))
}
