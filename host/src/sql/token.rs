//! The tokens of a text, as PostgreSQL's own lexer sees them.

use pg_query::protobuf::{KeywordKind, Token as Kind};

/// One token. Comments are tokens too, white space is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    kind: i32,
    is_keyword: bool,
    /// Where it begins, in bytes.
    pub(crate) start: usize,
    /// Where it ends, in bytes.
    pub(crate) end: usize,
    /// As it was written.
    pub(crate) text: &'a str,
}

/// Reads a text into tokens.
///
/// # Errors
/// Where a string, a quoted name or a comment doesn't end, or the text holds
/// U+0000.
pub(crate) fn scan(text: &str) -> Result<Vec<Token<'_>>, pg_query::Error> {
    let place = |byte: i32| usize::try_from(byte).unwrap_or(usize::MAX);
    // Not `pg_query::scan_tokens`: in 18.1 it makes a slice from a null pointer
    // where the text holds no token at all.
    pg_query::scan(text)?
        .tokens
        .into_iter()
        .map(|token| {
            let (start, end) = (place(token.start), place(token.end));
            let text = text
                .get(start..end)
                .ok_or(pg_query::Error::InvalidPointer)?;
            let is_keyword = token.keyword_kind != KeywordKind::NoKeyword as i32;
            Ok(Token {
                kind: token.token,
                is_keyword,
                start,
                end,
                text,
            })
        })
        .collect()
}

impl Token<'_> {
    /// Whether it is this single character.
    pub(crate) fn is(&self, character: char) -> bool {
        self.text.len() == 1 && self.text.starts_with(character)
    }

    /// Whether it is this keyword, given in lower case.
    pub(crate) fn is_keyword(&self, keyword: &str) -> bool {
        self.is_keyword && self.text.eq_ignore_ascii_case(keyword)
    }

    /// The keyword in upper case, where it is one. Also a name may be: `name`.
    pub(crate) fn keyword(&self) -> Option<String> {
        self.is_keyword.then(|| self.text.to_ascii_uppercase())
    }

    /// Whether it is a comment, which PostgreSQL reads as white space.
    pub(crate) fn is_comment(&self) -> bool {
        self.kind == Kind::SqlComment as i32 || self.kind == Kind::CComment as i32
    }

    /// Whether it is a parameter such as `$1`.
    pub(crate) fn is_parameter(&self) -> bool {
        self.kind == Kind::Param as i32
    }

    /// Whether it is a name written `U&"…"`.
    pub(crate) fn is_unicode_identifier(&self) -> bool {
        self.kind == Kind::Uident as i32
    }

    /// Whether it is in quotes of any kind: string, name, dollar quotes.
    pub(crate) fn is_quoted(&self) -> bool {
        let constants = [
            Kind::Sconst,
            Kind::Usconst,
            Kind::Bconst,
            Kind::Xconst,
            Kind::Uident,
        ];
        constants.iter().any(|kind| self.kind == *kind as i32) || self.is_quoted_identifier()
    }

    /// Whether it is exactly one quoted name or one string constant: what a
    /// value is rendered as.
    pub(crate) fn is_value(&self) -> bool {
        self.kind == Kind::Sconst as i32 || self.is_quoted_identifier()
    }

    /// The name that PostgreSQL reads, not shortened. Also for keywords, which
    /// are names in many places; `None` for all else.
    pub(crate) fn identifier(&self) -> Option<String> {
        if self.is_quoted_identifier() {
            let inner = self
                .text
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))?;
            return Some(inner.replace("\"\"", "\""));
        }
        (self.is_keyword || self.kind == Kind::Ident as i32).then(|| self.text.to_ascii_lowercase())
    }

    fn is_quoted_identifier(&self) -> bool {
        self.kind == Kind::Ident as i32 && self.text.starts_with('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let tokens = scan(text).expect("is made of tokens");
        assert_eq!(
            tokens.iter().map(|token| token.text).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn tokens_begin_and_end_where_they_do() {
        check(
            "GRANT \"a\"\"b\" TO {é};",
            &["GRANT", "\"a\"\"b\"", "TO", "{", "é", "}", ";"],
        );
        check(
            "E'a\\'b' $1 $x$ ; $x$ $$y$$",
            &["E'a\\'b'", "$1", "$x$ ; $x$", "$$y$$"],
        );
        check("'a'\n  'b' 'c'", &["'a'\n  'b'", "'c'"]);
        check(
            "/* a /* b */ ; */ x -- ;\n;",
            &["/* a /* b */ ; */", "x", "-- ;", ";"],
        );
        check(
            "U&\"d\\0061t\" U&'x' B'01' X'ff'",
            &["U&\"d\\0061t\"", "U&'x'", "B'01'", "X'ff'"],
        );
        check("a.b::c", &["a", ".", "b", "::", "c"]);
    }

    #[test]
    fn names_are_read_as_postgresql_reads_them() {
        let read = |text: &str| scan(text).expect("is a token")[0].identifier();
        assert_eq!(read("\"a\"\"B\""), Some("a\"B".to_owned()));
        assert_eq!(read("AbC"), Some("abc".to_owned()));
        assert_eq!(read("ÀB"), Some("Àb".to_owned()));
        assert_eq!(read("SELECT"), Some("select".to_owned()));
        assert_eq!(read("'a'"), None);
        assert_eq!(read("1"), None);
    }

    #[test]
    fn what_does_not_end_is_an_error() {
        for text in [
            "'a",
            "\"a",
            "$$a",
            "/* a /* b */",
            "U&\"a",
            "E'a\\'",
            "a\0b",
        ] {
            assert!(scan(text).is_err(), "{text:?}");
        }
    }
}
