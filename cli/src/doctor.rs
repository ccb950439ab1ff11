//! `symctl doctor`: everything that events will need, with what mends it.

use clap::Args;

use sym_host::handler::Host;

use crate::host::with_host_by;
use crate::output::{self, Status};

/// Check everything that events will need, and say what mends what is missing.
///
/// Not seen: whether the store of secrets can be written, as nothing is written to it;
/// and what the function's own role may in AWS, as AWS is asked with your credentials.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl doctor")]
pub(crate) struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<Status> {
    let make = || Host::for_doctor(|name| std::env::var(name).ok());
    with_host_by(make, async |host| {
        let findings = host.diagnose().await;
        let is_ok = findings.iter().all(|finding| finding.is_ok);
        if args.json {
            output::json(&findings);
        } else {
            for finding in &findings {
                let mark = if finding.is_ok { "ok  " } else { "FAIL" };
                // Names and reasons are the database's, and further in than a fix.
                let found = output::indented(&finding.found, 10);
                output::data(&format!("{mark} {}: {found}", finding.subject));
                if let Some(fix) = &finding.fix {
                    output::data(&format!("     fix: {fix}"));
                }
            }
        }
        Ok(if is_ok { Status::Done } else { Status::Yours })
    })
}
