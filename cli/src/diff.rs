//! `symctl diff`: two releases, asked the same.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use sym_host::plugin::Release;

use crate::engine::engine;
use crate::output::{self, Status};
use crate::plugin::outcome::Outcome;
use crate::plugin::release::TrustArgs;
use crate::replay::{Asked, Change, answer_of, changes, find, show};
use crate::store::block_on;

/// Ask two releases the same, and show which answers change. No database.
///
/// Exits with 1 where one does.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  symctl diff s3://bucket/sym-postgres plugins/ --events events/v6 --trust \"$(cat team.pub)\"\n  symctl diff s3://bucket/sym-postgres#r7 s3://bucket/sym-postgres#r8 --events log.jsonl --trust \"$(cat team.pub)\""
)]
pub(crate) struct DiffArgs {
    /// What is in use: a directory with `plugins.toml`, or a store's URL, with
    /// `#r7` for one that isn't in use.
    before: String,
    /// What is to come.
    after: String,
    /// Events to ask: a file with one, a log with records, or a directory of
    /// both (`….json`, `….jsonl`).
    #[arg(long, value_name = "PATH", required = true)]
    events: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// An event, and what changes.
#[derive(Serialize)]
struct Compared {
    file: String,
    requester: String,
    target: String,
    changes: Vec<Change>,
}

pub(crate) fn run(args: &DiffArgs) -> anyhow::Result<Status> {
    let found = find(&args.events)?;
    let events = &found.asked;
    if events.is_empty() {
        bail!("there is no event here that asks plugins: name a file or a directory with some");
    }
    let targets: BTreeSet<String> = events
        .iter()
        .map(|(_, asked)| asked.request.target.name.clone())
        .collect();
    let (ids, compared) = block_on(async {
        let engine = engine()?;
        let before = args.trust.open(&engine, &args.before, &targets).await?;
        let after = args.trust.open(&engine, &args.after, &targets).await?;
        let mut compared = Vec::new();
        for (file, asked) in events {
            compared.push(Compared {
                file: file.display().to_string(),
                requester: asked.request.requester.username.clone(),
                target: asked.request.target.name.clone(),
                changes: compare(&before, &after, asked).await,
            });
        }
        Ok(((before.id().to_owned(), after.id().to_owned()), compared))
    })?;
    let (before, after) = ids;
    let changed = compared
        .iter()
        .filter(|compared| !compared.changes.is_empty())
        .count();
    if args.json {
        output::json(
            &json!({"before": before, "after": after, "events": compared, "changed": changed}),
        );
    } else {
        for compared in compared
            .iter()
            .filter(|compared| !compared.changes.is_empty())
        {
            output::data(&format!(
                "changes {}: {} for {}",
                compared.file, compared.requester, compared.target
            ));
            show(&compared.changes, &before, &after);
        }
        found.note_skipped();
        output::data(&format!(
            "{} events asked of {before} and {after}: {changed} answers change",
            compared.len()
        ));
    }
    Ok(if changed == 0 {
        Status::Done
    } else {
        Status::Yours
    })
}

async fn compare(before: &Release, after: &Release, asked: &Asked) -> Vec<Change> {
    let answer = async |release| {
        let outcome = Outcome::of(release, &asked.request, &asked.conditions).await;
        (answer_of(&outcome), outcome.refusal())
    };
    let (old, old_words) = answer(before).await;
    let (new, new_words) = answer(after).await;
    // Both were asked the same, pseudonyms or not, so all of it is comparable.
    let mut changes = changes(&old, &new, false);
    changes.retain(|change| !change.what.ends_with("fuel"));
    if old.error.is_some() && old.error == new.error && old_words != new_words {
        let words = |words: Option<String>| words.unwrap_or_default();
        changes.push(Change {
            what: "message",
            before: words(old_words),
            after: words(new_words),
        });
    }
    changes
}
