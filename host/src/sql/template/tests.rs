//! The rule of braces, case by case.

use super::*;
use proptest::prelude::*;

fn identifier(name: &str, value: &str) -> (String, Value) {
    (name.to_owned(), Value::Identifier(value.to_owned()))
}

fn literal(name: &str, value: &str) -> (String, Value) {
    (name.to_owned(), Value::Literal(value.to_owned()))
}

fn render(template: &str, args: &[(String, Value)]) -> Result<String, TemplateError> {
    Template::parse(template)?.render("zoë", args)
}

#[track_caller]
fn check(template: &str, args: &[(String, Value)], expected: &str) {
    assert_eq!(render(template, args).as_deref(), Ok(expected));
}

#[track_caller]
fn check_error(template: &str, args: &[(String, Value)], expected: TemplateError) {
    assert_eq!(render(template, args), Err(expected), "{template}");
}

/// A template without placeholders comes out as it is.
#[track_caller]
fn check_untouched(template: &str) {
    check(template, &[], template);
}

#[test]
fn puts_values_in() {
    check(
        "GRANT readonly TO {username};",
        &[],
        "GRANT readonly TO \"zoë\";",
    );
    check(
        "GRANT {table} TO {username}",
        &[identifier("table", "A\"b")],
        "GRANT \"A\"\"b\" TO \"zoë\"",
    );
    check(
        "SET x = {v}, {v}",
        &[literal("v", "it's")],
        "SET x = 'it''s', 'it''s'",
    );
    check(
        "SELECT {s}.{t}::{u}[{i}]",
        &[
            identifier("s", "a"),
            identifier("t", "b"),
            identifier("u", "c"),
            literal("i", "\\"),
        ],
        "SELECT \"a\".\"b\"::\"c\"[E'\\\\']",
    );
    check("({a})", &[identifier("a", "{b}")], "(\"{b}\")");
}

#[test]
fn leaves_braces_that_are_no_placeholders() {
    check_untouched("SELECT '{}'::jsonb, '{1,2}'::int[], '{{1,2},{3}}', '{\"a\": {\"b\": 1}}'");
    check_untouched(
        "DO $$ BEGIN RAISE NOTICE '{% {1} { x } {X} {a b} {a-b} {é} {} {{}} {{{'; END $$",
    );
    check_untouched("SELECT E'{\\'}', \"{}\", U&'{}', '}}', 'a}', '{a'");
    check_untouched("/* {username} {{x}} */ SELECT 1 -- {y} } {");
}

#[test]
fn doubled_braces_around_a_name_in_quotes_are_braces() {
    check("SELECT '{{a}}'", &[], "SELECT '{a}'");
    check(
        "SELECT '{{{a}}}', '{{{a}},{{b}}}'",
        &[],
        "SELECT '{{a}}', '{{a},{b}}'",
    );
    check("DO $x$ {{a}} {{b1_}} $x$", &[], "DO $x$ {a} {b1_} $x$");
    check(
        "SELECT \"{{a}}\" FROM {username}",
        &[],
        "SELECT \"{a}\" FROM \"zoë\"",
    );
}

#[test]
fn refuses_a_placeholder_in_quotes() {
    for template in [
        "SELECT '{a}'",
        "SELECT \"{a}\"",
        "DO $$ {a} $$",
        "SELECT '{{a}'",
        "SELECT '{a}}'",
        "SELECT '{{{a}'",
        "SELECT E'{a}'",
        "SELECT '{1}{a}'",
        "SELECT ''\n'{a}'",
        "SELECT $t${a}$t$",
    ] {
        check_error(
            template,
            &[literal("a", "x")],
            TemplateError::InQuotes("a".to_owned()),
        );
    }
}

#[test]
fn refuses_other_braces_outside_quotes() {
    for template in [
        "GRANT a TO {Name}",
        "{ name }",
        "{}",
        "{{name}}",
        "{a-b}",
        "{a",
        "a}",
        "{1}",
        "{/**/a}",
        "{a\n}",
        "{a b}",
        "{_a}",
        "{é}",
        "{'a'}",
    ] {
        check_error(template, &[], TemplateError::Brace);
    }
}

#[test]
fn refuses_a_placeholder_that_joins_its_neighbour() {
    for (template, name) in [
        ("SELECT E{a}", "a"),
        ("SELECT {a}{a}", "a"),
        ("SELECT U&{a}", "a"),
        ("SELECT N{a}", "a"),
        ("SELECT b{a}", "a"),
        ("SELECT {a}\n'x'", "a"),
        ("SELECT 'x'\n{a}", "a"),
        ("SELECT {a}'x'", "a"),
        ("SELECT \"x\"{a}", "a"),
        ("SELECT {a}\"x\"", "a"),
    ] {
        for args in [[identifier("a", "x")], [literal("a", "x")]] {
            check_error(template, &args, TemplateError::NotAlone(name.to_owned()));
        }
    }
}

#[test]
fn refuses_values_that_do_not_fit() {
    let name = |name: &str| name.to_owned();
    check_error("SELECT {a}", &[], TemplateError::Unknown(name("a")));
    check_error(
        "SELECT 1",
        &[literal("a", "")],
        TemplateError::Unused(name("a")),
    );
    check_error(
        "SELECT 1 /* {a} */",
        &[literal("a", "")],
        TemplateError::Unused(name("a")),
    );
    check_error(
        "SELECT {a}",
        &[literal("a", ""), literal("a", "")],
        TemplateError::Twice(name("a")),
    );
    check_error(
        "SELECT {a}",
        &[literal("a", ""), literal("A", "")],
        TemplateError::BadName(name("A")),
    );
    check_error(
        "SELECT {a}",
        &[literal("", "")],
        TemplateError::BadName(name("")),
    );
    check_error(
        "SELECT {username}",
        &[identifier("username", "admin")],
        TemplateError::Username,
    );
    check_error(
        "SELECT {a}",
        &[literal("a", "\0")],
        TemplateError::Value {
            name: name("a"),
            source: QuoteError::Nul,
        },
    );
    check_error(
        "SELECT {a}",
        &[identifier("a", "")],
        TemplateError::Value {
            name: name("a"),
            source: QuoteError::EmptyIdentifier,
        },
    );
}

#[test]
fn refuses_what_does_not_end() {
    for template in [
        "SELECT 'a",
        "SELECT /* a",
        "SELECT $$a",
        "SELECT \"a",
        "SELECT '\0'",
    ] {
        assert!(
            matches!(render(template, &[]), Err(TemplateError::NotSql(_))),
            "{template:?}"
        );
    }
}

#[test]
fn says_what_of_it_is_no_sql() {
    let why = |template| render(template, &[]).expect_err("is no SQL").to_string();
    assert!(why("SELECT 'a").ends_with("doesn't end"));
    assert_eq!(
        why("SELECT 1\0"),
        "holds the character U+0000, which SQL can't have"
    );
}

#[test]
fn refuses_more_than_the_limit_with_and_without_values() {
    let spaces = |bytes: usize| " ".repeat(bytes);
    check_untouched(&spaces(MAX_SQL_BYTES));
    check_error(
        &spaces(MAX_SQL_BYTES + 1),
        &[],
        TemplateError::TooLong {
            bytes: MAX_SQL_BYTES + 1,
        },
    );
    assert!(render("{a}", &[literal("a", &spaces(MAX_SQL_BYTES - 2))]).is_ok());
    check_error(
        "{a}",
        &[literal("a", &spaces(MAX_SQL_BYTES - 1))],
        TemplateError::TooLong {
            bytes: MAX_SQL_BYTES + 1,
        },
    );
}

#[test]
fn names_its_placeholders() {
    let template =
        Template::parse("GRANT {b}, {a}, {b} TO {username} -- {c}").expect("is a template");
    assert_eq!(
        template.placeholders().into_iter().collect::<Vec<_>>(),
        ["a", "b", "username"]
    );
}

#[test]
fn messages_name_the_placeholder_and_no_sql() {
    let message = |template: &str| render(template, &[]).expect_err("is refused").to_string();
    assert_eq!(
        message("SELECT {secret_x}"),
        "has the placeholder `{secret_x}`, for which there is no value"
    );
    assert_eq!(
        message("SELECT '{x}'"),
        "has the placeholder `{x}` inside quotes: the host adds the quotes of a value, and `{{x}}` is the text `{x}`"
    );
    assert!(!message("SELECT 'hunter2").contains("hunter2"));
}

proptest! {
    #[test]
    fn never_panics(template in ".*", name in "[a-z]{1,2}", value in ".*") {
        let _ = render(&template, &[literal(&name, &value)]);
        let _ = render(&template, &[identifier(&name, &value)]);
    }

    #[test]
    fn never_panics_on_what_looks_like_sql(template in r#"([{}'"$/*\\;EUb&a \n-]|\{a\}|\$\$|--){0,24}"#, value in "['\"\\\\;$a{}/*-]*") {
        let _ = render(&template, &[literal("a", &value)]);
        let _ = render(&template, &[identifier("a", &value)]);
    }

    /// Every text in quotes can be written, and comes out as it was meant.
    #[test]
    fn no_text_is_out_of_reach(parts in prop::collection::vec((0..4_usize, "([a-z][a-z0-9_]{0,3})?|[0-9A-Z]", 0..4_usize), 0..6)) {
        let write = |doubled: usize| {
            let part = |(opening, word, closing): &(usize, String, usize)| {
                let is_name = *opening > 0 && *closing > 0 && word.starts_with(|first: char| first.is_ascii_lowercase());
                let more = if is_name { doubled } else { 0 };
                format!("{}{word}{}", "{".repeat(opening + more), "}".repeat(closing + more))
            };
            format!("SELECT '{}'", parts.iter().map(part).collect::<Vec<_>>().join(","))
        };
        prop_assert_eq!(render(&write(1), &[]), Ok(write(0)));
    }

    /// The words around a value stay the words that they are.
    #[test]
    fn no_value_changes_the_statement(text in "[^\0]{0,15}") {
        for value in [Value::Literal(text.clone()), Value::Identifier(format!("x{text}"))] {
            let sql = render("SELECT {a} AS b, 'c' /* {a} */ FROM {username}; SELECT", &[("a".to_owned(), value)]);
            let sql = sql.expect("renders");
            let words: Vec<_> = token::scan(&sql).expect("is made of tokens").iter().map(|token| token.text.to_owned()).collect();
            prop_assert_eq!(words.len(), 11);
            prop_assert_eq!(&words[2..], ["AS", "b", ",", "'c'", "/* {a} */", "FROM", "\"zoë\"", ";", "SELECT"]);
        }
    }
}
