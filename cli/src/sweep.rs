//! `symctl sweep`: end what is overdue.

use clap::Args;
use serde_json::{Map, Value, json};
use sym_host::handler::Swept;

use crate::host::{failed, with_host};
use crate::output::{self, Status};

/// End what is overdue: runs whose event never came, users half removed.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl sweep --dry-run")]
pub(crate) struct SweepArgs {
    /// Only show what would be ended.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &SweepArgs) -> anyhow::Result<Status> {
    with_host(async |host| {
        if !args.dry_run {
            return Ok(report(host.sweep().await?, args.json));
        }
        let overdue = host.overdue().await?;
        if args.json {
            output::json(&overdue);
            return Ok(Status::Done);
        }
        let mut rows =
            vec![["WHY", "STRATEGY", "STATE", "USER", "EXPIRED", "RUN"].map(str::to_owned)];
        for entry in overdue {
            let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            rows.push([
                entry.why,
                text(entry.strategy),
                entry.state,
                text(entry.user_name),
                text(entry.expires_at),
                entry.run,
            ]);
        }
        output::table(&rows);
        Ok(Status::Done)
    })
}

/// What became of each run: data, and the errors of those that didn't end.
pub(crate) fn report(swept: Vec<Swept>, as_json: bool) -> Status {
    let mut rows = vec![["RESULT", "WHY", "RUN", "NOTE"].map(str::to_owned)];
    let mut data = Vec::new();
    let mut errors = Vec::new();
    for entry in swept {
        let why = entry.why.unwrap_or_else(|| "by hand".to_owned());
        let mut datum = json!({"run": entry.run, "why": why});
        let (result, note) = match entry.result {
            Ok(body) => {
                let note = remarks(&body);
                datum["body"] = body.into();
                ("ended", note)
            }
            Err(error) => {
                datum["body"] = Value::Null;
                datum["code"] = error.code().as_str().into();
                datum["error"] = error.message().into();
                errors.push(error);
                ("failed", String::new())
            }
        };
        datum["result"] = result.into();
        data.push(datum);
        rows.push([result.to_owned(), why, entry.run, note]);
    }
    if as_json {
        output::json(&data);
    } else {
        output::table(&rows);
    }
    if errors.is_empty() {
        Status::Done
    } else {
        failed(&errors)
    }
}

/// What a person has to know of a run that has ended: above all, which access goes on.
fn remarks(body: &Map<String, Value>) -> String {
    let mut remarks: Vec<String> = ["note", "gained", "made"]
        .iter()
        .filter_map(|key| Some(body.get(*key)?.as_str()?.to_owned()))
        .collect();
    let remaining = body.get("remaining").and_then(Value::as_array);
    for path in remaining.into_iter().flatten() {
        let name = |key: &str| path[key].as_str().unwrap_or_default();
        remarks.push(format!(
            "the membership in `{}` that `{}` granted remains",
            name("through"),
            name("grantor")
        ));
    }
    if let Some(count) = body.get("sessions_ended") {
        remarks.push(format!("{count} session(s) ended"));
    }
    remarks.join("; ")
}
