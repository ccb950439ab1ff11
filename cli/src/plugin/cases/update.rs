//! Writes what came out into a file of cases, and leaves everything else in it
//! as its author wrote it.

use anyhow::{Context as _, anyhow};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::plugin::outcome::{Outcome, StepText};

/// A case's new expectation.
pub(crate) struct News<'a> {
    /// The case's place in the file.
    pub(crate) index: usize,
    pub(crate) outcome: &'a Outcome,
    /// Whether the user was the case's own: then it is no result.
    pub(crate) is_user_given: bool,
}

/// The text with these expectations.
pub(crate) fn update(text: &str, news: &[News<'_>]) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse().context("the cases are no TOML")?;
    let cases = document
        .get_mut("case")
        .and_then(Item::as_array_of_tables_mut)
        .context("cases that are to be updated have to begin with `[[case]]` each")?;
    for news in news {
        let case = cases
            .get_mut(news.index)
            .ok_or_else(|| anyhow!("the file changed while its cases ran: run them again"))?;
        if !case.contains_key("expect") {
            let mut expect = Table::new();
            expect.set_dotted(true);
            case.insert("expect", Item::Table(expect));
        }
        let expect = case
            .get_mut("expect")
            .and_then(Item::as_table_like_mut)
            .context("`expect` is no table")?;
        write(expect, news);
    }
    Ok(document.to_string())
}

fn write(expect: &mut dyn TableLike, news: &News<'_>) {
    let outcome = news.outcome;
    let user = outcome.user.as_ref().filter(|_| !news.is_user_given);
    put(expect, "user", user.map(|user| user.as_str().into()));
    put(expect, "steps", outcome.steps.as_deref().map(steps));
    match &outcome.failure {
        Some(failure) => {
            // One that expects the code alone goes on doing so.
            let had_failure = expect.get("failure").is_some();
            let had_message = expect
                .get("failure")
                .is_some_and(|failure| failure.get("message").is_some());
            let mut table = Table::new();
            table.set_dotted(true);
            table.insert("code", toml_edit::value(&failure.code));
            if had_message || !had_failure {
                table.insert("message", toml_edit::value(&failure.message));
            }
            let as_text = |item: &Item, key: &str| {
                let text = item.get(key).and_then(Item::as_str);
                text.map(str::to_owned)
            };
            let new = Item::Table(table);
            let is_same = expect.get("failure").is_some_and(|old| {
                ["code", "message"]
                    .iter()
                    .all(|key| as_text(old, key) == as_text(&new, key))
            });
            if !is_same {
                expect.insert("failure", new);
            }
        }
        None => {
            expect.remove("failure");
        }
    }
    let error = outcome.error.as_ref();
    put(
        expect,
        "error",
        error.map(|error| error.code.as_str().into()),
    );
    if expect.get("log").is_some() || !outcome.log.is_empty() {
        let lines = outcome.log.iter().map(|line| Value::from(line.as_str()));
        put(expect, "log", Some(Value::Array(array(lines.collect()))));
    }
    if let Some(privileges) = &outcome.privileges {
        let lines = privileges.iter().map(|line| Value::from(line.as_str()));
        put(
            expect,
            "privileges",
            Some(Value::Array(array(lines.collect()))),
        );
    }
}

/// Puts a value where another is, with the comment that stands behind it.
fn put(table: &mut dyn TableLike, key: &str, value: Option<Value>) {
    let Some(mut value) = value else {
        table.remove(key);
        return;
    };
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        if plain(old) == plain(&value) {
            return;
        }
        *value.decor_mut() = old.decor().clone();
    }
    table.insert(key, Item::Value(value));
}

/// A value without what stands around it, for comparing.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", text.value()),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(plain).collect();
            format!("[{}]", values.join(","))
        }
        Value::InlineTable(table) => {
            let fields: Vec<String> = table
                .iter()
                .map(|(key, value)| format!("{key}={}", plain(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

fn steps(steps: &[StepText]) -> Value {
    let step = |step: &StepText| {
        let mut table = InlineTable::new();
        match step {
            StepText::GrantRole(role) => table.insert("grant-role", role.as_str().into()),
            StepText::Sql(sql) => table.insert("sql", sql.as_str().into()),
        };
        Value::InlineTable(table)
    };
    Value::Array(array(steps.iter().map(step).collect()))
}

/// One element on the key's line, several on lines of their own.
fn array(values: Vec<Value>) -> Array {
    let is_long = values.len() > 1;
    let mut array = Array::new();
    for mut value in values {
        if is_long {
            value.decor_mut().set_prefix("\n    ");
            array.push_formatted(value);
        } else {
            array.push(value);
        }
    }
    if is_long {
        array.set_trailing("\n");
        array.set_trailing_comma(true);
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::outcome::FailureText;

    fn outcome(user: Option<&str>, steps: Option<Vec<StepText>>) -> Outcome {
        Outcome {
            strategy: "role",
            user: user.map(str::to_owned),
            steps,
            failure: None,
            error: None,
            log: Vec::new(),
            advice: Vec::new(),
            privileges: None,
            calls: Vec::new(),
            plan: None,
        }
    }

    #[track_caller]
    fn check(text: &str, outcome: &Outcome, expected: &str) {
        let news = News {
            index: 0,
            outcome,
            is_user_given: false,
        };
        assert_eq!(update(text, &[news]).expect("is updated"), expected);
    }

    #[test]
    fn comments_and_order_stay() {
        check(
            "# All of them.\n[[case]]\n# Why.\nname = \"a\"   # first\nexpect.user = \"ada\" # hers\nexpect.error = \"not-allowed\"\n",
            &outcome(Some("bob"), None),
            "# All of them.\n[[case]]\n# Why.\nname = \"a\"   # first\nexpect.user = \"bob\" # hers\n",
        );
    }

    #[test]
    fn what_is_right_is_not_touched() {
        let text =
            "[[case]]\nname = 'a'\nexpect.user = 'ada'\nexpect.steps = [ {grant-role='x'} ]\n";
        let steps = vec![StepText::GrantRole("x".to_owned())];
        check(text, &outcome(Some("ada"), Some(steps)), text);
    }

    #[test]
    fn a_case_without_an_expectation_gets_one() {
        let steps = vec![
            StepText::GrantRole("x".to_owned()),
            StepText::Sql("GRANT a TO \"b\"".to_owned()),
        ];
        check(
            "[[case]]\nname = 'a'\n\n[[case]]\nname = 'b'\n",
            &outcome(Some("ada"), Some(steps)),
            "[[case]]\nname = 'a'\nexpect.user = \"ada\"\nexpect.steps = [\n    { grant-role = \"x\" },\n    { sql = 'GRANT a TO \"b\"' },\n]\n\n[[case]]\nname = 'b'\n",
        );
    }

    #[test]
    fn a_failure_takes_the_place_of_a_plan() {
        let mut outcome = outcome(None, None);
        outcome.failure = Some(FailureText {
            code: "denied".to_owned(),
            message: "No.".to_owned(),
        });
        check(
            "[[case]]\nname = 'a'\nexpect.user = 'ada'\n",
            &outcome,
            "[[case]]\nname = 'a'\nexpect.failure.code = \"denied\"\nexpect.failure.message = \"No.\"\n",
        );
        check(
            "[[case]]\nname = 'a'\nexpect.failure.code = 'other'\n",
            &outcome,
            "[[case]]\nname = 'a'\nexpect.failure.code = \"denied\"\n",
        );
    }
}
