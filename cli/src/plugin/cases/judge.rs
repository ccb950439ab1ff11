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
}

/// What differs. Nothing: the case passed.
pub(crate) fn judge(expect: &Expectation, outcome: &Outcome) -> Vec<Difference> {
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
    if let (Some(privileges), Some(found)) = (&expect.privileges, &outcome.privileges) {
        differ("privileges", privileges.join("\n"), found.join("\n"));
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
        let expect: Expectation = toml::from_str(expect).expect("is TOML");
        let found: Vec<&str> = judge(&expect, &outcome())
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
    fn an_error_that_nobody_expected_fails_whatever_else_is_right() {
        let mut outcome = outcome();
        outcome.error = Some(crate::plugin::outcome::ErrorText {
            code: "not-allowed".to_owned(),
            message: "no".to_owned(),
            is_ours: false,
        });
        let expect: Expectation = toml::from_str("user = 'ada'").expect("is TOML");
        assert_eq!(judge(&expect, &outcome)[0].what, "error");
    }
}
