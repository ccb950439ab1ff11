//! AWS clients, made when the first is needed: a function whose password is in
//! its environment and whose plugins are in its zip never pays for them.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use tokio::sync::OnceCell;

use crate::config::PasswordSource;
use crate::error::{Code, Error, Result};
use crate::secret::Password;

/// Longest try, and longest call with all its tries: what Lambda leaves us is
/// mostly 10 seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// The AWS side of the function.
#[derive(Debug, Default)]
pub struct Aws {
    config: OnceCell<SdkConfig>,
    secrets_manager: OnceCell<aws_sdk_secretsmanager::Client>,
}

impl Aws {
    async fn config(&self) -> &SdkConfig {
        let load = async || {
            let timeouts = TimeoutConfig::builder()
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT);
            aws_config::defaults(BehaviorVersion::latest())
                .timeout_config(timeouts.build())
                .load()
                .await
        };
        self.config.get_or_init(load).await
    }

    /// The client of Secrets Manager.
    pub async fn secrets_manager(&self) -> &aws_sdk_secretsmanager::Client {
        let make = async || aws_sdk_secretsmanager::Client::new(self.config().await);
        self.secrets_manager.get_or_init(make).await
    }

    /// The bot's password, from where the operator put it.
    ///
    /// # Errors
    /// `secret-unavailable`.
    pub async fn password(&self, source: &PasswordSource) -> Result<Password> {
        match source {
            PasswordSource::Given(password) => Ok(password.clone()),
            PasswordSource::Parameter(name) => {
                let unavailable = || {
                    Error::new(
                        Code::SecretUnavailable,
                        format!(
                            "the function can't read its database password from the SSM parameter `{name}`: check \
                             that it exists and that the function's role may read it"
                        ),
                    )
                };
                let client = aws_sdk_ssm::Client::new(self.config().await);
                let answer = client
                    .get_parameter()
                    .name(name)
                    .with_decryption(true)
                    .send()
                    .await;
                let answer = answer.map_err(|error| {
                    unavailable().with_source(DisplayErrorContext(error).to_string())
                })?;
                let value = answer
                    .parameter
                    .and_then(|parameter| parameter.value)
                    .ok_or_else(unavailable)?;
                Ok(Password::from(value))
            }
            PasswordSource::Secret { id, field } => {
                let unavailable = || {
                    Error::new(
                        Code::SecretUnavailable,
                        format!(
                            "the function can't read its database password from the secret `{id}`: check that it \
                             exists and that the function's role may read it"
                        ),
                    )
                };
                let answer = self
                    .secrets_manager()
                    .await
                    .get_secret_value()
                    .secret_id(id)
                    .send()
                    .await;
                let answer = answer.map_err(|error| {
                    unavailable().with_source(DisplayErrorContext(error).to_string())
                })?;
                let text = answer.secret_string.ok_or_else(unavailable)?;
                let Some(field) = field else {
                    return Ok(Password::from(text));
                };
                let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                match json[field.as_str()].as_str() {
                    Some(password) => Ok(Password::from(password.to_owned())),
                    None => Err(Error::new(
                        Code::SecretUnavailable,
                        format!(
                            "the secret `{id}` of the function's database password has no field `{field}`"
                        ),
                    )),
                }
            }
        }
    }
}
