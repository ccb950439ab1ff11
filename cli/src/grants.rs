//! `symctl grants`: who has what until when.

use clap::Args;

use crate::host::with_host;
use crate::output::{self, Status};

/// Show who has what until when.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl grants --json | jq -r '.[].requester'")]
pub(crate) struct GrantsArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &GrantsArgs) -> anyhow::Result<Status> {
    with_host(async |host| {
        let grants = host.open_grants().await?;
        if args.json {
            output::json(&grants);
            return Ok(Status::Done);
        }
        let mut rows =
            vec![["REQUESTER", "USER", "ROLE", "STATE", "UNTIL", "RUN"].map(str::to_owned)];
        for grant in grants {
            let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let role = match (grant.role_name, grant.standing) {
                (Some(role), true) => format!("{role} (standing)"),
                (Some(role), false) => role,
                (None, _) => "temporary user".to_owned(),
            };
            rows.push([
                text(grant.requester),
                text(grant.user_name),
                role,
                grant.state,
                text(grant.expires_at),
                grant.run,
            ]);
        }
        output::table(&rows);
        Ok(Status::Done)
    })
}
