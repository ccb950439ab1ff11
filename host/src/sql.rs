//! SQL as text: how values are quoted, how a template becomes a statement, and
//! how a file becomes statements.
//!
//! Pure, and no judge: what a statement may *do* is decided by
//! [`policy`](crate::policy). Here is only made sure that a value stays a value.

mod split;
mod template;
pub(crate) mod token;

use std::fmt;

pub use split::split_statements;
pub use template::{MAX_SQL_BYTES, Template, TemplateError};

use crate::name;

/// Why a text can't be a value in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuoteError {
    /// It holds U+0000, which ends a text on the wire.
    Nul,
    /// A name of nothing, which PostgreSQL doesn't know.
    EmptyIdentifier,
    /// A name longer than [`name::MAX_BYTES`], which PostgreSQL would shorten.
    LongIdentifier {
        /// How long it is.
        bytes: usize,
    },
}

/// The name as an identifier, always in quotes: `a"b` becomes `"a""b"`. Case is
/// kept, and no keyword has a meaning.
///
/// # Errors
/// Each kind of [`QuoteError`].
///
/// # Examples
/// ```
/// assert_eq!(sym_host::sql::quote_identifier("Read-Only").unwrap(), r#""Read-Only""#);
/// ```
pub fn quote_identifier(name: &str) -> Result<String, QuoteError> {
    if name.contains('\0') {
        return Err(QuoteError::Nul);
    }
    if name.is_empty() {
        return Err(QuoteError::EmptyIdentifier);
    }
    if name.len() > name::MAX_BYTES {
        return Err(QuoteError::LongIdentifier { bytes: name.len() });
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// The name as a person would write it: in quotes where PostgreSQL reads it as something
/// else otherwise.
///
/// # Errors
/// Each kind of [`QuoteError`].
pub(crate) fn identifier(name: &str) -> Result<String, QuoteError> {
    let quoted = quote_identifier(name)?;
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && pg_query::parse(&format!("CREATE ROLE {name}"), 0).is_ok();
    Ok(if is_plain { name.to_owned() } else { quoted })
}

/// The text as a string constant: `it's` becomes `'it''s'`.
///
/// Where a backslash is in it, the form is `E'…'`: it reads the same with
/// `standard_conforming_strings` on and off, and `'…'` doesn't.
///
/// # Errors
/// [`QuoteError::Nul`].
pub fn quote_literal(text: &str) -> Result<String, QuoteError> {
    if text.contains('\0') {
        return Err(QuoteError::Nul);
    }
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        Ok(format!("E'{}'", quoted.replace('\\', "\\\\")))
    } else {
        Ok(format!("'{quoted}'"))
    }
}

impl fmt::Display for QuoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nul => f.write_str("holds the character U+0000"),
            Self::EmptyIdentifier => f.write_str("is an empty name"),
            Self::LongIdentifier { bytes } => {
                write!(
                    f,
                    "is a name of {bytes} bytes, at most {} are allowed",
                    name::MAX_BYTES
                )
            }
        }
    }
}

impl std::error::Error for QuoteError {}

#[cfg(test)]
mod tests {
    use super::*;
    use pg_query::NodeEnum;
    use proptest::prelude::*;

    #[track_caller]
    fn check_literal(text: &str, expected: &str) {
        assert_eq!(quote_literal(text).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn check_identifier(name: &str, expected: Result<&str, QuoteError>) {
        assert_eq!(
            quote_identifier(name).as_deref(),
            expected.as_ref().map(|text| *text)
        );
    }

    #[test]
    fn quotes_identifiers() {
        check_identifier("readonly", Ok("\"readonly\""));
        check_identifier("a\"b", Ok("\"a\"\"b\""));
        check_identifier("select", Ok("\"select\""));
        check_identifier("a\\b'c", Ok("\"a\\b'c\""));
        check_identifier("", Err(QuoteError::EmptyIdentifier));
        check_identifier("a\0b", Err(QuoteError::Nul));
    }

    #[test]
    fn refuses_an_identifier_that_postgresql_would_shorten() {
        assert!(quote_identifier(&"x".repeat(63)).is_ok());
        check_identifier(
            &"x".repeat(64),
            Err(QuoteError::LongIdentifier { bytes: 64 }),
        );
        check_identifier(
            &"é".repeat(32),
            Err(QuoteError::LongIdentifier { bytes: 64 }),
        );
        // Doubled quotes don't count: the name has 63 bytes.
        assert!(quote_identifier(&"\"".repeat(63)).is_ok());
    }

    #[test]
    fn quotes_literals() {
        check_literal("", "''");
        check_literal("it's", "'it''s'");
        check_literal("\\", "E'\\\\'");
        check_literal("\\'; DROP ROLE y; --", "E'\\\\''; DROP ROLE y; --'");
        assert_eq!(quote_literal("a\0"), Err(QuoteError::Nul));
    }

    /// The one string constant of a one-column `SELECT`.
    fn constant(sql: &str, options: pg_query::ParserOptions) -> String {
        let tree = pg_query::parse(sql, options).expect("parses").protobuf;
        assert_eq!(tree.stmts.len(), 1);
        let text = serde_json::to_value(&tree).expect("has a JSON form");
        let value = &text["stmts"][0]["stmt"]["node"]["SelectStmt"]["target_list"][0]["node"]["ResTarget"]
            ["val"];
        value["node"]["AConst"]["val"]["Sval"]["sval"]
            .as_str()
            .expect("is a string")
            .to_owned()
    }

    proptest! {
        #[test]
        fn any_literal_comes_back_whichever_way_the_server_reads_strings(text in "[^\0]*") {
            let sql = format!("SELECT {}", quote_literal(&text).expect("has no NUL"));
            prop_assert_eq!(&constant(&sql, pg_query::ParserOptions::DEFAULT), &text);
            prop_assert_eq!(&constant(&sql, pg_query::ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS), &text);
        }

        #[test]
        fn any_identifier_comes_back(name in "[^\0]{1,15}") {
            let sql = format!("SELECT 1 AS {}", quote_identifier(&name).expect("is short"));
            let tree = pg_query::parse(&sql, 0).expect("parses").protobuf;
            let Some(NodeEnum::SelectStmt(select)) = tree.stmts[0].stmt.as_ref().and_then(|node| node.node.as_ref()) else {
                panic!("not a SELECT");
            };
            let Some(NodeEnum::ResTarget(target)) = &select.target_list[0].node else { panic!("no target") };
            prop_assert_eq!(&target.name, &name);
        }
    }
}
