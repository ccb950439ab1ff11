//! SQL templates: an identifier, a literal and a user's name, a line each, and
//! the template in the rest.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use pg_query::protobuf::{ScanToken, Token};
use sym_host::plan::Value;
use sym_host::sql::{MAX_SQL_BYTES, Template, quote_identifier, quote_literal, split_statements};

mod common;

/// Values of which nobody would say that they end anything.
const PLAIN: Values<'_> = Values {
    identifier: "zzidentifierzz",
    literal: "zzliteralzz",
    username: "zzusernamezz",
};

#[derive(Clone, Copy)]
struct Values<'a> {
    identifier: &'a str,
    literal: &'a str,
    username: &'a str,
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Corpus::Reject;
    };
    let mut lines = text.splitn(4, '\n');
    let (Some(identifier), Some(literal), Some(username), Some(text)) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Corpus::Reject;
    };
    // So that a value can have a line end.
    let unescape = |text: &str| text.replace("\\n", "\n").replace("\\0", "\0");
    let (identifier, literal) = (unescape(identifier), unescape(literal));
    check_split(text);
    match Template::parse(text) {
        Ok(template) => {
            let values = Values {
                identifier: &identifier,
                literal: &literal,
                username,
            };
            check_render(&template, values);
        }
        Err(error) => common::check_sentence(&error.to_string()),
    }
    Corpus::Keep
});

/// Whatever the values are, the statement has the same words, and each value is
/// one of them.
fn check_render(template: &Template, values: Values<'_>) {
    let text = match render(template, values) {
        Ok(text) => text,
        Err(sentence) => return common::check_sentence(&sentence),
    };
    assert!(text.len() <= MAX_SQL_BYTES);
    // Too long with these values, and not with the others.
    let Ok(plain) = render(template, PLAIN) else {
        return;
    };
    let (words, plain_words) = (words(&text), words(&plain));
    assert_eq!(words.len(), plain_words.len(), "{text}\n{plain}");
    for ((word, written), (plain_word, plain_written)) in words.iter().zip(&plain_words) {
        assert_eq!(word.keyword_kind, plain_word.keyword_kind, "{text}");
        let same = word.token == plain_word.token && written == plain_written;
        assert!(
            same || is_value(word, written, plain_written, values),
            "{text}\n{plain}"
        );
    }
}

fn render(template: &Template, values: Values<'_>) -> Result<String, String> {
    let args: Vec<(String, Value)> = template
        .placeholders()
        .into_iter()
        .filter(|name| *name != "username")
        .map(|name| {
            // `{i…}` is an identifier, every other a literal.
            let value = if name.starts_with('i') {
                Value::Identifier(values.identifier.to_owned())
            } else {
                Value::Literal(values.literal.to_owned())
            };
            (name.to_owned(), value)
        })
        .collect();
    template
        .render(values.username, &args)
        .map_err(|error| error.to_string())
}

/// Whether a word is the value that stands where the plain one stood, by what
/// PostgreSQL's lexer says that it is.
fn is_value(word: &ScanToken, written: &str, plain: &str, values: Values<'_>) -> bool {
    let identifier = |plain_value: &str, value: &str| {
        plain == quote_identifier(plain_value).expect("is a name")
            && word.token == Token::Ident as i32
            && decoded_identifier(written).as_deref() == Some(value)
    };
    let is_literal = plain == quote_literal(PLAIN.literal).expect("is a text")
        && word.token == Token::Sconst as i32
        && decoded_literal(written).as_deref() == Some(values.literal);
    identifier(PLAIN.identifier, values.identifier)
        || identifier(PLAIN.username, values.username)
        || is_literal
}

/// A quoted name as the manual defines it, without any code of the host's.
fn decoded_identifier(written: &str) -> Option<String> {
    let inner = written.strip_prefix('"')?.strip_suffix('"')?;
    let is_closed = inner.replace("\"\"", "").contains('"');
    (!is_closed).then(|| inner.replace("\"\"", "\""))
}

/// A string constant as PostgreSQL itself decodes it, with
/// `standard_conforming_strings` on and off.
fn decoded_literal(written: &str) -> Option<String> {
    let decoded = |options| {
        let tree = pg_query::parse(&format!("SELECT {written}"), options).ok()?;
        let tree = serde_json::to_value(&tree.protobuf).ok()?;
        let value = tree.pointer(
            "/stmts/0/stmt/node/SelectStmt/target_list/0/node/ResTarget/val/node/AConst/val/Sval/sval",
        )?;
        value.as_str().map(str::to_owned)
    };
    let strict = decoded(pg_query::ParserOptions::DEFAULT)?;
    let lax = decoded(pg_query::ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS)?;
    (strict == lax).then_some(strict)
}

/// A file's statements are all of it, and each is one.
fn check_split(text: &str) {
    let Ok(statements) = split_statements(text) else {
        return;
    };
    for statement in &statements {
        assert!(text.contains(statement.as_str()));
        assert_eq!(
            split_statements(statement).as_ref(),
            Ok(&vec![statement.clone()])
        );
    }
    // What PostgreSQL can read as it is, it reads as as many statements.
    if let Ok(tree) = pg_query::parse(text, 0) {
        let expected = tree.protobuf.stmts.len();
        assert_eq!(statements.len(), expected, "{text}\n{statements:?}");
    }
}

fn words(text: &str) -> Vec<(ScanToken, &str)> {
    let scan = pg_query::scan(text).expect("is made of words");
    let place = |byte: i32| usize::try_from(byte).expect("is a place");
    scan.tokens
        .into_iter()
        .map(|word| {
            let written = &text[place(word.start)..place(word.end)];
            (word, written)
        })
        .collect()
}
