//! The name of the user that a run makes: up to twelve characters that say who,
//! then 24 hexadecimal digits that say which run.
//!
//! As in Sym's template. There, for a local part and a run in lower case:
//! `re.sub(r"\W", "", local_part)[:12] + shake_128(run.encode()).hexdigest(12)`.

use sha3::Shake128;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use unicode_general_category::{GeneralCategory, get_general_category};

/// How many characters of the local part are kept.
const MAX_CHARACTERS: usize = 12;

/// How many bytes of the run's hash are kept.
const HASH_BYTES: usize = 12;

/// How many bytes those characters may take.
///
/// The one difference to the template: twelve characters of four bytes make a
/// name of 72 bytes, PostgreSQL would cut it at 63, and the digits that tell one
/// run from the other would be lost. Here the characters give way.
const MAX_PREFIX_BYTES: usize = 63 - 2 * HASH_BYTES;

/// The database user for this person and this run.
///
/// Never empty: where the local part has no word character, the name is the
/// digits alone, as in the template.
pub(crate) fn name(local_part: &str, run_id: &str) -> String {
    let mut name = String::with_capacity(MAX_PREFIX_BYTES + 2 * HASH_BYTES);
    for character in local_part
        .chars()
        .filter(|c| is_word(*c))
        .take(MAX_CHARACTERS)
    {
        if name.len() + character.len_utf8() > MAX_PREFIX_BYTES {
            break;
        }
        name.push(character);
    }
    for byte in hash(&run_id.to_ascii_lowercase()) {
        for digit in [byte >> 4, byte & 0xf] {
            name.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    name
}

fn hash(run_id: &str) -> [u8; HASH_BYTES] {
    let mut hasher = Shake128::default();
    hasher.update(run_id.as_bytes());
    let mut bytes = [0; HASH_BYTES];
    hasher.finalize_xof().read(&mut bytes);
    bytes
}

/// Python's `\w`: a letter, a number of any kind, or `_`.
///
/// Not `char::is_alphanumeric`, which has circled letters and many combining
/// marks too.
fn is_word(character: char) -> bool {
    use GeneralCategory::{
        DecimalNumber, LetterNumber, LowercaseLetter, ModifierLetter, OtherLetter, OtherNumber,
        TitlecaseLetter, UppercaseLetter,
    };
    character == '_'
        || matches!(
            get_general_category(character),
            DecimalNumber
                | LetterNumber
                | LowercaseLetter
                | ModifierLetter
                | OtherLetter
                | OtherNumber
                | TitlecaseLetter
                | UppercaseLetter
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A run in full, as Sym sends it, and the digits that it has in the template.
    const RUN: &str = "2b1befa5-caf5-4ac3-8509-64732c15cb7d";
    const DIGITS: &str = "75c471289bca6deb6cd22ed7";

    #[track_caller]
    fn check(local_part: &str, prefix: &str) {
        assert_eq!(name(local_part, RUN), format!("{prefix}{DIGITS}"));
    }

    /// Expected values: Python 3.11, `re.sub(r"\W", "", local_part)[:12]`.
    #[test]
    fn keeps_the_characters_that_python_calls_words() {
        for (local_part, prefix) in [
            ("sym-user", "symuser"),
            ("ada", "ada"),
            ("First.Last+tag", "FirstLasttag"),
            ("under_score-dash", "under_scored"),
            ("averyveryverylongname", "averyveryver"),
            ("", ""),
            ("---", ""),
            ("O'Neil \"x\"; DROP", "ONeilxDROP"),
            ("zo\u{eb}", "zo\u{eb}"),
            ("e\u{301}clair", "eclair"),
            ("\u{24d0}\u{24b7}circled", "circled"),
            ("\u{903}\u{93e}\u{915}vowel", "\u{915}vowel"),
            ("\u{b2}\u{bd}\u{2460}numbers", "\u{b2}\u{bd}\u{2460}numbers"),
            ("\u{2167}roman", "\u{2167}roman"),
            ("\u{aa}\u{ba}\u{2b0}", "\u{aa}\u{ba}\u{2b0}"),
            ("\u{4e2d}\u{6587}\u{5341}", "\u{4e2d}\u{6587}\u{5341}"),
            ("\u{660}\u{661}digits", "\u{660}\u{661}digits"),
            ("\u{30fc}\u{3005}iter", "\u{30fc}\u{3005}iter"),
            ("a\u{200d}b\u{ad}c", "abc"),
            ("\u{203f}tie\u{ff3f}full", "tiefull"),
            ("\u{1f600}smile", "smile"),
            ("\u{df}\u{1c5}\u{130}", "\u{df}\u{1c5}\u{130}"),
            ("\u{345}iota", "iota"),
            ("\u{fe0f}var\u{20e3}", "var"),
            ("\u{10330}\u{10331}gothic", "\u{10330}\u{10331}gothic"),
        ] {
            check(local_part, prefix);
        }
    }

    /// Expected values: Python 3.11, `hashlib.shake_128(run.lower().encode()).hexdigest(12)`.
    #[test]
    fn hashes_the_run_in_lower_case() {
        let block = "a".repeat(168);
        for (run, digits) in [
            (RUN, DIGITS),
            ("2B1BEFA5-CAF5-4AC3-8509-64732C15CB7D", DIGITS),
            (
                "00000000-0000-0000-0000-000000000000",
                "86ba96b0056156a217ef424a",
            ),
            ("", "7f9c2ba4e88f827d61604550"),
            ("x", "e472c5e394f30ff8d5d33803"),
            (&block, "c22e11586c22b713bde373fc"),
            (&block[1..], "4f5c6c53ae8190a8ff8a55b2"),
        ] {
            assert_eq!(name("", run), digits);
        }
    }

    #[test]
    fn keeps_the_digits_where_the_characters_are_four_bytes_each() {
        let gothic = "\u{10330}".repeat(12);
        check(&gothic, &gothic[..36]);
        check(&format!("abc{gothic}"), &format!("abc{}", &gothic[..36]));
        check(&format!("abcd{gothic}"), &format!("abcd{}", &gothic[..32]));
    }

    proptest! {
        #[test]
        fn always_fits_and_always_ends_in_the_run(local_part: String, run_id: String) {
            let name = name(&local_part, &run_id);
            prop_assert!(name.len() <= 63);
            let (prefix, digits) = name.split_at(name.len() - 2 * HASH_BYTES);
            prop_assert!(digits.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
            prop_assert!(prefix.chars().count() <= MAX_CHARACTERS);
            prop_assert!(prefix.chars().all(is_word));
        }
    }
}
