//! The envelope around a signed statement: DSSE.
//!
//! It signs bytes, not JSON, so nothing has to be canonical: what is verified is
//! what is read. Pure, and it decides nothing: [`trust`](super::trust) does.
//!
//! Source: DSSE, `protocol.md` and `envelope.md` of secure-systems-lab/dsse.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::statement::Digest;

/// What the payload is. Part of what is signed, so that a signature over
/// something else of the same key is none over a release.
pub const PAYLOAD_TYPE: &str = "application/vnd.sym-postgres.release+json";

/// Longest envelope, in bytes: a thousand targets with room to spare.
pub const MAX_BYTES: u64 = 1 << 20;

/// Most signatures that are looked at: each costs a verification.
const MAX_SIGNATURES: usize = 16;

/// A statement's bytes and the signatures over them. Nothing in here has been
/// verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The statement, as it was signed.
    pub payload: Vec<u8>,
    /// Signatures.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What the signer calls the key: a hint, which decides nothing.
    pub key_id: String,
    /// The signature's bytes.
    pub bytes: Vec<u8>,
}

/// The file. Unknown fields are ignored, as the protocol wants it: what counts
/// is in the payload, and that is strict.
#[derive(Deserialize, Serialize)]
struct RawEnvelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<RawSignature>,
}

#[derive(Deserialize, Serialize)]
struct RawSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Reads an envelope.
    ///
    /// # Errors
    /// A clause whose subject is the envelope.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let raw: RawEnvelope = serde_json::from_slice(bytes)
            // Not serde's words, which quote what nobody has signed.
            .map_err(|_| "is no signed statement (a DSSE envelope)".to_owned())?;
        if raw.payload_type != PAYLOAD_TYPE {
            return Err(format!(
                "holds something else, expected `payloadType` to be `{PAYLOAD_TYPE}`"
            ));
        }
        if raw.signatures.len() > MAX_SIGNATURES {
            return Err(format!(
                "has {} signatures, at most {MAX_SIGNATURES} are allowed",
                raw.signatures.len()
            ));
        }
        let payload = STANDARD
            .decode(&raw.payload)
            .map_err(|_| "has a payload that is no base64".to_owned())?;
        // One that can't be read is one that doesn't verify.
        let signatures = raw.signatures.into_iter().filter_map(|signature| {
            Some(Signature {
                bytes: STANDARD.decode(&signature.sig).ok()?,
                key_id: signature.keyid,
            })
        });
        Ok(Self {
            payload,
            signatures: signatures.collect(),
        })
    }

    /// Of the statement alone, which is what was signed: who can't sign it can write the rest
    /// of the file in many ways, and it stays the same release.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// The file's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let raw = RawEnvelope {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(&self.payload),
            signatures: self
                .signatures
                .iter()
                .map(|signature| RawSignature {
                    keyid: signature.key_id.clone(),
                    sig: STANDARD.encode(&signature.bytes),
                })
                .collect(),
        };
        serde_json::to_vec(&raw).expect("text and lists serialise")
    }
}

/// What is signed: the type and the payload, each with its length before it.
pub fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    encode(PAYLOAD_TYPE, payload)
}

fn encode(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of DSSE's `protocol.md`.
    #[test]
    fn what_is_signed_is_what_the_protocol_says() {
        let encoded = encode("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            encoded,
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn an_envelope_is_read_as_it_was_written() {
        let envelope = Envelope {
            payload: b"{}".to_vec(),
            signatures: vec![Signature {
                key_id: "team".to_owned(),
                bytes: vec![1, 2, 3],
            }],
        };
        assert_eq!(Envelope::from_json(&envelope.to_json()), Ok(envelope));
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let error = Envelope::from_json(text.as_bytes()).expect_err("is refused");
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_is_no_envelope_of_ours_is_refused() {
        check_refused("", "is no signed statement");
        check_refused("{}", "is no signed statement");
        check_refused(
            r#"{"payloadType": "text/plain", "payload": "", "signatures": []}"#,
            "holds something else",
        );
        check_refused(
            &format!(r#"{{"payloadType": "{PAYLOAD_TYPE}", "payload": "*", "signatures": []}}"#),
            "is no base64",
        );
        let signatures = vec![r#"{"sig": ""}"#; MAX_SIGNATURES + 1].join(",");
        check_refused(
            &format!(
                r#"{{"payloadType": "{PAYLOAD_TYPE}", "payload": "", "signatures": [{signatures}]}}"#
            ),
            "has 17 signatures",
        );
    }
}
