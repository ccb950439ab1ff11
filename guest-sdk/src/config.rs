//! The plugin's settings: the `config` table of its entry in `plugins.toml`.
//!
//! The operator writes them, and they are part of the signed release. A value
//! that is no string there arrives as JSON.

use serde::de::DeserializeOwned;

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

/// The values of a list that has to be there, and to have something in it.
///
/// # Errors
///
/// A [`Failure`] of code [`Failure::INVALID_CONFIG`] that names the key: also where
/// the value is no list, as for [`list`].
pub fn require_list(key: &str) -> Result<Vec<String>, Failure> {
    match list(key)? {
        Some(items) if !items.is_empty() => Ok(items),
        _ => Err(invalid(
            key,
            "is missing or empty, list at least one value in `plugins.toml`",
        )),
    }
}

/// The value of a table, a list or a number, as a type that reads it; `None` where
/// the operator set none.
///
/// A string in `plugins.toml` arrives as its text, which is no JSON in quotes:
/// [`get`] is for those.
///
/// Code that reads JSON makes a plugin larger, by some 50 kB; one that doesn't call
/// this has none of it.
///
/// # Errors
///
/// A [`Failure`] of code [`Failure::INVALID_CONFIG`] that names the key, where the
/// value is no JSON, or not what `T` reads.
///
/// # Examples
///
/// A mapping with a default. A struct of your own needs `serde`, with its feature
/// `derive`.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use sym_guest_sdk::prelude::*;
///
/// struct Mapped;
///
/// export_resolver!(Mapped);
///
/// impl Resolver for Mapped {
///     fn resolve_user(request: &Request) -> Result<String, Failure> {
///         config::refuse_all_but(&["domains", "users", "default"])?;
///         let domains = config::require_list("domains")?;
///         let is_ours = |email: &Email| domains.iter().any(|domain| email.is_in(domain));
///         let email = request.requester.email().filter(is_ours);
///         let email = email.ok_or_else(|| Failure::denied("You are in none of our domains."))?;
///         let users: BTreeMap<String, String> = config::json("users")?.unwrap_or_default();
///         let user = users.get(&email.local_part().to_ascii_lowercase()).cloned();
///         user.or_else(|| config::get("default"))
///             .ok_or_else(|| Failure::denied("You are nobody's user of the database yet."))
///     }
/// }
///
/// let settings = [("domains", r#"["a.example"]"#), ("users", r#"{"ada": "ada_dev"}"#), ("default", "guest")];
/// let user_of = |person| Mapped::resolve_user(&testing::request().requester(person).build());
/// testing::with_config(&settings, || {
///     assert_eq!(user_of("Ada@a.example").as_deref(), Ok("ada_dev"));
///     assert_eq!(user_of("bob@a.example").as_deref(), Ok("guest"));
///     assert!(user_of("ada@b.example").is_err_and(|failure| failure.is_denied()));
/// });
/// // Without a default, who isn't named gets nothing.
/// testing::with_config(&settings[..2], || {
///     assert!(user_of("bob@a.example").is_err_and(|failure| failure.is_denied()));
/// });
/// ```
pub fn json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Failure> {
    let Some(value) = get(key) else {
        return Ok(None);
    };
    serde_json::from_str(&value)
        .map(Some)
        .map_err(|error| invalid(key, &format!("is not what the plugin reads: {error}")))
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
    use std::collections::BTreeMap;

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
        for settings in [&[][..], &[("domains", "[]")], &[("domains", " , ")]] {
            with_config(settings, || {
                assert_eq!(
                    require_list("domains").map_err(|failure| failure.message),
                    Err("config `domains` is missing or empty, list at least one value in `plugins.toml`".to_owned())
                );
            });
        }
        with_config(&[("domains", r#"["a.example"]"#)], || {
            assert_eq!(require_list("domains"), Ok(vec!["a.example".to_owned()]));
        });
    }

    #[test]
    fn reads_json_of_the_type_that_is_asked_for() {
        let settings = [
            ("shards", "3"),
            ("users", r#"{"ada":"a"}"#),
            ("text", "ada"),
        ];
        with_config(&settings, || {
            assert_eq!(json("shards"), Ok(Some(3_u8)));
            let users: Option<BTreeMap<String, String>> = json("users").expect("is a mapping");
            assert_eq!(users.expect("is set")["ada"], "a");
            assert_eq!(json::<u8>("other"), Ok(None));
            for key in ["users", "text"] {
                let failure = json::<u8>(key).expect_err("is no number");
                assert_eq!(failure.code, Failure::INVALID_CONFIG);
                let begin = format!("config `{key}` is not what the plugin reads: ");
                assert!(failure.message.starts_with(&begin), "{}", failure.message);
            }
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
