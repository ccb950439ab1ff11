//! Passwords of users to come, made ahead: their milliseconds of hashing pass while
//! an event waits for somebody else.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::secret::{Password, Verifier};

type Made = Result<(Password, Verifier)>;

/// The next password. Each is one user's and no other's.
#[derive(Default)]
pub(super) struct Passwords {
    next: Mutex<Option<JoinHandle<Made>>>,
}

impl Passwords {
    /// Begins to make the next one, unless there is one.
    pub(super) fn begin(&self) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.get_or_insert_with(|| tokio::task::spawn_blocking(make));
    }

    /// Takes the next one, or makes it now.
    ///
    /// # Errors
    /// `internal` where the system has no random bytes.
    pub(super) async fn take(&self) -> Made {
        self.begin();
        let next = self
            .next
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match next {
            Some(next) => next
                .await
                .map_err(|panic| Error::internal(panic.to_string()))?,
            None => make(),
        }
    }
}

fn make() -> Made {
    let password = Password::generate()?;
    let verifier = password.to_verifier()?;
    Ok((password, verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_password_is_given_twice() -> Result<()> {
        let passwords = Passwords::default();
        passwords.begin();
        passwords.begin();
        let (first, verifier) = passwords.take().await?;
        let (second, other) = passwords.take().await?;
        assert!(first != second && verifier.as_str() != other.as_str());
        Ok(())
    }
}
