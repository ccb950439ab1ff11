//! Two people, one name: a resolver is asked for generated people, and what it
//! says has to be somebody else for each of them.

use std::collections::BTreeMap;

use sym_host::error::Code;
use sym_host::plan::Strategy;

use super::component::is_breakage;
use super::people::people;
use super::{Checking, Level};
use crate::plugin::outcome::name_error;
use crate::plugin::subject::sample_request;

/// How many examples a finding shows.
const SHOWN: usize = 3;

/// What a resolver said of all people.
#[derive(Default)]
struct Survey {
    asked: usize,
    /// Who got a name that the host takes, by name.
    named: BTreeMap<String, Vec<(u32, String)>>,
    /// Whose name the host refuses, and why.
    refused: Vec<String>,
    /// Whom the resolver denied.
    denied: usize,
    /// For whom it gave a failure.
    failed: Vec<String>,
    /// For whom it broke.
    broke: Vec<String>,
}

pub(super) async fn check(checking: &mut Checking<'_>) -> anyhow::Result<()> {
    if !checking.release.has_resolver() {
        return Ok(());
    }
    let people = people(&checking.args.domain);
    for strategy in [Strategy::Role, Strategy::TemporaryUser] {
        let survey = survey(checking, &people, strategy).await;
        report(checking, strategy, &survey);
    }
    runs(checking).await
}

async fn survey(checking: &Checking<'_>, people: &[String], strategy: Strategy) -> Survey {
    let mut survey = Survey::default();
    for (index, person) in (0..).zip(people) {
        // Each asks in a run of their own, as they would.
        let request = sample_request(person, "target", index);
        let Ok(request) = request else {
            // The host itself refuses such an event.
            continue;
        };
        let Some(called) = checking.release.try_resolver(&request, strategy).await else {
            break;
        };
        survey.asked += 1;
        match called.result {
            Ok(name) => match name_error(&name, &checking.conditions.policy) {
                None => survey
                    .named
                    .entry(name)
                    .or_default()
                    .push((index, person.clone())),
                Some(error) => {
                    survey
                        .refused
                        .push(format!("`{}`: {}", shown(person), error.message()))
                }
            },
            Err(error) if error.code() == Code::Denied => survey.denied += 1,
            Err(error) if is_breakage(&error) => {
                survey
                    .broke
                    .push(format!("`{}`: {}", shown(person), error.to_log()))
            }
            Err(error) => {
                let why = match &called.failure {
                    Some(said) => format!("failure `{}`", shown(&said.code)),
                    None => error.to_log(),
                };
                survey.failed.push(format!("`{}`: {why}", shown(person)));
            }
        }
    }
    survey
}

fn report(checking: &mut Checking<'_>, strategy: Strategy, survey: &Survey) {
    let mut add = |level, text: String| {
        checking.add(
            level,
            "resolver",
            "names",
            format!("strategy {strategy}: {text}"),
        );
    };
    if !survey.broke.is_empty() {
        add(
            Level::Error,
            format!(
                "breaks for {} people: {}",
                survey.broke.len(),
                some(&survey.broke)
            ),
        );
    }
    let collisions = collisions(survey);
    if !collisions.is_empty() {
        add(
            Level::Warning,
            format!(
                "two people, one name, {} times: {}; who asks gets access for the other, so accept one mail domain alone \
                 or keep what tells people apart",
                collisions.len(),
                some(&collisions)
            ),
        );
    }
    if survey.asked > 0 && survey.denied == survey.asked {
        add(
            Level::Warning,
            "denies all of the generated people: give a domain that it accepts with `--domain`"
                .to_owned(),
        );
        return;
    }
    let named: usize = survey.named.values().map(Vec::len).sum();
    add(
        Level::Ok,
        format!(
            "of {} generated people, {named} got one of {} names, {} were denied",
            survey.asked,
            survey.named.len(),
            survey.denied
        ),
    );
    for (what, examples) in [
        ("get a name that the host refuses", &survey.refused),
        ("get a failure", &survey.failed),
    ] {
        if !examples.is_empty() {
            add(
                Level::Ok,
                format!("{} {what}: {}", examples.len(), some(examples)),
            );
        }
    }
}

/// Different people with the same name, in the order in which they were asked
/// for.
fn collisions(survey: &Survey) -> Vec<String> {
    let mut collisions: Vec<(u32, String)> = Vec::new();
    for (name, people) in &survey.named {
        let (_, first) = &people[0];
        // The case of an address's letters makes nobody another person.
        let is_another = |person: &String| person.to_lowercase() != first.to_lowercase();
        if let Some((index, second)) = people.iter().find(|(_, person)| is_another(person)) {
            let sentence = format!(
                "`{}` and `{}` are both `{}`",
                shown(first),
                shown(second),
                shown(name)
            );
            collisions.push((*index, sentence));
        }
    }
    collisions.sort();
    collisions
        .into_iter()
        .map(|(_, sentence)| sentence)
        .collect()
}

/// A temporary user is another one for each run, and the same for the same run.
async fn runs(checking: &mut Checking<'_>) -> anyhow::Result<()> {
    let person = format!("ada@{}", checking.args.domain[0]);
    let mut names = Vec::new();
    for run in [1, 1, 2] {
        let request = sample_request(&person, "target", run)?;
        let called = checking
            .release
            .try_resolver(&request, Strategy::TemporaryUser)
            .await;
        match called.map(|called| called.result) {
            Some(Ok(name)) => names.push(name),
            // Said above.
            Some(Err(_)) | None => return Ok(()),
        }
    }
    if names[0] != names[1] {
        let text =
            "names the same request differently each time: a temporary user can't be found again"
                .to_owned();
        checking.add(Level::Error, "resolver", "runs", text);
    }
    if names[1] == names[2] {
        let text = format!(
            "names the temporary users of two runs alike, `{}`: the second would be refused while the first exists, \
             so put the run's id into the name",
            shown(&names[1])
        );
        checking.add(Level::Error, "resolver", "runs", text);
    }
    Ok(())
}

fn some(examples: &[String]) -> String {
    let shown = examples.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    let more = examples.len().saturating_sub(SHOWN);
    match more {
        0 => shown.join(", "),
        _ => format!("{}, and {more} more", shown.join(", ")),
    }
}

/// A name without what would play with the terminal.
fn shown(name: &str) -> String {
    sym_host::event::printable(name, 40)
}
