//! Whether what came out is what was expected.

use serde::Serialize;

use super::Expectation;
use crate::plugin::outcome::{Outcome, StepText};

/// Something that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// Its key in `expect`.
    pub(crate) what: &'static str,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Expectation {
    /// Whether nothing is expected at all: such a case could only fail by an error.
    pub(crate) fn is_empty(&self) -> bool {
        self.user.is_none()
            && self.steps.is_none()
            && self.failure.is_none()
            && self.error.is_none()
            && self.log.is_none()
            && self.privileges.is_none()
    }

    /// Whether nothing but privileges is expected.
    fn is_privileges_alone(&self) -> bool {
        let others = Self {
            privileges: None,
            ..self.clone()
        };
        self.privileges.is_some() && others.is_empty()
    }

    /// The keys that are not looked at: what somebody has, a database alone can say.
    pub(crate) fn skipped(&self, has_database: bool) -> Vec<&'static str> {
        let is_skipped = self.privileges.is_some() && !has_database;
        is_skipped.then_some("privileges").into_iter().collect()
    }
}

/// What differs. Nothing: the case passed, as far as it was looked at.
pub(crate) fn judge(
    expect: &Expectation,
    outcome: &Outcome,
    has_database: bool,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differ = |what, expected: String, found: String| {
        if expected != found {
            differences.push(Difference {
                what,
                expected,
                found,
            });
        }
    };
    if expect.is_empty() {
        differ(
            "expect",
            "something".to_owned(),
            "the case expects nothing: write what, or have `--update` write it".to_owned(),
        );
    }
    if expect.is_privileges_alone() && !has_database {
        differ(
            "expect",
            "something that needs no database".to_owned(),
            "the case expects `privileges` alone, which nothing but `--against-postgres` looks at: write what else, or \
             have `--update` write it"
                .to_owned(),
        );
    }
    let found_failure = outcome.failure.as_ref();
    match &expect.failure {
        Some(failure) => {
            let found = found_failure.map_or("no failure".to_owned(), |found| found.code.clone());
            differ("failure.code", failure.code.clone(), found);
            if let (Some(message), Some(found)) = (&failure.message, found_failure) {
                differ("failure.message", message.clone(), found.message.clone());
            }
        }
        None => differ(
            "failure",
            "no failure".to_owned(),
            found_failure.map_or("no failure".to_owned(), |found| {
                format!("`{}`: {}", found.code, found.message)
            }),
        ),
    }
    let found_error = outcome.error.as_ref();
    match &expect.error {
        Some(code) => {
            let found = found_error.map_or("no error".to_owned(), |found| found.code.clone());
            differ("error", code.clone(), found);
        }
        None => differ(
            "error",
            "no error".to_owned(),
            found_error.map_or("no error".to_owned(), |found| {
                format!("`{}`: {}", found.code, found.message)
            }),
        ),
    }
    if let Some(user) = &expect.user {
        let found = outcome.user.clone().unwrap_or_else(|| "no user".to_owned());
        differ("user", user.clone(), found);
    }
    if let Some(steps) = &expect.steps {
        let found = outcome.steps.as_deref();
        let found = found.map_or("no plan".to_owned(), lines);
        differ("steps", lines(steps), found);
    }
    if let Some(log) = &expect.log {
        differ("log", log.join("\n"), outcome.log.join("\n"));
    }
    if let (Some(privileges), true) = (&expect.privileges, has_database) {
        let found = outcome.privileges.as_ref();
        let found = found.map_or("no plan".to_owned(), |found| found.join("\n"));
        differ("privileges", privileges.join("\n"), found);
    }
    differences
}

fn lines(steps: &[StepText]) -> String {
    if steps.is_empty() {
        return "no steps".to_owned();
    }
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    steps.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            strategy: "role",
            user: Some("ada".to_owned()),
            steps: Some(vec![StepText::GrantRole("readonly".to_owned())]),
            failure: None,
            error: None,
            log: vec!["info: hello".to_owned()],
            advice: Vec::new(),
            privileges: None,
            calls: Vec::new(),
            plan: None,
        }
    }

    #[track_caller]
    fn check(expect: &str, expected: &[&str]) {
        check_with(None, expect, expected);
    }

    /// The same with what the user has, where there is a database that says it.
    #[track_caller]
    fn check_with(has: Option<&[&str]>, expect: &str, expected: &[&str]) {
        let expect: Expectation = toml::from_str(expect).expect("is TOML");
        let mut outcome = outcome();
        outcome.privileges = has.map(|has| has.iter().map(|one| (*one).to_owned()).collect());
        let found: Vec<&str> = judge(&expect, &outcome, has.is_some())
            .iter()
            .map(|difference| difference.what)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn says_what_differs_and_nothing_else() {
        check("user = 'ada'", &[]);
        check("user = 'bob'", &["user"]);
        check(
            "steps = [{ grant-role = 'readonly' }]\nlog = ['info: hello']",
            &[],
        );
        check("steps = []", &["steps"]);
        check("steps = [{ sql = 'grant-role' }]", &["steps"]);
        check("log = []", &["log"]);
        check("failure.code = 'denied'", &["failure.code"]);
        check("error = 'plugin-fuel'", &["error"]);
    }

    #[test]
    fn a_case_that_expects_nothing_fails() {
        check("", &["expect"]);
    }

    #[test]
    fn privileges_are_looked_at_where_there_is_a_database() {
        let expect = "user = 'ada'\nprivileges = ['member of x']";
        check_with(Some(&["member of x"]), expect, &[]);
        check_with(Some(&["member of y"]), expect, &["privileges"]);
        check_with(None, expect, &[]);
        let parsed: Expectation = toml::from_str(expect).expect("is TOML");
        assert_eq!(parsed.skipped(false), ["privileges"]);
        assert!(parsed.skipped(true).is_empty());
        let alone = "privileges = ['member of x']";
        check_with(Some(&["member of x"]), alone, &[]);
        check_with(None, alone, &["expect"]);
    }

    #[test]
    fn an_error_that_nobody_expected_fails_whatever_else_is_right() {
        let mut outcome = outcome();
        outcome.error = Some(crate::plugin::outcome::ErrorText {
            code: "not-allowed".to_owned(),
            message: "no".to_owned(),
            is_ours: false,
        });
        let expect: Expectation = toml::from_str("user = 'ada'").expect("is TOML");
        assert_eq!(judge(&expect, &outcome, false)[0].what, "error");
    }
}
