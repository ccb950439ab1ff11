//! Two people, one name: a resolver is asked for generated people, and what it
//! says has to be somebody else for each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use sym_host::error::Code;
use sym_host::event::printable;
use sym_host::plan::Strategy;

use super::component::breakage;
use super::people::people;
use super::{Check, Checking, DOMAINS, Level};
use crate::plugin::cases::event::SAMPLE;
use crate::plugin::outcome::{name_error, request_of};
use crate::plugin::subject::run_id;
use crate::plugin::test::FileVerdict;

/// How many examples a finding shows.
const SHOWN: usize = 3;
/// How much of a failure's message it shows, in characters.
const MESSAGE: usize = 300;
/// The resolver's table in `plugins.toml`.
const SECTION: &str = "resolver";

/// What a resolver said of all people.
#[derive(Default)]
struct Survey {
    asked: usize,
    /// Who got a name that the host takes, by name.
    named: BTreeMap<String, Vec<(u32, String)>>,
    /// Whose name the host refuses, and why.
    refused: Vec<String>,
    /// Whom the resolver denied, and with which words.
    denied: Vec<(String, String)>,
    /// For whom it gave a failure.
    failed: Vec<String>,
    /// For whom it broke.
    broke: Vec<String>,
}

pub(super) async fn check(checking: &mut Checking<'_>) -> anyhow::Result<()> {
    if !checking.release.has_resolver() || checking.is_wrong(SECTION, &[Check::World]) {
        return Ok(());
    }
    let deadline = checking
        .rules
        .patience
        .map(|patience| Instant::now() + patience);
    for strategy in [Strategy::Role, Strategy::TemporaryUser] {
        let Some(target) = target_of(checking, strategy) else {
            checking.add(
                Level::Ok,
                SECTION,
                Check::Names,
                format!(
                    "strategy {strategy}: no target has it, so its names weren't looked at; `--strategy` says which is that of targets that name none"
                ),
            );
            continue;
        };
        let company = company(checking, &target, strategy).await?;
        let people = people(&company.domains);
        let survey = survey(checking, &people, (&target, strategy), deadline).await;
        report(checking, strategy, &company, &survey);
        if strategy == Strategy::TemporaryUser {
            runs(checking, &target, &company.somebody).await?;
        }
    }
    Ok(())
}

/// A target that people of this strategy ask for. Where there is none at all, as
/// for a lone resolver, it is the strategy that the command was given.
fn target_of(checking: &Checking<'_>, strategy: Strategy) -> Option<String> {
    let default = checking.conditions.strategy;
    let mut targets = checking.release.targets().peekable();
    if targets.peek().is_none() {
        return (strategy == default).then(|| "target".to_owned());
    }
    targets
        .find(|(_, target)| target.strategy().unwrap_or(default) == strategy)
        .map(|(name, _)| name.to_owned())
}

/// Whose people the resolver is asked for.
struct Company {
    domains: Vec<String>,
    /// One of them.
    somebody: String,
    /// Whether it is known to name somebody of them.
    is_known: bool,
}

/// The domains that were given, or ours; where it denies those, the domains of those
/// who ask in its cases and in the sample event, as far as it doesn't deny them.
async fn company(
    checking: &Checking<'_>,
    target: &str,
    strategy: Strategy,
) -> anyhow::Result<Company> {
    let given = &checking.rules.domains;
    let domains = match given.is_empty() {
        true => DOMAINS.map(str::to_owned).to_vec(),
        false => given.clone(),
    };
    let ours = Company {
        somebody: format!("ada@{}", domains[0]),
        domains,
        is_known: false,
    };
    if !given.is_empty() {
        return Ok(ours);
    }
    for domain in &ours.domains {
        if !is_denied(checking, &format!("ada@{domain}"), target, strategy).await? {
            return Ok(ours);
        }
    }
    let mut company = Company {
        domains: Vec::new(),
        somebody: String::new(),
        is_known: true,
    };
    let sample = request_of(SAMPLE)?;
    let of_cases = checking.cases.iter().flat_map(FileVerdict::requests);
    let mut asked = BTreeSet::new();
    for request in of_cases.chain([&sample]) {
        let person = &request.requester.username;
        let Some((_, domain)) = person.rsplit_once('@') else {
            continue;
        };
        // Domains have no case.
        let domain = domain.to_ascii_lowercase();
        if company.domains.contains(&domain) || !asked.insert(person) {
            continue;
        }
        if !is_denied(checking, person, target, strategy).await? {
            if company.domains.is_empty() {
                company.somebody = person.clone();
            }
            company.domains.push(domain);
        }
    }
    Ok(match company.domains.is_empty() {
        true => ours,
        false => company,
    })
}

async fn is_denied(
    checking: &Checking<'_>,
    person: &str,
    target: &str,
    strategy: Strategy,
) -> anyhow::Result<bool> {
    let request = checking.request_of(person, (target, strategy), &run_id(0))?;
    let called = checking.release.try_resolver(&request, strategy).await;
    let error = called.and_then(|called| called.result.err());
    Ok(error.is_some_and(|error| error.code() == Code::Denied))
}

async fn survey(
    checking: &Checking<'_>,
    people: &[String],
    asked: (&str, Strategy),
    deadline: Option<Instant>,
) -> Survey {
    let mut survey = Survey::default();
    for (index, person) in (0..).zip(people) {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
        // Each asks in a run of their own, as they would.
        let request = checking.request_of(person, asked, &run_id(index));
        let Ok(request) = request else {
            // The host itself refuses such an event.
            continue;
        };
        let Some(called) = checking.release.try_resolver(&request, asked.1).await else {
            break;
        };
        survey.asked += 1;
        let why_it_broke = breakage(&called);
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
            Err(error) => {
                let (list, why) = match (why_it_broke, &called.failure) {
                    (Some(why), _) => (&mut survey.broke, why),
                    (None, _) if error.code() == Code::Denied => {
                        let words = error.message().to_owned();
                        survey.denied.push((person.clone(), words));
                        continue;
                    }
                    (None, Some(said)) => {
                        let code = shown(&said.code);
                        let message = printable(said.message.trim(), MESSAGE);
                        (&mut survey.failed, format!("failure `{code}`: {message}"))
                    }
                    (None, None) => (&mut survey.failed, error.to_log()),
                };
                list.push(format!("`{}`: {why}", shown(person)));
            }
        }
    }
    survey
}

fn report(checking: &mut Checking<'_>, strategy: Strategy, company: &Company, survey: &Survey) {
    let mut add = |level, text: String| {
        checking.add(
            level,
            SECTION,
            Check::Names,
            format!("strategy {strategy}: {text}"),
        );
    };
    if !survey.broke.is_empty() {
        add(
            Level::Error,
            format!(
                "breaks for {} of {} people: {}",
                survey.broke.len(),
                survey.asked,
                some(&survey.broke, 1)
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
                some(&collisions, SHOWN)
            ),
        );
    }
    let named: usize = survey.named.values().map(Vec::len).sum();
    // Where somebody is named and none of these is, it has a list of its people.
    let has_list = company.is_known && survey.denied.len() == survey.asked;
    if survey.asked > 0 && named == 0 && !has_list {
        if let Some((level, text)) = nobody(survey) {
            add(level, text);
        }
        return;
    }
    add(
        Level::Ok,
        format!(
            "of {} generated people of {}, {named} got one of {} names, {} were denied",
            survey.asked,
            company.domains.join(", "),
            survey.named.len(),
            survey.denied.len()
        ),
    );
    for (what, examples) in [
        ("get a name that the host refuses", &survey.refused),
        ("get a failure", &survey.failed),
    ] {
        if !examples.is_empty() {
            add(
                Level::Ok,
                format!("{} {what}: {}", examples.len(), some(examples, SHOWN)),
            );
        }
    }
}

/// Why nobody got a name. `None`: because it breaks, which was said.
fn nobody(survey: &Survey) -> Option<(Level, String)> {
    // Bots are denied by many a resolver that answers no person either.
    let of_another_domain = survey.denied.len() * 2 > survey.asked;
    if of_another_domain {
        let text = format!(
            "denies {} of {} generated people and names nobody: give a domain that it accepts with `--domain`; {}",
            survey.denied.len(),
            survey.asked,
            usual_denial(&survey.denied)
        );
        return Some((Level::Warning, text));
    }
    let examples = [&survey.failed, &survey.refused];
    let examples = examples.into_iter().find(|examples| !examples.is_empty())?;
    let text = format!(
        "gives none of {} generated people a name: {}",
        survey.asked,
        some(examples, 1)
    );
    Some((Level::Error, text))
}

/// The first of those denials that are the most, but for the name of who asks; and how
/// many more there are.
fn usual_denial(denied: &[(String, String)]) -> String {
    let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (person, words) in denied {
        let text = format!("`{}`: {words}", shown(person));
        alike
            .entry(words.replace(person.as_str(), ""))
            .or_default()
            .push(text);
    }
    let most = alike.into_values().max_by_key(Vec::len).unwrap_or_default();
    match denied.len().saturating_sub(1) {
        0 => most.concat(),
        more => format!("{}, and {more} more", some(&most[..1], 1)),
    }
}

/// Different people with the same name, in the order in which they were asked
/// for.
fn collisions(survey: &Survey) -> Vec<String> {
    let mut collisions: Vec<(u32, String)> = Vec::new();
    for (name, people) in &survey.named {
        let (_, first) = &people[0];
        // The case of an address's ASCII letters makes nobody another person. Of others
        // it does: `K`, the Kelvin sign, becomes `k`.
        let is_another = |person: &String| !person.eq_ignore_ascii_case(first);
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

/// Ids of runs as a person may write them who gives access without Sym: a short one,
/// and two that begin alike.
const BY_HAND: [&str; 3] = ["7", "ticket-4711", "ticket-4712"];

/// A temporary user is another one for each run, and the same for the same run.
async fn runs(checking: &mut Checking<'_>, target: &str, person: &str) -> anyhow::Result<()> {
    let mut names = Vec::new();
    for run in [1, 1, 2] {
        match name_in(checking, target, person, &run_id(run)).await? {
            Some(Ok(name)) => names.push(name),
            // Said above.
            Some(Err(_)) | None => return Ok(()),
        }
    }
    if names[0] != names[1] {
        let text =
            "names the same request differently each time: a temporary user can't be found again"
                .to_owned();
        checking.add(Level::Error, SECTION, Check::Runs, text);
    }
    if names[1] == names[2] {
        let text = format!(
            "names the temporary users of two runs alike, `{}`: the second would be refused while the first exists, \
             so put the run's id into the name",
            shown(&names[1])
        );
        checking.add(Level::Error, SECTION, Check::Runs, text);
        return Ok(());
    }
    // Sym's ids are UUIDs, so it is no error.
    let mut seen: Vec<(&str, String)> = Vec::new();
    for run in BY_HAND {
        let text = match name_in(checking, target, person, run).await? {
            Some(Ok(name)) => match seen.iter().find(|(_, other)| *other == name) {
                None => {
                    seen.push((run, name));
                    continue;
                }
                Some((other, _)) => format!(
                    "names the temporary users of the runs `{other}` and `{run}` alike, `{}`: a person who gives access \
                     without Sym may write such ids, so take the end of the id rather than its beginning",
                    shown(&name)
                ),
            },
            Some(Err(Some(why))) => format!(
                "breaks in the run `{run}`, an id that a person who gives access without Sym may write: {why}"
            ),
            // That one isn't taken is an answer.
            Some(Err(None)) | None => continue,
        };
        checking.add(Level::Warning, SECTION, Check::Runs, text);
    }
    Ok(())
}

/// The temporary user of a run, or why the resolver broke, where it did. `None`: there
/// is no resolver.
async fn name_in(
    checking: &Checking<'_>,
    target: &str,
    person: &str,
    run: &str,
) -> anyhow::Result<Option<Result<String, Option<String>>>> {
    let strategy = Strategy::TemporaryUser;
    let request = checking.request_of(person, (target, strategy), run)?;
    let called = checking.release.try_resolver(&request, strategy).await;
    Ok(called.map(|called| {
        let why = breakage(&called);
        called.result.map_err(|_| why)
    }))
}

fn some(examples: &[String], most: usize) -> String {
    let shown = examples.iter().take(most).cloned().collect::<Vec<_>>();
    let more = examples.len().saturating_sub(most);
    match more {
        0 => shown.join(", "),
        _ => format!("{}, and {more} more", shown.join(", ")),
    }
}

/// A name without what would play with the terminal.
fn shown(name: &str) -> String {
    printable(name, 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_denial_that_is_shown_is_the_most_frequent() {
        let denials = [
            ("deploy-bot", "Bots get nothing."),
            ("ada@a.example", "ada@a.example is in none of our domains."),
            ("bo@a.example", "bo@a.example is in none of our domains."),
        ];
        let denials = denials.map(|(person, words)| (person.to_owned(), words.to_owned()));
        assert_eq!(
            usual_denial(&denials),
            "`ada@a.example`: ada@a.example is in none of our domains., and 2 more"
        );
    }

    #[track_caller]
    fn check(people: [&str; 2], is_collision: bool) {
        let mut survey = Survey::default();
        let people = (0..).zip(people.map(str::to_owned));
        survey.named.insert("one".to_owned(), people.collect());
        assert_eq!(!collisions(&survey).is_empty(), is_collision);
    }

    #[test]
    fn the_case_of_ascii_letters_makes_nobody_another_person() {
        check(["ada@a.example", "Ada@a.example"], false);
        check(["ada@a.example", "ada@b.example"], true);
        // Lowered as text, the Kelvin sign is a `k`.
        check(["kim@a.example", "\u{212a}im@a.example"], true);
    }
}
