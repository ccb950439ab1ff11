//! A release's signed statement: the envelope, what is in it, and who signed it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sym_host::plugin::dsse::{self, Envelope};
use sym_host::plugin::manifest;
use sym_host::plugin::statement::Statement;
use sym_host::plugin::trust::Trust;

mod common;

/// The two keys that signed `corpus/statement/signed-by-….json`; their private
/// halves were thrown away.
static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    Trust::parse(include_str!("../keys/trust.txt").trim()).expect("is a list of keys")
});

/// What they signed, and nothing else.
const SIGNED: &[u8] = include_bytes!("../keys/payload.json");

/// For whom.
const AUDIENCE: &str = "sym-postgres";

fuzz_target!(|bytes: &[u8]| {
    check_statement(bytes);
    match Envelope::from_json(bytes) {
        Ok(envelope) => {
            let again = Envelope::from_json(&envelope.to_json()).expect("is an envelope");
            assert_eq!(again, envelope);
            let message = dsse::pre_authentication_encoding(&envelope.payload);
            assert!(message.ends_with(&envelope.payload));
            check_statement(&envelope.payload);
        }
        Err(sentence) => assert!(!sentence.is_empty()),
    }
    match TRUST.verify(bytes, AUDIENCE) {
        Ok(release) => {
            let signed = Statement::from_json(SIGNED).expect("is a statement");
            assert_eq!(*release.statement(), signed, "nobody signed this");
            assert!(!release.signers().is_empty());
        }
        Err(error) => common::check_error(&error),
    }
});

fn check_statement(bytes: &[u8]) {
    let Ok(statement) = Statement::from_json(bytes) else {
        return;
    };
    let json = statement.to_json();
    assert_eq!(Statement::from_json(&json).as_ref(), Ok(&statement));
    assert!(statement.file(manifest::FILE_NAME).is_some());
    assert!(statement.serial > 0 && !statement.audience.is_empty());
    for native in &statement.native {
        assert!(statement.files.iter().any(|file| file.sha256 == native.of));
    }
    // What a later format adds is never overlooked.
    let mut value: serde_json::Value = serde_json::from_slice(&json).expect("is JSON");
    value["only_for"] = "somebody else".into();
    assert!(Statement::from_json(value.to_string().as_bytes()).is_err());
}
