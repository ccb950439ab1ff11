//! From the text of a `.sql` file to its statements.

use super::template::TemplateError;
use super::token::{self, Token};

/// The statements of a `.sql` file, in order, without the comments and the
/// white space around them, and without their semicolons. Placeholders stay as
/// they are: each statement is a [`Template`](super::Template) of its own.
///
/// A semicolon in quotes, in a comment, in parentheses or in a function's body
/// (`BEGIN ATOMIC … END`) ends nothing. No text is ever skipped: what is not a
/// statement fails when it is parsed.
///
/// # Errors
/// [`TemplateError::NotSql`] where something opened doesn't end;
/// [`TemplateError::NoStatement`] where nothing is left.
///
/// # Examples
/// ```
/// let file = "/* comment */ GRANT readonly TO {username};";
/// assert_eq!(sym_host::sql::split_statements(file).unwrap(), ["GRANT readonly TO {username}"]);
/// ```
pub fn split_statements(file: &str) -> Result<Vec<String>, TemplateError> {
    let tokens = token::scan(file).map_err(TemplateError::NotSql)?;
    let mut statements = Vec::new();
    let mut statement: Option<(usize, usize)> = None;
    let mut depth = Depth::default();
    let code: Vec<Token<'_>> = tokens
        .into_iter()
        .filter(|token| !token.is_comment())
        .collect();
    for (index, token) in code.iter().enumerate() {
        if token.is(';') && depth.is_zero() {
            statements.extend(
                statement
                    .take()
                    .map(|(start, end)| file[start..end].to_owned()),
            );
            depth = Depth::default();
            continue;
        }
        depth.enter(token, code.get(index + 1));
        let (start, _) = statement.unwrap_or((token.start, token.end));
        statement = Some((start, token.end));
    }
    statements.extend(statement.map(|(start, end)| file[start..end].to_owned()));
    if statements.is_empty() {
        Err(TemplateError::NoStatement)
    } else {
        Ok(statements)
    }
}

/// What a semicolon could be inside of.
#[derive(Default)]
struct Depth {
    parentheses: usize,
    /// `BEGIN ATOMIC` and, within it, `CASE`: both end with `END`.
    blocks: usize,
}

impl Depth {
    fn is_zero(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    fn enter(&mut self, token: &Token<'_>, next: Option<&Token<'_>>) {
        if token.is('(') {
            self.parentheses += 1;
        } else if token.is(')') {
            self.parentheses = self.parentheses.saturating_sub(1);
        } else if token.is_keyword("begin") && next.is_some_and(|next| next.is_keyword("atomic"))
            || token.is_keyword("case") && self.blocks > 0
        {
            self.blocks += 1;
        } else if token.is_keyword("end") {
            self.blocks = self.blocks.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, expected: &[&str]) {
        assert_eq!(split_statements(file).expect("splits"), expected);
    }

    #[test]
    fn splits_the_file_of_the_page() {
        check(
            "/* comment */ GRANT readonly TO {username};",
            &["GRANT readonly TO {username}"],
        );
        check(
            "GRANT readonly TO {username}",
            &["GRANT readonly TO {username}"],
        );
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_where_it_is_one() {
        check("a 'x;y'; b \"x;y\";", &["a 'x;y'", "b \"x;y\""]);
        check("a $$x;y$$; b $t$;$$;$t$", &["a $$x;y$$", "b $t$;$$;$t$"]);
        check(
            "a /* ; /* ; */ ; */ b; -- c;\nd",
            &["a /* ; /* ; */ ; */ b", "d"],
        );
        check("a E'\\';' ; b", &["a E'\\';'", "b"]);
        check(
            "CREATE RULE r AS ON INSERT TO t DO (a; b); c",
            &["CREATE RULE r AS ON INSERT TO t DO (a; b)", "c"],
        );
    }

    #[test]
    fn a_function_body_stays_in_one_piece() {
        let function = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END";
        check(
            &format!("{function}; GRANT a TO b;"),
            &[function, "GRANT a TO b"],
        );
        check("BEGIN; COMMIT; END", &["BEGIN", "COMMIT", "END"]);
    }

    #[test]
    fn nothing_is_left_out() {
        check("asdf; select; \\d", &["asdf", "select", "\\d"]);
        check(";;a;;b;;", &["a", "b"]);
    }

    #[test]
    fn refuses_what_holds_no_statement_or_does_not_end() {
        for file in ["", " \n", ";", "-- nothing", "/* nothing */;"] {
            assert_eq!(
                split_statements(file),
                Err(TemplateError::NoStatement),
                "{file:?}"
            );
        }
        for file in ["a 'b; c", "a /* b; c", "a $$b; c", "a\0; b"] {
            assert!(
                matches!(split_statements(file), Err(TemplateError::NotSql(_))),
                "{file:?}"
            );
        }
    }
}
