//! What Sym is told: `{"body": {...}, "errors": [...]}`, always both keys.
//!
//! A reply of another shape counts as success at Sym (with a warning), so every
//! way out of the handler goes through this type.
//!
//! Source: Sym's documentation of the AWS Lambda strategy (see
//! `docs/sym-contract.md`).

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Error;

/// The answer to one event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    /// What a Sym hook reads with `get_step_output()`.
    pub body: Map<String, Value>,
    /// Sentences for Sym's error channel. Empty means success.
    pub errors: Vec<String>,
}

impl Response {
    /// Success.
    pub fn success(body: Map<String, Value>) -> Self {
        Self {
            body,
            errors: Vec::new(),
        }
    }

    /// Failure: an empty body and one sentence.
    pub fn failure(error: &Error) -> Self {
        Self {
            body: Map::new(),
            errors: vec![error.to_public()],
        }
    }

    /// Failure because of a configuration with several faults: a sentence each.
    pub fn failures(errors: &[Error]) -> Self {
        Self {
            body: Map::new(),
            errors: errors.iter().map(Error::to_public).collect(),
        }
    }

    /// Whether Sym will count it as success.
    pub fn is_success(&self) -> bool {
        self.errors.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn both_keys_are_always_there() {
        let success = serde_json::to_string(&Response::success(Map::new())).expect("serialises");
        assert_eq!(success, r#"{"body":{},"errors":[]}"#);
        let failure = Response::failure(&Error::new(Code::Denied, "no"));
        let failure = serde_json::to_string(&failure).expect("serialises");
        assert_eq!(failure, r#"{"body":{},"errors":["no [denied]"]}"#);
    }
}
