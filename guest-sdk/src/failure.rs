//! Saying no, and saying what is broken.

use crate::Failure;

impl Failure {
    /// The code of a decision: the requester reads the message as it is.
    pub const DENIED: &str = "denied";

    /// The code of a fault that no other code fits.
    pub const FAILED: &str = "failed";

    /// The code of a setting that is missing or can't be used.
    pub const INVALID_CONFIG: &str = "invalid-config";

    /// A failure with a code of your own, in lower case with hyphens.
    ///
    /// The message is one sentence: what was wrong, then what to do.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }

    /// A decision against the request. The requester reads the message.
    ///
    /// ```
    /// use sym_guest_sdk::Failure;
    ///
    /// let failure = Failure::denied("Access is given on weekdays; ask the person on call.");
    /// assert!(failure.is_denied());
    /// ```
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Self::DENIED, message)
    }

    /// Whether this is a decision, not a fault.
    pub fn is_denied(&self) -> bool {
        self.code == Self::DENIED
    }
}

/// A fault ([`Failure::FAILED`]), so that `ok_or("…")?` is enough.
impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::new(Self::FAILED, message)
    }
}

/// A fault ([`Failure::FAILED`]), so that `ok_or_else(|| format!("…"))?` is enough.
impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(Self::FAILED, message)
    }
}

/// A fault ([`Failure::FAILED`]): the event is not what the plugin expected.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Self::FAILED, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_fault_and_never_a_decision() {
        fn fails() -> Result<(), Failure> {
            None.ok_or("no shard")?
        }
        let failure = fails().expect_err("there is no shard");
        assert_eq!(failure, Failure::new("failed", "no shard"));
        assert!(!failure.is_denied());
        assert!(!Failure::from("denied".to_owned()).is_denied());
    }
}
