//! From a statement to its tree and back, without loss.

use pg_query::protobuf::ParseResult;
use pg_query::{DeparseOptions, NodeEnum};
use serde_json::Value;

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
        if self.comparable()? == again.comparable()? {
            Ok(sql)
        } else {
            Err(Refusal::invalid(lossy))
        }
    }

    /// The tree without the places in the text that its parts came from.
    fn comparable(&self) -> Result<Value, Refusal> {
        let mut value = serde_json::to_value(&self.0.stmts)
            .map_err(|source| Refusal::invalid("can't be compared").with_source(source))?;
        remove_places(&mut value);
        Ok(value)
    }
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

fn remove_places(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for place in PLACES {
                // Only numbers: whatever else has that name stays compared.
                if fields.get(*place).is_some_and(Value::is_number) {
                    fields.remove(*place);
                }
            }
            fields.values_mut().for_each(remove_places);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_places),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
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
