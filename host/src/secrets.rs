//! Where temporary users' credentials go.
//!
//! Creating is exclusive: a secret that is there stays as it is, and its
//! password is the one that counts. Deleting what isn't there is success. Both
//! may so be repeated.

mod directory;
mod secrets_manager;

use std::path::PathBuf;

use crate::aws::Aws;
use crate::config::{SecretStore, Secrets};
use crate::crash;
use crate::error::{Code, Error, Result};
use crate::secret::{Credentials, Password, Secret};

/// What creating a secret came to.
#[derive(Debug)]
pub enum Created {
    /// It is new.
    New,
    /// It was there, from an earlier try of the same run, with this password.
    Existing(Password),
}

/// A store of secrets.
#[derive(Debug)]
pub enum Store {
    /// AWS Secrets Manager.
    SecretsManager {
        /// `SECRET_KMS_KEY`.
        kms_key: Option<String>,
    },
    /// A directory of files.
    Directory(PathBuf),
}

impl Store {
    /// The configured one.
    pub fn new(config: &Secrets) -> Self {
        match &config.store {
            SecretStore::Aws => Self::SecretsManager {
                kms_key: config.kms_key.clone(),
            },
            SecretStore::Directory(path) => Self::Directory(path.clone()),
        }
    }

    /// Gets ready to be asked.
    pub async fn warm_up(&self, aws: &Aws) {
        match self {
            Self::SecretsManager { .. } => {
                aws.secrets_manager().await;
            }
            Self::Directory(_) => {}
        }
    }

    /// Creates a secret, or finds the one of an earlier try.
    ///
    /// # Errors
    /// `secret-unavailable`, also where a secret of that name isn't this run's.
    pub async fn create(&self, aws: &Aws, secret: &Secret, username: &str) -> Result<Created> {
        let existing = match self {
            Self::SecretsManager { kms_key } => {
                secrets_manager::create(aws, kms_key.as_deref(), secret).await?
            }
            Self::Directory(path) => directory::create(path, secret)?,
        };
        crash::after("secret created");
        let Some(json) = existing else {
            return Ok(Created::New);
        };
        match serde_json::from_str::<Credentials>(&json) {
            Ok(credentials) if credentials.username == username => Ok(Created::Existing(
                Password::from(credentials.password.clone()),
            )),
            _ => Err(Error::new(
                Code::SecretUnavailable,
                format!(
                    "a secret `{}` is there that isn't this run's: delete it, and try again",
                    secret.name
                ),
            )),
        }
    }

    /// Deletes a secret, for good and at once.
    ///
    /// # Errors
    /// `secret-unavailable`.
    pub async fn delete(&self, aws: &Aws, name: &str) -> Result<()> {
        let result = match self {
            Self::SecretsManager { .. } => secrets_manager::delete(aws, name).await,
            Self::Directory(path) => directory::delete(path, name),
        };
        crash::after("secret deleted");
        result
    }
}

/// The same sentence wherever they are: where is the operator's to know.
fn unavailable() -> Error {
    Error::new(
        Code::SecretUnavailable,
        "the store of secrets is unavailable, or refuses the function: try again",
    )
    .with_pointer(", and if it stays so, see the function's log")
}
