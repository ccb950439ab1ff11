//! Who is believed, by keys that OpenSSL made and by our own.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;
use crate::plugin::dsse::{Signature, pre_authentication_encoding};

// OpenSSL 3.0: `openssl genpkey -algorithm ed25519`, `openssl pkeyutl -sign -rawin`,
// `openssl ecparam -name prime256v1 -genkey`, `openssl dgst -sha256 -sign`, over the
// encoding of the payload below.
const PAYLOAD: &[u8] = br#"{"schema":1}"#;
const ED25519_KEY: &str = "MCowBQYDK2VwAyEABieiwKYcgOzwOT4PdtGj1wN80xdTdBRHAW8EbKnAbC8=";
const ED25519_SIGNATURE: &str =
    "yBWGJ2whjv7KXTWlUi9pcvcYH7UCfVn1x+AAs8aVKepC6dwZm729F9PoHbZu8K6F/0WD5MrDpk1GVjRHzN3wBA==";
const P256_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1uPYPFDkbQGScNnZh6irgw6i6fV/OTG9FALcBX3SvbkzhcuKCdgfpAB4Zl/qCkwAin1ED2ubJv6J5g3rFsK5dA==";
const P256_SIGNATURE: &str = "MEYCIQDMFLRCAhqsgP1bFUgPnreGeAK1wdzu48ljWK4YA4Y5qAIhAOnTdEGVztaqz/6AVOH3pNkEKKr+gsgjnSVQS4wPHYyX";

#[test]
fn signatures_of_openssl_verify_and_changed_ones_do_not() {
    let message = pre_authentication_encoding(PAYLOAD);
    for (key, signature) in [(ED25519_KEY, ED25519_SIGNATURE), (P256_KEY, P256_SIGNATURE)] {
        let key = TrustedKey::parse(&format!("team:{key}"))
            .expect("is a key")
            .key;
        let signature = STANDARD.decode(signature).expect("is base64");
        assert!(key.verifies(&message, &signature));
        // Each byte of either.
        for index in 0..signature.len() {
            let mut changed = signature.clone();
            changed[index] ^= 1;
            assert!(!key.verifies(&message, &changed), "byte {index}");
        }
        for index in 0..message.len() {
            let mut changed = message.clone();
            changed[index] ^= 1;
            assert!(!key.verifies(&changed, &signature), "byte {index}");
        }
        assert!(!key.verifies(&message, &[]));
        let spki = key.to_spki();
        assert_eq!(PublicKey::from_spki(&spki), Some(key));
    }
}

#[test]
fn the_variable_is_read() {
    let two = format!("ci:{ED25519_KEY}, kms:{P256_KEY}");
    let Ok(Trust::Keys(keys)) = Trust::parse(&two) else {
        panic!("are two keys");
    };
    assert!(matches!(keys[0].key, PublicKey::Ed25519(_)));
    assert!(matches!(keys[1].key, PublicKey::P256(_)));
    let digest = Digest::of(b"");
    assert_eq!(
        Trust::parse(&format!("sha256:{digest}")),
        Ok(Trust::Pin(digest))
    );
}

#[track_caller]
fn check_wrong(text: &str, expected: &str) {
    let error = Trust::parse(text).expect_err("is wrong");
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_wrong_variable_is_said_to_be() {
    check_wrong("", "expected `name:key`");
    check_wrong(ED25519_KEY, "expected `name:key`");
    check_wrong(&format!(":{ED25519_KEY}"), "without a proper name");
    check_wrong("ci:", "neither an Ed25519 nor a P-256");
    check_wrong("ci:AAAA", "neither an Ed25519 nor a P-256");
    check_wrong(&format!("ci:{}", &ED25519_KEY[..56]), "neither");
    check_wrong(&format!("ci:{ED25519_KEY},"), "expected `name:key`");
    check_wrong("sha256:abc", "wrong pin");
    check_wrong(&format!("sha256:{}", "A".repeat(64)), "wrong pin");
    check_wrong(
        &format!("ci:{ED25519_KEY},sha256:abc"),
        "beside something else",
    );
    let many = vec![format!("ci:{ED25519_KEY}"); MAX_KEYS + 1].join(",");
    check_wrong(&many, "has 17 keys");
}

struct Signer(Ed25519KeyPair);

impl Signer {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().expect("has random bytes"))
    }

    fn trust(&self) -> Trust {
        let key = PublicKey::Ed25519(self.0.public_key().as_ref().to_vec());
        Trust::Keys(vec![TrustedKey {
            name: "team".to_owned(),
            key,
        }])
    }

    fn sign(&self, payload: &[u8]) -> Envelope {
        let signature = self.0.sign(&pre_authentication_encoding(payload));
        Envelope {
            payload: payload.to_vec(),
            signatures: vec![Signature {
                key_id: "team".to_owned(),
                bytes: signature.as_ref().to_vec(),
            }],
        }
    }
}

const FILE: &[u8] = b"the file";

fn statement() -> Value {
    let digest = Digest::of(FILE).to_string();
    json!({
        "schema": 1, "audience": ["sym-postgres"], "serial": 7,
        "created": "2026-01-02T03:04:05Z", "publisher": "test",
        "files": [{"path": "plugins.toml", "sha256": digest, "bytes": FILE.len()}],
        "native": [],
    })
}

#[track_caller]
fn check_refused(trust: &Trust, envelope: &[u8], audience: &str, expected: &str) {
    let error = trust.verify(envelope, audience).expect_err("is refused");
    assert_eq!(error.code(), Code::InvalidPlugin);
    assert!(error.message().contains(expected), "{error}");
}

#[test]
fn what_a_trusted_key_signed_is_verified_and_nothing_else() {
    let signer = Signer::new();
    let payload = statement().to_string();
    let envelope = signer.sign(payload.as_bytes());
    let bytes = envelope.to_json();
    let release = signer
        .trust()
        .verify(&bytes, "sym-postgres")
        .expect("is verified");
    assert_eq!(release.signers(), ["team"]);
    assert_eq!(
        release.id(),
        format!("r7-{}", Digest::of(payload.as_bytes()).short())
    );

    check_refused(&signer.trust(), &bytes, "other", "this function is `other`");
    check_refused(&Signer::new().trust(), &bytes, "sym-postgres", "no key of");
    let mut unsigned = envelope.clone();
    unsigned.signatures.clear();
    check_refused(
        &signer.trust(),
        &unsigned.to_json(),
        "sym-postgres",
        "nobody signed it",
    );
    check_refused(
        &signer.trust(),
        b"\x7fELF",
        "sym-postgres",
        "is no signed statement",
    );
    check_refused(
        &signer.trust(),
        &bytes[..bytes.len() - 1],
        "sym-postgres",
        "is no signed",
    );

    // Each byte of the file, changed: there is no region that isn't covered. What
    // stays the same release is the hint, and what JSON leaves free.
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        if let Ok(release) = signer.trust().verify(&changed, "sym-postgres") {
            assert_eq!(
                release.statement().to_json(),
                payload_of(&signer, payload.as_bytes())
            );
        }
    }
}

fn payload_of(signer: &Signer, payload: &[u8]) -> Vec<u8> {
    let bytes = signer.sign(payload).to_json();
    let release = signer
        .trust()
        .verify(&bytes, "sym-postgres")
        .expect("is verified");
    release.statement().to_json()
}

// A signature by the same key over something else is none over a release.
#[test]
fn a_signature_over_another_type_is_none() {
    let signer = Signer::new();
    let payload = statement().to_string();
    let mut envelope = signer.sign(payload.as_bytes());
    envelope.signatures[0].bytes = signer.0.sign(payload.as_bytes()).as_ref().to_vec();
    check_refused(
        &signer.trust(),
        &envelope.to_json(),
        "sym-postgres",
        "no key of",
    );
}

// The ledger takes one release of a serial.
#[test]
fn who_can_only_write_the_store_makes_no_other_release_of_what_was_signed() {
    let signer = Signer::new();
    let envelope = signer.sign(statement().to_string().as_bytes());
    let verified = |envelope: &Envelope, more: &str| {
        let bytes = [&envelope.to_json(), more.as_bytes()].concat();
        let verified = signer.trust().verify(&bytes, "sym-postgres");
        let release = verified.expect("is verified");
        (release.id().to_owned(), release.digest())
    };
    let mut signed_twice = envelope.clone();
    signed_twice.signatures.push(Signature {
        key_id: "somebody".to_owned(),
        bytes: vec![0; 64],
    });
    let mut renamed = envelope.clone();
    renamed.signatures[0].key_id = "other".to_owned();
    let release = verified(&envelope, "");
    for (other, more) in [(&envelope, " "), (&signed_twice, ""), (&renamed, "")] {
        assert_eq!(verified(other, more), release);
    }
}

#[test]
fn a_pin_takes_one_statement_whoever_signed_it() {
    let signer = Signer::new();
    let payload = statement().to_string();
    let bytes = signer.sign(payload.as_bytes()).to_json();
    let pin = Trust::Pin(Digest::of(payload.as_bytes()));
    assert!(pin.verify(&bytes, "sym-postgres").is_ok());
    let others = Signer::new().sign(payload.as_bytes()).to_json();
    assert!(pin.verify(&others, "sym-postgres").is_ok());
    check_refused(&pin, &bytes, "other", "this function is `other`");
    let other = signer.sign(b"{}").to_json();
    check_refused(&pin, &other, "sym-postgres", "not the one that");
}

#[test]
fn bytes_are_a_file_by_digest_and_length() {
    let signer = Signer::new();
    let bytes = signer.sign(statement().to_string().as_bytes()).to_json();
    let release = signer
        .trust()
        .verify(&bytes, "sym-postgres")
        .expect("is verified");
    assert!(release.file("plugins.toml", FILE.to_vec()).is_ok());
    let refused = |bytes: &[u8]| match release.file("plugins.toml", bytes.to_vec()) {
        Ok(_) => panic!("was taken"),
        Err(error) => error.message().to_owned(),
    };
    assert!(refused(b"the fill").contains("its digest is another"));
    assert!(refused(b"the fil").contains("has 7 bytes, and 8 were signed"));
    assert!(refused(b"the file ").contains("has 9 bytes, and 8 were signed"));
}

// Who can write the store would speak to the requester.
#[test]
fn what_nobody_signed_is_not_quoted() {
    let signer = Signer::new();
    let mut stranger = Signer::new().sign(statement().to_string().as_bytes());
    stranger.signatures[0].key_id = "Sign in at evil.example".to_owned();
    let no_envelope = br#"{"payloadType":"x","payload":"","signatures":"Sign in at evil.example"}"#;
    for bytes in [&stranger.to_json()[..], no_envelope] {
        let refused = signer.trust().verify(bytes, "sym-postgres");
        let sentence = refused.expect_err("is refused").to_public();
        assert!(!sentence.contains("evil"), "{sentence}");
    }
}
