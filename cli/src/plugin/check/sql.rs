//! What targets ask for, on a sample: whether the policy lets it pass, and what
//! it had better not do.

use super::{Check, Checking, Level};
use crate::plugin::outcome::Outcome;

pub(super) async fn check(checking: &mut Checking<'_>) -> anyhow::Result<()> {
    let mut conditions = checking.conditions.clone();
    let release = checking.release;
    for (name, target) in release.targets() {
        let section = format!("targets.{name}");
        // It would be the same sentence again.
        if checking.is_wrong(&section, &[Check::World, Check::Call]) {
            continue;
        }
        let question = checking.question(&section)?;
        // The resolver's own checks are elsewhere.
        conditions.given.user = Some(question.user);
        let outcome = Outcome::of(release, &question.request, &conditions).await;
        if let Some(failure) = &outcome.failure {
            let text = format!(
                "{target} answers the sample event with failure `{}`, so its steps weren't looked at: {}",
                failure.code, failure.message
            );
            checking.add(Level::Warning, &section, Check::Plan, text);
            continue;
        }
        if let Some(error) = &outcome.error {
            let text = format!("{} [{}]", error.message, error.code);
            checking.add(Level::Error, &section, Check::Plan, text);
            continue;
        }
        let steps: Vec<String> = outcome
            .steps
            .iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        let text = match &steps[..] {
            [] => "asks for nothing".to_owned(),
            steps => format!("asks for {}", steps.join("; ")),
        };
        checking.add(Level::Ok, &section, Check::Plan, text);
        for advice in outcome.advice {
            checking.add(Level::Warning, &section, Check::Sql, advice);
        }
    }
    Ok(())
}
