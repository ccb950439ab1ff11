//! `symctl doctor`: everything that events will need, with what mends it.

use clap::Args;

use crate::host::with_host;
use crate::output::{self, Status};

/// Check everything that events will need, and say what mends what is missing.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl doctor")]
pub(crate) struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<Status> {
    with_host(async |host| {
        let findings = host.diagnose().await?;
        let is_ok = findings.iter().all(|finding| finding.is_ok);
        if args.json {
            output::json(&findings);
        } else {
            for finding in &findings {
                let mark = if finding.is_ok { "ok  " } else { "FAIL" };
                output::data(&format!("{mark} {}: {}", finding.subject, finding.found));
                if let Some(fix) = &finding.fix {
                    output::data(&format!("     fix: {fix}"));
                }
            }
        }
        Ok(if is_ok { Status::Done } else { Status::Yours })
    })
}
