//! The plugin's settings: the `config` table of its entry in `plugins.toml`.
//!
//! The operator writes them, and they are part of the signed release. A value
//! that is no string there arrives as JSON.

use crate::{Failure, imports, json_strings};

/// The value of one key, `None` where the operator set none.
pub fn get(key: &str) -> Option<String> {
    imports::config_get(key)
}

/// The value of a key that has to be there.
///
/// # Errors
///
/// A [`Failure`] of code [`Failure::INVALID_CONFIG`] that names the key.
pub fn require(key: &str) -> Result<String, Failure> {
    get(key).ok_or_else(|| invalid(key, "is missing, set it in `plugins.toml`"))
}

/// The values of a list, `None` where the operator set none.
///
/// A list is an array of strings, or one string with commas: `["a", "b"]` and
/// `"a, b"` are the same. Blanks around a value are dropped, and so are empty
/// values in a string with commas.
///
/// An empty list is `Some` of nothing: think of what it means before you treat
/// it as unset, where unset means "everybody".
///
/// # Errors
///
/// A [`Failure`] of code [`Failure::INVALID_CONFIG`] where the value is a JSON
/// array of anything but strings, or a table.
///
/// # Examples
///
/// ```
/// use sym_guest_sdk::{config, testing};
///
/// testing::with_config(&[("domains", r#"["a.example", "b.example"]"#)], || {
///     let domains = config::list("domains").unwrap().unwrap();
///     assert_eq!(domains, ["a.example", "b.example"]);
/// });
/// ```
pub fn list(key: &str) -> Result<Option<Vec<String>>, Failure> {
    let Some(value) = get(key) else {
        return Ok(None);
    };
    parse_list(&value)
        .map(Some)
        .ok_or_else(|| invalid(key, "has to be a list of strings"))
}

/// All keys and values, in the order of the keys.
pub fn all() -> Vec<(String, String)> {
    imports::config_all()
}

/// Refuses keys that the plugin doesn't know, such as mistyped ones: passed over, they
/// would be taken for unset, which may mean "everybody".
///
/// # Errors
///
/// A [`Failure`] of code [`Failure::INVALID_CONFIG`] that names the first of them.
///
/// ```
/// use sym_guest_sdk::{config, testing};
///
/// let failure = testing::with_config(&[("domain", "a.example")], || {
///     config::refuse_all_but(&["domains"]).unwrap_err()
/// });
/// assert_eq!(
///     failure.message,
///     "config `domain` is no setting of this plugin, expected `domains`: correct or remove it in `plugins.toml`"
/// );
/// ```
pub fn refuse_all_but(known: &[&str]) -> Result<(), Failure> {
    for (key, _) in &all() {
        if !known.contains(&key.as_str()) {
            // By hand: a plugin is small, and what formats lists isn't.
            let mut problem = String::from("is no setting of this plugin, expected ");
            for (index, known) in known.iter().enumerate() {
                problem.push_str(if index == 0 { "`" } else { "`, `" });
                problem.push_str(known);
            }
            problem.push_str("`: correct or remove it in `plugins.toml`");
            return Err(invalid(key, &problem));
        }
    }
    Ok(())
}

/// The failure for a key whose value can't be used: `key` and what is wrong.
///
/// ```
/// use sym_guest_sdk::config;
///
/// let failure = config::invalid("shards", "is 0, expected 1 to 16");
/// assert_eq!(failure.message, "config `shards` is 0, expected 1 to 16");
/// ```
pub fn invalid(key: &str, problem: &str) -> Failure {
    Failure::new(Failure::INVALID_CONFIG, format!("config `{key}` {problem}"))
}

fn parse_list(value: &str) -> Option<Vec<String>> {
    let value = value.trim();
    let values: Vec<String> = match value.as_bytes().first() {
        Some(b'[') => json_strings::parse(value)?,
        Some(b'{') => return None,
        _ => value
            .split(',')
            .filter(|item| !item.trim().is_empty())
            .map(str::to_owned)
            .collect(),
    };
    Some(values.iter().map(|item| item.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::with_config;

    #[track_caller]
    fn check(value: &str, expected: Option<&[&str]>) {
        let expected = expected.map(|items| items.iter().map(|item| item.to_string()).collect());
        assert_eq!(parse_list(value), expected);
    }

    #[test]
    fn reads_a_json_array() {
        check(
            r#"["a.example","b.example"]"#,
            Some(&["a.example", "b.example"]),
        );
        check(r#" [ " a.example " ] "#, Some(&["a.example"]));
        check(r#"["\u00e9\ud83d\ude00"]"#, Some(&["é😀"]));
        check("[]", Some(&[]));
    }

    #[test]
    fn reads_a_string_with_commas() {
        check("a.example", Some(&["a.example"]));
        check(" a.example , b.example,", Some(&["a.example", "b.example"]));
        check("", Some(&[]));
    }

    #[test]
    fn refuses_what_is_no_list_of_strings() {
        check("[1]", None);
        check(r#"["a""#, None);
        check(r#"[["a"]]"#, None);
        check(r#"{"a":"b"}"#, None);
    }

    #[test]
    fn names_the_key_that_is_missing_or_wrong() {
        with_config(&[("domains", "[1]")], || {
            assert_eq!(
                list("domains").map_err(|failure| failure.message),
                Err("config `domains` has to be a list of strings".to_owned())
            );
            assert_eq!(list("other"), Ok(None));
            let failure = require("role").expect_err("no role is set");
            assert_eq!(failure.code, Failure::INVALID_CONFIG);
            assert!(failure.message.contains("`role`"));
        });
    }

    proptest! {
        #[test]
        fn reads_back_every_array_of_strings(items: Vec<String>) {
            let json = serde_json::to_string(&items).expect("strings are JSON");
            let trimmed: Vec<_> = items.iter().map(|item| item.trim().to_owned()).collect();
            prop_assert_eq!(parse_list(&json), Some(trimmed));
        }
    }
}
