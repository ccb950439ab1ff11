//! From a statement to its tree and back, without loss.

use std::io::{self, Write};

use pg_query::protobuf::ParseResult;
use pg_query::{DeparseOptions, NodeEnum};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::Refusal;

/// The tree of exactly one statement.
pub(super) struct Tree(ParseResult);

impl Tree {
    /// Reads a text with PostgreSQL's own grammar.
    pub(super) fn parse(sql: &str) -> Result<Self, Refusal> {
        let tree = pg_query::parse(sql, 0)
            .map_err(|source| {
                Refusal::invalid("isn't a statement that PostgreSQL can read").with_source(source)
            })?
            .protobuf;
        match tree.stmts.len() {
            0 => Err(Refusal::invalid("holds no statement")),
            1 => Ok(Self(tree)),
            count => Err(Refusal::invalid(format!(
                "holds {count} statements, expected exactly one"
            ))),
        }
    }

    /// The statement itself.
    pub(super) fn node(&self) -> Option<&NodeEnum> {
        self.0.stmts.first()?.stmt.as_ref()?.node.as_ref()
    }

    /// The tree as text: what will run.
    ///
    /// Not all that can be read can be written (`pg_catalog.bpchar` comes out as
    /// `char`, which is one character long), so the text is read once more, and
    /// has to give the same tree. One thing both trees have lost: `IS ''` of a
    /// comment is `IS NULL`, which means the same to PostgreSQL.
    pub(super) fn to_sql(&self) -> Result<String, Refusal> {
        let lossy = "can't be written down again as it was read; put it in other words";
        let sql = pg_query::deparse(&self.0, DeparseOptions::default())
            .map_err(|source| Refusal::invalid(lossy).with_source(source))?;
        let again = Self::parse(&sql)?;
        if comparable(&self.0.stmts)? == comparable(&again.0.stmts)? {
            Ok(sql)
        } else {
            Err(Refusal::invalid(lossy))
        }
    }
}

/// A part of a tree without the places in the text that its parts came from. As JSON in
/// bytes: values in memory take fifty times as much, more than a small function has.
pub(super) fn comparable(part: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    let mut json = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut json, WithoutPlaces::default());
    part.serialize(&mut serializer)
        .map_err(|source| Refusal::invalid("can't be compared").with_source(source))?;
    Ok(json)
}

/// Every field of pg_query's tree that is a place in the text, and nothing else.
const PLACES: &[&str] = &[
    "arg_location",
    "conninfo_location",
    "list_end",
    "list_start",
    "location",
    "name_location",
    "payload_location",
    "rexpr_list_end",
    "rexpr_list_start",
    "stmt_len",
    "stmt_location",
];

/// Writes each of [`PLACES`] as 0. Only numbers: whatever else has that name stays
/// compared.
#[derive(Default)]
struct WithoutPlaces {
    is_key: bool,
    is_place: bool,
}

impl Formatter for WithoutPlaces {
    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        (self.is_key, self.is_place) = (true, false);
        if first {
            Ok(())
        } else {
            writer.write_all(b",")
        }
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        text: &str,
    ) -> io::Result<()> {
        self.is_place = self.is_key && PLACES.contains(&text);
        writer.write_all(text.as_bytes())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.is_key = false;
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.is_place = false;
        writer.write_all(b"[")
    }

    fn write_i32<W: ?Sized + Write>(&mut self, writer: &mut W, value: i32) -> io::Result<()> {
        write!(writer, "{}", if self.is_place { 0 } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: Result<&str, &str>) {
        let sql = Tree::parse(sql).and_then(|tree| tree.to_sql());
        assert_eq!(
            sql.as_deref().map_err(|refusal| refusal.message.as_str()),
            expected
        );
    }

    #[test]
    fn writes_what_it_read() {
        check(
            "grant\n/* x */ Select ON ALL tables in schema \"Public\" TO a;",
            Ok("GRANT select ON ALL TABLES IN SCHEMA \"Public\" TO a"),
        );
        check(
            "ALTER ROLE a SET application_name = 'b\\c'",
            Ok("ALTER ROLE a SET application_name TO \"b\\c\""),
        );
        check("COMMENT ON TABLE a IS ''", Ok("COMMENT ON TABLE a IS NULL"));
        check(
            "SELECT 'a\\b', E'\\x41', U&'\\0041', $$'$$",
            Ok("SELECT E'a\\\\b', 'A', 'A', ''''"),
        );
    }

    #[test]
    fn refuses_what_changes_when_it_is_written() {
        let lossy = Err("can't be written down again as it was read; put it in other words");
        check("SELECT a::pg_catalog.bpchar", lossy);
    }

    #[test]
    fn only_places_are_left_out() {
        let json = |sql: &str| Tree::parse(sql).and_then(|tree| comparable(&tree.0.stmts));
        let same =
            |one: &str, other: &str| json(one).expect("parses") == json(other).expect("parses");
        assert!(same("SELECT  a , ARRAY[1]", "SELECT a, ARRAY [ 1 ]"));
        assert!(!same("SELECT 1", "SELECT 2"));
        assert!(!same("SELECT 1 AS location", "SELECT 1 AS stmt_len"));
        assert!(!same("SELECT 'location', 1", "SELECT 'location', 2"));
        let text = String::from_utf8(json("SELECT 1").expect("parses")).expect("is text");
        assert!(
            serde_json::from_str::<serde_json::Value>(&text).is_ok(),
            "{text}"
        );
    }

    #[test]
    fn takes_exactly_one_statement() {
        check("", Err("holds no statement"));
        check("/* SELECT 1 */ ; ;", Err("holds no statement"));
        check(
            "SELECT 1; SELECT 2",
            Err("holds 2 statements, expected exactly one"),
        );
        check("SELECT", Ok("SELECT"));
        check("SELEC", Err("isn't a statement that PostgreSQL can read"));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        // As much of it as a statement may be long.
        let full = |start: &str, part: &str, end: &str| {
            let room = crate::sql::MAX_SQL_BYTES - start.len() - end.len();
            format!("{start}{}{end}", part.repeat(room / part.len()))
        };
        for sql in [
            full("", "(", ""),
            full("SELECT ", "NOT ", "true"),
            full("SELECT ", "- ", "1"),
            full("SELECT 1", " UNION SELECT 1", ""),
            full("SELECT 1", "+1", ""),
            full("SELECT 1", "::a", ""),
            full("SELECT 1", " IS NULL", ""),
            full("SELECT * FROM a", " JOIN a ON b", ""),
            "(".repeat(9000),
            format!("SELECT {}true", "NOT ".repeat(4000)),
            format!("SELECT 1{}", " UNION SELECT 1".repeat(1000)),
            format!("SELECT 1{}", "+1".repeat(8000)),
        ] {
            assert!(Tree::parse(&sql).is_err(), "{:.40}", sql);
        }
    }
}
