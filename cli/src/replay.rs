//! `symctl replay`: events from the function's log, asked again.

mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use sym_host::record::Answer;

pub(crate) use self::records::{Asked, find, read};
use crate::engine::engine;
use crate::output::{self, Status};
use crate::plugin::outcome::{Outcome, StepText};
use crate::plugin::release::TrustArgs;
use crate::store::block_on;

/// Ask a release again what a function was asked, and show what differs from
/// what was answered then. No database: nothing happens to anybody.
///
/// The function writes what this reads where its variable RECORD is `full` or
/// `masked`. Of masked records the user and the statements aren't compared, as
/// people have pseudonyms there.
///
/// Exits with 1 where an answer differs.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  aws logs tail /aws/lambda/sym-postgres --since 1d --format short | symctl replay - --release plugins/\n  symctl replay records/ --release plugins/\n  symctl replay log.jsonl --release s3://bucket/sym-postgres#r7 --trust \"$(cat team.pub)\""
)]
pub(crate) struct ReplayArgs {
    /// Lines of the function's log; records, or a directory of them, as
    /// `symctl record` writes them; `-` reads standard input.
    log: PathBuf,
    /// What is asked: a directory with `plugins.toml`, or a store's URL, with
    /// `#r7` for one that isn't in use.
    #[arg(long, value_name = "RELEASE", default_value = ".")]
    release: String,
    #[command(flatten)]
    trust: TrustArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Something that another release answers otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub(crate) what: &'static str,
    pub(crate) before: String,
    pub(crate) after: String,
}

/// An event, and what differs.
#[derive(Serialize)]
struct Replayed {
    run: String,
    requester: String,
    target: String,
    masked: bool,
    before: String,
    changes: Vec<Change>,
}

pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<Status> {
    let found = find(std::slice::from_ref(&args.log))?;
    found.note_skipped();
    let asked = found.asked.into_iter().map(|(_, asked)| asked);
    let asked: Vec<Asked> = asked.filter(|asked| asked.record.is_some()).collect();
    if asked.is_empty() {
        bail!(
            "`{}` has no record of an event: the function writes them where its variable RECORD is `full` or `masked`",
            args.log.display()
        );
    }
    let targets: BTreeSet<String> = asked
        .iter()
        .map(|asked| asked.request.target.name.clone())
        .collect();
    let (id, replayed) = block_on(async {
        let engine = engine()?;
        let release = args.trust.open(&engine, &args.release, &targets).await?;
        let mut replayed = Vec::new();
        for asked in &asked {
            let Some(record) = &asked.record else {
                continue;
            };
            let outcome = Outcome::of(&release, &asked.request, &asked.conditions).await;
            let is_same_release = record.release == release.id();
            let mut changes = changes(&record.answer, &answer_of(&outcome), record.masked);
            // Another release may take what it takes. The same one has to take
            // the same, or something isn't as deterministic as it should be.
            if !is_same_release || record.masked {
                changes.retain(|change| !change.what.ends_with("fuel"));
            }
            replayed.push(Replayed {
                run: asked.request.run.srn().to_owned(),
                requester: asked.request.requester.username.clone(),
                target: asked.request.target.name.clone(),
                masked: record.masked,
                before: record.release.clone(),
                changes,
            });
        }
        Ok((release.id().to_owned(), replayed))
    })?;
    let differ = replayed
        .iter()
        .filter(|replayed| !replayed.changes.is_empty())
        .count();
    if args.json {
        output::json(&json!({"release": id, "events": replayed, "different": differ}));
    } else {
        for replayed in &replayed {
            let mark = if replayed.changes.is_empty() {
                "same  "
            } else {
                "differs"
            };
            output::data(&format!(
                "{mark} {} for {}, run {}",
                replayed.requester, replayed.target, replayed.run
            ));
            show(&replayed.changes, &replayed.before, &id);
        }
        output::data(&format!(
            "{} events asked of {id}: {} the same, {differ} different",
            replayed.len(),
            replayed.len() - differ
        ));
    }
    Ok(if differ == 0 {
        Status::Done
    } else {
        Status::Yours
    })
}

/// Shows changes below their event. What a record names as its release, and what
/// plugins answer, may have any number of lines.
pub(crate) fn show(changes: &[Change], before: &str, after: &str) {
    for change in changes {
        output::data(&format!("        {}", change.what));
        for (release, answer) in [(before, &change.before), (after, &change.after)] {
            let line = format!("          {release}: {answer}");
            output::data(&output::indented(&line, 14));
        }
    }
}

/// What is compared of an outcome.
pub(crate) fn answer_of(outcome: &Outcome) -> Answer {
    let fuel: BTreeMap<&str, u64> = outcome
        .calls
        .iter()
        .map(|call| (call.part, call.fuel.used))
        .collect();
    let code = match (&outcome.failure, &outcome.error) {
        (Some(failure), _) if failure.code == "denied" => Some("denied".to_owned()),
        (Some(_), _) => Some("plugin-failed".to_owned()),
        (None, error) => error.as_ref().map(|error| error.code.clone()),
    };
    Answer {
        user: outcome.user.clone(),
        steps: outcome.steps.clone(),
        // The function has no fuel of a call that gave no answer.
        resolver_fuel: fuel
            .get("resolver")
            .copied()
            .filter(|_| outcome.user.is_some()),
        target_fuel: fuel
            .get("target")
            .copied()
            .filter(|_| outcome.steps.is_some() || (outcome.failure.is_none() && code.is_none())),
        error: code,
    }
}

/// What differs between two answers. `masked`: one of them has pseudonyms.
pub(crate) fn changes(before: &Answer, after: &Answer, masked: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut compare = |what, before: Option<String>, after: Option<String>| {
        if before != after {
            let words = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
            changes.push(Change {
                what,
                before: words(before),
                after: words(after),
            });
        }
    };
    compare("error", before.error.clone(), after.error.clone());
    if !masked {
        compare("user", before.user.clone(), after.user.clone());
    }
    let steps = |steps: &Option<Vec<StepText>>| {
        let step = |step: &StepText| match step {
            StepText::Sql(_) if masked => "a statement".to_owned(),
            step => step.to_string(),
        };
        let steps = steps.as_ref()?.iter().map(step).collect::<Vec<_>>();
        Some(steps.join("; "))
    };
    compare("steps", steps(&before.steps), steps(&after.steps));
    let fuel = |fuel: Option<u64>| fuel.map(|fuel| fuel.to_string());
    if before.error.is_none() && after.error.is_none() {
        compare(
            "resolver fuel",
            fuel(before.resolver_fuel),
            fuel(after.resolver_fuel),
        );
        compare(
            "target fuel",
            fuel(before.target_fuel),
            fuel(after.target_fuel),
        );
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(user: &str, sql: &str, fuel: u64) -> Answer {
        Answer {
            user: Some(user.to_owned()),
            steps: Some(vec![
                StepText::GrantRole("readonly".to_owned()),
                StepText::Sql(sql.to_owned()),
            ]),
            error: None,
            resolver_fuel: Some(fuel),
            target_fuel: None,
        }
    }

    #[track_caller]
    fn check(before: &Answer, after: &Answer, masked: bool, expected: &[&str]) {
        let found: Vec<&str> = changes(before, after, masked)
            .iter()
            .map(|change| change.what)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn everything_is_compared_but_what_a_mask_took_away() {
        let before = answer("ada", "GRANT x TO ada", 1);
        check(&before, &before, false, &[]);
        let after = answer("bob", "GRANT x TO bob", 2);
        check(&before, &after, false, &["user", "steps", "resolver fuel"]);
        check(&before, &after, true, &["resolver fuel"]);
        let refused = Answer {
            error: Some("denied".to_owned()),
            ..Answer::default()
        };
        check(&before, &refused, true, &["error", "steps"]);
    }
}
