//! Passwords, and the secrets that carry them to people.
//!
//! A [`Password`] is never shown by `Debug`, has no `Display`, and is zeroed
//! when it is dropped. What reaches the server is only its SCRAM verifier.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};

/// Length of a password that we make, in characters of [`ALPHABET`]: 40 times
/// log2(62) are 238 bits.
pub const PASSWORD_LENGTH: usize = 40;

/// Letters and digits alone: they need no quoting in a URL, a shell or a
/// connection string.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// A new one, from the system's random generator.
    ///
    /// # Errors
    /// `internal` where the system has no random bytes.
    pub fn generate() -> Result<Self> {
        // The largest multiple of 62 in a byte: what is above would make the
        // first letters of the alphabet likelier than the others.
        const LIMIT: u8 = (256 / 62 * 62) as u8;
        let mut password = Zeroizing::new(String::with_capacity(PASSWORD_LENGTH));
        let mut bytes = Zeroizing::new([0u8; 64]);
        while password.len() < PASSWORD_LENGTH {
            getrandom::fill(bytes.as_mut_slice())
                .map_err(|error| Error::internal(error.to_string()))?;
            let fair = bytes.iter().filter(|byte| **byte < LIMIT);
            let missing = PASSWORD_LENGTH - password.len();
            password.extend(
                fair.map(|byte| char::from(ALPHABET[usize::from(byte % 62)]))
                    .take(missing),
            );
        }
        Ok(Self(password))
    }

    /// The password itself. Whoever calls this must not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the server stores of it: `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
    ///
    /// # Errors
    /// `internal` where it has not that shape: the server would silently take a
    /// malformed verifier for a password in plain text.
    pub fn to_verifier(&self) -> Result<Verifier> {
        let verifier = postgres_protocol::password::scram_sha_256(self.0.as_bytes());
        if is_verifier(&verifier) {
            Ok(Verifier(verifier))
        } else {
            Err(Error::internal(
                "the SCRAM verifier has not the shape that PostgreSQL takes",
            ))
        }
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(Zeroizing::new(password))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A SCRAM verifier: enough to check a password, not to log in with.
#[derive(Clone)]
pub struct Verifier(String);

impl Verifier {
    /// As `PASSWORD '…'` takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// Source: PostgreSQL manual, `pg_authid.rolpassword`; `parse_scram_secret` in
/// its source decides by the same form.
fn is_verifier(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("SCRAM-SHA-256$") else {
        return false;
    };
    let Some((iterations_and_salt, keys)) = rest.split_once('$') else {
        return false;
    };
    let Some((iterations, salt)) = iterations_and_salt.split_once(':') else {
        return false;
    };
    let Some((stored, server)) = keys.split_once(':') else {
        return false;
    };
    let bytes = |text: &str| STANDARD.decode(text).map(|bytes| bytes.len()).unwrap_or(0);
    iterations.parse().is_ok_and(|count: u32| count >= 4096)
        && bytes(salt) >= 16
        && bytes(stored) == 32
        && bytes(server) == 32
}

/// What a secret holds: the template's four fields, and the two more that make
/// it the shape of RDS's own secrets.
#[derive(Clone, Deserialize, Serialize)]
pub struct Credentials {
    /// Always `postgres`.
    pub engine: String,
    /// Host name of the database.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database's name.
    pub dbname: String,
    /// The temporary user.
    pub username: String,
    /// Its password.
    pub password: String,
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

/// A secret to be stored.
pub struct Secret {
    /// See [`secret_name`].
    pub name: String,
    /// For people who look at it in the console.
    pub description: String,
    /// Value of the tag `sym.user`: the requester's username as sent. The end
    /// users' IAM policy compares it.
    pub user_tag: String,
    /// The run's id, which makes creating it twice the same as once.
    pub run_id: String,
    /// What it holds, as JSON.
    pub json: Zeroizing<String>,
}

impl Secret {
    /// The secret of one run, with the template's description and tag.
    pub fn new(name: String, requester: &str, run_id: &str, credentials: &Credentials) -> Self {
        let json = serde_json::to_string(credentials).expect("strings and numbers serialise");
        Self {
            name,
            description: format!("Sym-generated temporary password for user: {requester}"),
            user_tag: requester.to_owned(),
            run_id: run_id.to_owned(),
            json: Zeroizing::new(json),
        }
    }
}

/// The template's name: `{prefix}/{function}/{username}/{run id}`.
///
/// What Secrets Manager takes in no name becomes `_`, a `/` among them, so that
/// nobody's username reaches into another's place; the run keeps names apart.
///
/// Source: AWS Secrets Manager API, `CreateSecret`: letters, digits, `/_+=.@-`.
pub fn secret_name(prefix: &str, function: &str, username: &str, run_id: &str) -> String {
    let safe = |character: char| {
        if character.is_ascii_alphanumeric() || "_+=.@-".contains(character) {
            character
        } else {
            '_'
        }
    };
    let mut username: String = username.chars().map(safe).take(200).collect();
    if username.chars().all(|character| character == '.') {
        username.insert(0, '_');
    }
    format!("{prefix}/{function}/{username}/{run_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_plain_and_never_the_same() {
        let one = Password::generate().expect("has random bytes");
        let other = Password::generate().expect("has random bytes");
        assert_eq!(one.expose().len(), PASSWORD_LENGTH);
        assert!(one.expose().bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn every_letter_of_the_alphabet_is_used() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            seen.extend(
                Password::generate()
                    .expect("has random bytes")
                    .expose()
                    .bytes(),
            );
        }
        assert_eq!(seen.len(), ALPHABET.len());
    }

    #[test]
    fn a_verifier_has_the_shape_that_the_server_knows() {
        let verifier = Password::from("secret".to_owned())
            .to_verifier()
            .expect("is made");
        assert!(is_verifier(verifier.as_str()));
        for wrong in [
            "",
            "secret",
            "md5abc",
            "SCRAM-SHA-256$4096:AAAA$b:c",
            &verifier.as_str()[..60],
        ] {
            assert!(!is_verifier(wrong), "{wrong}");
        }
    }

    #[test]
    fn nothing_shows_a_password() {
        let password = Password::from("hunter2".to_owned());
        let verifier = password.to_verifier().expect("is made");
        assert!(!format!("{password:?} {verifier:?}").contains("hunter2"));
        assert!(!format!("{verifier:?}").contains("SCRAM"));
    }

    #[test]
    fn a_secret_has_the_templates_name_whoever_asks() {
        #[track_caller]
        fn check(username: &str, expected: &str) {
            assert_eq!(
                secret_name("/symops.com", "f", username, "r"),
                format!("/symops.com/f/{expected}/r")
            );
        }
        check("sym-user@healthy-health.co", "sym-user@healthy-health.co");
        check("../../etc", ".._.._etc");
        check("..", "_..");
        check("o'brien+x@a.co", "o_brien+x@a.co");
        check("zoë", "zo_");
    }
}
