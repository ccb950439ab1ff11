//! What holds for every sentence that somebody else's input can cause.

use sym_host::error::Error;

/// Longest public sentence, in characters: each piece of foreign text in it has
/// its own, smaller limit.
const MAX_SENTENCE: usize = 4000;

/// One line, not endless, for people.
pub fn check_sentence(sentence: &str) {
    assert!(!sentence.is_empty());
    assert!(sentence.chars().count() <= MAX_SENTENCE, "{sentence}");
    // Control characters, and those that turn the line around (U+202E).
    assert!(
        !sentence
            .chars()
            .any(|character| character.is_control()
                || ('\u{202A}'..='\u{202E}').contains(&character)),
        "{sentence:?}"
    );
}

/// The same of an error's public side.
#[allow(dead_code, reason = "not every target makes errors")]
pub fn check_error(error: &Error) {
    check_sentence(&error.to_public());
}
