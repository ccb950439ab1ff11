//! What targets ask for, on a sample: whether the policy lets it pass, and what
//! it had better not do.

use super::{Checking, Level};
use crate::plugin::outcome::Outcome;
use crate::plugin::subject::sample_request;

pub(super) async fn check(checking: &mut Checking<'_>) -> anyhow::Result<()> {
    let mut conditions = checking.conditions.clone();
    // The resolver's own checks are elsewhere.
    conditions.given.user = Some("ada".to_owned());
    let release = checking.release;
    for (name, target) in release.targets() {
        let section = format!("targets.{name}");
        // It would be the same sentence again.
        if checking.has_error(&section, &["world", "call"]) {
            continue;
        }
        let request = sample_request("ada@a.example", name, 0)?;
        let outcome = Outcome::of(release, &request, &conditions).await;
        if let Some(failure) = &outcome.failure {
            let text = format!(
                "{target} answers the sample event with failure `{}`, so its steps weren't looked at: {}",
                failure.code, failure.message
            );
            checking.add(Level::Warning, &section, "plan", text);
            continue;
        }
        if let Some(error) = &outcome.error {
            let text = format!("{} [{}]", error.message, error.code);
            checking.add(Level::Error, &section, "plan", text);
            continue;
        }
        let steps: Vec<String> = outcome
            .steps
            .iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        let text = match &steps[..] {
            [] => "asks for nothing on the sample event".to_owned(),
            steps => format!("asks for {}", steps.join("; ")),
        };
        checking.add(Level::Ok, &section, "plan", text);
        for advice in outcome.advice {
            checking.add(Level::Warning, &section, "sql", advice);
        }
    }
    Ok(())
}
