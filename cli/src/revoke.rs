//! `symctl revoke`: end runs by hand.

use anyhow::{anyhow, bail};
use clap::{ArgGroup, Args};
use sym_host::event::printable;
use sym_host::handler::Selection;
use sym_host::request::Run;

use crate::host::with_host;
use crate::output::{self, Status};
use crate::sweep::report;

/// End runs by hand, as their deescalate events would.
///
/// Also with a DBA's login: LEDGER_OWNER names the function's user then, and the login has
/// to be a superuser, or a member of it (`GRANT sym_bot TO …`, since PostgreSQL 16 `WITH
/// SET TRUE`).
///
/// Exits with 1 where the run isn't open, or nobody of that name has one that is.
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
        (Some(run), _) if Run::parse(run).is_err() => bail!(
            "`{}` is no run's SRN, expected `<org>:run:<flow>:<version>:<id>`: `symctl grants` shows those of the open runs, and \
             `--user` ends a person's",
            printable(run, 120)
        ),
        (Some(run), _) => Selection::Run(run.clone()),
        (None, Some(user)) => Selection::User(user.clone()),
        (None, None) => Selection::All,
    };
    with_host(async |host| {
        let is_open = match &selection {
            // Before it is ended: nobody can tell afterwards.
            Selection::Run(run) => host.is_open(run).await?,
            Selection::User(_) | Selection::All => true,
        };
        let ended = host.revoke(&selection).await?;
        let missed = match &selection {
            // It can't begin any more all the same.
            Selection::Run(run) if !is_open && ended.iter().all(|swept| swept.result.is_ok()) => {
                Some(format!(
                    "no run `{run}` was open; now none of that name can begin for REPLAY_WINDOW_SECONDS: `symctl grants` \
                     shows those that are open"
                ))
            }
            Selection::User(user) if ended.is_empty() => Some(format!(
                "nobody has an open run as requester or database user `{user}`: `symctl grants` shows the names \
                 as they are written"
            )),
            _ => None,
        };
        if let Some(why) = missed {
            output::error(&anyhow!(why));
            return Ok(Status::Yours);
        }
        if ended.is_empty() {
            output::note("nothing is open");
        }
        Ok(report(ended, args.json))
    })
}
