//! `plugins.toml`.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::{Corpus, fuzz_target};
use sym_host::plugin::Limit;
use sym_host::plugin::manifest::Manifest;

mod common;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Corpus::Reject;
    };
    let manifest = match Manifest::parse(text) {
        Ok(manifest) => manifest,
        Err(problems) => {
            common::check_sentence(&problems.to_string());
            return Corpus::Keep;
        }
    };
    for (path, _) in manifest.files() {
        // No file of a release leads out of its directory, and each has a name.
        let mut parts = Path::new(path).components();
        assert!(
            parts.all(|part| matches!(part, Component::Normal(_))),
            "{path:?}"
        );
        assert!(Path::new(path).file_name().is_some(), "{path:?}");
        assert!(!path.chars().any(char::is_control), "{path:?}");
    }
    for limits in manifest.limits() {
        for limit in Limit::ALL {
            assert!(
                (1..=limit.most()).contains(&limits.get(*limit)),
                "{limit:?}"
            );
        }
    }
    check_again(text, &manifest);
    Corpus::Keep
});

/// Another way to write the same tables means the same.
fn check_again(text: &str, manifest: &Manifest) {
    let table: toml::Table = text.parse().expect("was TOML a moment ago");
    let text = toml::to_string(&table).expect("can be written");
    let again = Manifest::parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert_eq!(format!("{again:?}"), format!("{manifest:?}"));
}
