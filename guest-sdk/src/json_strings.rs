//! Reads a JSON array of strings, and nothing else of JSON.
//!
//! `serde_json` does it too, but makes a plugin that reads a list over 50 kB
//! larger: its errors can show floating point numbers. The tests hold the two
//! against each other.

use std::iter::Peekable;
use std::str::Chars;

/// The strings of the array that `json` is, `None` where it is anything else.
///
/// Source: RFC 8259.
pub(crate) fn parse(json: &str) -> Option<Vec<String>> {
    let mut reader = Reader(json.chars().peekable());
    reader.expect('[')?;
    let mut strings = Vec::new();
    if !reader.is_next(']') {
        loop {
            strings.push(reader.string()?);
            if !reader.is_next(',') {
                break;
            }
        }
        reader.expect(']')?;
    }
    reader.skip_blanks();
    reader.0.next().is_none().then_some(strings)
}

struct Reader<'a>(Peekable<Chars<'a>>);

impl Reader<'_> {
    fn skip_blanks(&mut self) {
        while self
            .0
            .next_if(|c| matches!(c, ' ' | '\t' | '\n' | '\r'))
            .is_some()
        {}
    }

    /// Takes this character, if it is the next one that is no blank.
    fn is_next(&mut self, character: char) -> bool {
        self.skip_blanks();
        self.0.next_if_eq(&character).is_some()
    }

    fn expect(&mut self, character: char) -> Option<()> {
        self.is_next(character).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        self.expect('"')?;
        let mut string = String::new();
        loop {
            match self.0.next()? {
                '"' => return Some(string),
                '\\' => string.push(self.escape()?),
                '\0'..='\x1f' => return None,
                character => string.push(character),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.0.next()? {
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode_escape(),
            character @ ('"' | '\\' | '/') => character,
            _ => return None,
        })
    }

    /// One `\uXXXX`, or the two that make a surrogate pair.
    fn unicode_escape(&mut self) -> Option<char> {
        let unit = self.code_unit()?;
        if !(0xd800..=0xdbff).contains(&unit) {
            return char::from_u32(unit);
        }
        self.0.next_if_eq(&'\\')?;
        self.0.next_if_eq(&'u')?;
        let low = self
            .code_unit()?
            .checked_sub(0xdc00)
            .filter(|low| *low < 0x400)?;
        char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low)
    }

    fn code_unit(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit << 4 | self.0.next()?.to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse;

    /// What `serde_json` says is what is expected.
    #[track_caller]
    fn check(json: &str) {
        assert_eq!(parse(json), serde_json::from_str(json).ok(), "{json:?}");
    }

    #[test]
    fn agrees_with_serde_json_on_arrays() {
        check("[]");
        check(" [ ] ");
        check(r#"["a"]"#);
        check("\n[ \"a\"\t,\r\"b\" ]");
        check(r#"["\"\\\/\b\f\n\r\t\u00e9\uD83d\uDe00\u0000"]"#);
    }

    #[test]
    fn agrees_with_serde_json_on_everything_else() {
        for json in [
            "",
            "[",
            "]",
            "[,]",
            "[\"a\"",
            "[\"a\",]",
            "[\"a\" \"b\"]",
            "[\"a\"]x",
            "[\"a\"][]",
            "[1]",
            "[null]",
            "[[\"a\"]]",
            "{}",
            "\"a\"",
            "[\"a]",
            "[\"\n\"]",
            "[\"\\x\"]",
            "[\"\\u12\"]",
            "[\"\\u12g4\"]",
            "[\"\\u+123\"]",
            "[\"\\ud800\"]",
            "[\"\\ud800\\n\"]",
            "[\"\\ud800\\ud800\"]",
            "[\"\\udc00\"]",
            "[\"\\ud800\\ue000\"]",
            "\u{a0}[]",
            "[\"\\",
        ] {
            check(json);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_noise(json in r#"\[(["\\u, d0-9a-c\]\[]|"[a\\]"|,){0,12}\]"#) {
            prop_assert_eq!(parse(&json), serde_json::from_str(&json).ok());
        }

        #[test]
        fn reads_what_serde_json_writes(strings: Vec<String>) {
            let json = serde_json::to_string(&strings).expect("strings are JSON");
            prop_assert_eq!(parse(&json), Some(strings));
        }
    }
}
