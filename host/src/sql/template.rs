//! A statement with `{name}` where values belong.
//!
//! The rule, in full:
//! - A name is `[a-z][a-z0-9_]*`. `{name}` stands for the value of that name.
//! - A placeholder is a word of its own. Inside quotes (`'…'`, `"…"`, `$$…$$`)
//!   it is an error, since the host adds the quotes that a value needs.
//! - Where the text in quotes itself is to have a name in braces, each brace is
//!   doubled: `{{name}}` becomes `{name}`. Generally: of two or more braces on
//!   both sides of a name, one on each side is dropped.
//! - Every other brace in quotes is text: `'{}'`, `'{"a": {"b": 1}}'`, `'{1,2}'`.
//! - Comments are left alone. Elsewhere SQL has no braces, so they are an error.
//!
//! So every text can be written, and each has one meaning. Outside comments, no
//! braces with a name in them are ever passed on without having been meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::token::{self, Token};
use super::{QuoteError, quote_identifier, quote_literal};
use crate::event::printable;
use crate::plan::Value;

/// Longest statement, in bytes, with and without its values.
///
/// A plugin's own limit, [`Limits::sql_bytes`](crate::plugin::Limits::sql_bytes),
/// is lower where nobody raised it.
pub const MAX_SQL_BYTES: usize = 64 * 1024;

/// The placeholder that is always there: the user of the run.
const USERNAME: &str = "username";

/// How much of a foreign name a message shows, in characters.
const SHOWN: usize = 63;

/// A statement whose placeholders have been found, and are where values can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder(String),
}

/// Why a template can't be read, or not with these values.
///
/// Messages hold names of placeholders, never SQL; the cause in
/// [`source`](std::error::Error::source) may.
#[derive(Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// Longer than [`MAX_SQL_BYTES`].
    TooLong {
        /// How long it is, or would be at least.
        bytes: usize,
    },
    /// Not made of PostgreSQL's words: a string or a comment doesn't end, or U+0000 is in it.
    NotSql(pg_query::Error),
    /// A file without a statement.
    NoStatement,
    /// A brace outside quotes that is no part of a placeholder.
    Brace,
    /// A placeholder inside quotes.
    InQuotes(String),
    /// A placeholder that, with its value, is one word with its neighbour.
    NotAlone(String),
    /// A placeholder without a value.
    Unknown(String),
    /// A value without a placeholder.
    Unused(String),
    /// Two values of one name.
    Twice(String),
    /// The name of a value isn't one that a placeholder can have.
    BadName(String),
    /// A value named `username`, which is the host's.
    Username,
    /// A value that can't be quoted.
    Value {
        /// The placeholder's name.
        name: String,
        /// Why not.
        source: QuoteError,
    },
}

impl Template {
    /// Reads a template, and checks that each placeholder is a word of its own
    /// whatever its value will be.
    ///
    /// # Errors
    /// All kinds of [`TemplateError`] that don't depend on values.
    ///
    /// # Examples
    /// ```
    /// use sym_host::{plan::Value, sql::Template};
    ///
    /// let template = Template::parse("GRANT SELECT ON {schema}.orders TO {username}").unwrap();
    /// let args = [("schema".to_owned(), Value::Identifier("shop".to_owned()))];
    /// assert_eq!(template.render("zoë", &args).unwrap(), r#"GRANT SELECT ON "shop".orders TO "zoë""#);
    /// ```
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_SQL_BYTES {
            return Err(TemplateError::TooLong { bytes: text.len() });
        }
        let template = Self {
            pieces: pieces(text)?,
        };
        // Each form of a value, and what it would run into: `{a}{b}`, `E{a}`, and
        // a string on the line before.
        for sample in ["\"p\"", "'p'", "E'p'"] {
            template.assemble(|_| Ok(sample.to_owned()))?;
        }
        Ok(template)
    }

    /// The names of the placeholders, `username` among them, each once.
    pub fn placeholders(&self) -> BTreeSet<&str> {
        self.pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Placeholder(name) => Some(name.as_str()),
                Piece::Text(_) => None,
            })
            .collect()
    }

    /// The statement with its values. `username` is the value of `{username}`,
    /// as an identifier, and need not be used; each of `args` must be.
    ///
    /// Each value is exactly one quoted name or one string constant in the
    /// result: it can't change how the rest is read.
    ///
    /// # Errors
    /// All kinds of [`TemplateError`] that depend on values.
    pub fn render(
        &self,
        username: &str,
        args: &[(String, Value)],
    ) -> Result<String, TemplateError> {
        let value_error = |name: &str| {
            let name = name.to_owned();
            move |source| TemplateError::Value { name, source }
        };
        let mut quoted = BTreeMap::new();
        let placeholders = self.placeholders();
        for (name, value) in args {
            if name == USERNAME {
                return Err(TemplateError::Username);
            }
            if name_length(name) != name.len() || name.is_empty() {
                return Err(TemplateError::BadName(name.clone()));
            }
            let text = match value {
                Value::Identifier(text) => quote_identifier(text),
                Value::Literal(text) => quote_literal(text),
            };
            if quoted
                .insert(name.as_str(), text.map_err(value_error(name))?)
                .is_some()
            {
                return Err(TemplateError::Twice(name.clone()));
            }
            if !placeholders.contains(name.as_str()) {
                return Err(TemplateError::Unused(name.clone()));
            }
        }
        quoted.insert(
            USERNAME,
            quote_identifier(username).map_err(value_error(USERNAME))?,
        );
        self.assemble(|name| {
            quoted
                .get(name)
                .cloned()
                .ok_or_else(|| TemplateError::Unknown(name.to_owned()))
        })
    }

    /// Puts the quoted values in, then has PostgreSQL's lexer say that each of
    /// them is one word where it stands. With that the words between them are
    /// what they would be with any other value.
    fn assemble(
        &self,
        quoted: impl Fn(&str) -> Result<String, TemplateError>,
    ) -> Result<String, TemplateError> {
        let mut text = String::new();
        let mut values = Vec::new();
        for piece in &self.pieces {
            let start = text.len();
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Placeholder(name) => {
                    text.push_str(&quoted(name)?);
                    values.push((name, start, text.len()));
                }
            }
            if text.len() > MAX_SQL_BYTES {
                return Err(TemplateError::TooLong { bytes: text.len() });
            }
        }
        let tokens = token::scan(&text).map_err(TemplateError::NotSql)?;
        for (name, start, end) in values {
            // They come in order, and a hostile template has as many as it has room for.
            let token = tokens
                .binary_search_by_key(&start, |token| token.start)
                .map(|index| tokens[index]);
            if !token.is_ok_and(|token| token.end == end && token.is_value()) {
                return Err(TemplateError::NotAlone(name.clone()));
            }
        }
        Ok(text)
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let tokens = token::scan(text).map_err(TemplateError::NotSql)?;
    let mut pieces = Vec::new();
    let mut copied = 0;
    let mut rest = &tokens[..];
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        if token.is('{') {
            let (name, after) = placeholder(token, after).ok_or(TemplateError::Brace)?;
            let end = name.end + 1;
            pieces.push(Piece::Text(text[copied..token.start].to_owned()));
            pieces.push(Piece::Placeholder(name.text.to_owned()));
            (copied, rest) = (end, after);
        } else if token.is('}') {
            return Err(TemplateError::Brace);
        } else if token.is_quoted() {
            pieces.push(Piece::Text(text[copied..token.start].to_owned()));
            pieces.push(Piece::Text(unescape(token.text)?));
            copied = token.end;
        }
    }
    pieces.push(Piece::Text(text[copied..].to_owned()));
    Ok(pieces)
}

/// The name after an opening brace outside quotes, and what follows its closing
/// one.
fn placeholder<'a, 't>(
    open: &Token<'t>,
    after: &'a [Token<'t>],
) -> Option<(Token<'t>, &'a [Token<'t>])> {
    let [name, close, rest @ ..] = after else {
        return None;
    };
    let is_adjacent = open.end == name.start && name.end == close.start;
    let is_name = name_length(name.text) == name.text.len();
    (is_adjacent && is_name && close.is('}')).then_some((*name, rest))
}

/// Text in quotes with `{{name}}` turned into `{name}`.
fn unescape(quoted: &str) -> Result<String, TemplateError> {
    let braces = |text: &str, brace: u8| text.bytes().take_while(|byte| *byte == brace).count();
    let mut text = String::new();
    let mut rest = quoted;
    while let Some(start) = rest.find('{') {
        let opening = braces(&rest[start..], b'{');
        let name = &rest[start + opening..];
        let name = &name[..name_length(name)];
        let after = start + opening + name.len();
        let closing = braces(&rest[after..], b'}');
        if name.is_empty() || closing == 0 {
            text.push_str(&rest[..after]);
            rest = &rest[after..];
            continue;
        }
        if opening == 1 || closing == 1 {
            return Err(TemplateError::InQuotes(name.to_owned()));
        }
        text.push_str(&rest[..start + opening - 1]);
        text.push_str(name);
        text.push_str(&rest[after..after + closing - 1]);
        rest = &rest[after + closing..];
    }
    text.push_str(rest);
    Ok(text)
}

/// How much of the text's beginning is a name: `[a-z][a-z0-9_]*`, or nothing.
fn name_length(text: &str) -> usize {
    if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
        return 0;
    }
    text.bytes()
        .take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        .count()
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &str| printable(name, SHOWN);
        match self {
            Self::TooLong { bytes } => write!(f, "is {bytes} bytes long, at most {MAX_SQL_BYTES} are allowed"),
            Self::NotSql(pg_query::Error::Conversion(_)) => f.write_str("holds the character U+0000, which SQL can't have"),
            Self::NotSql(_) => f.write_str("isn't SQL: a string, a name in quotes or a comment doesn't end"),
            Self::NoStatement => f.write_str("holds no statement"),
            Self::Brace => f.write_str(
                "has a brace that isn't part of a placeholder, expected `{name}` with lower-case letters, digits and `_`",
            ),
            Self::InQuotes(name) => write!(
                f,
                "has the placeholder `{{{0}}}` inside quotes: the host adds the quotes of a value, and `{{{{{0}}}}}` is the text `{{{0}}}`",
                shown(name)
            ),
            Self::NotAlone(name) => {
                write!(f, "has the placeholder `{{{}}}` joined to its neighbour, expected a word of its own", shown(name))
            }
            Self::Unknown(name) => write!(f, "has the placeholder `{{{}}}`, for which there is no value", shown(name)),
            Self::Unused(name) => write!(f, "has no placeholder for the value `{}`", shown(name)),
            Self::Twice(name) => write!(f, "has two values named `{}`", shown(name)),
            Self::BadName(name) => write!(
                f,
                "has a value named `{}`, expected lower-case letters, digits and `_`, a letter first",
                shown(name)
            ),
            Self::Username => write!(f, "has a value named `{USERNAME}`, which only the host gives"),
            Self::Value { name, .. } => write!(f, "has a value `{}` that can't be used", shown(name)),
        }
    }
}

impl std::error::Error for TemplateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotSql(source) => Some(source),
            Self::Value { source, .. } => Some(source),
            Self::TooLong { .. }
            | Self::NoStatement
            | Self::Brace
            | Self::InQuotes(_)
            | Self::NotAlone(_)
            | Self::Unknown(_)
            | Self::Unused(_)
            | Self::Twice(_)
            | Self::BadName(_)
            | Self::Username => None,
        }
    }
}

#[cfg(test)]
mod tests;
