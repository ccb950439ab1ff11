//! AWS clients, made when the first is needed: a function whose password is in
//! its environment and whose plugins are in its zip never pays for them.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::RequestId as _;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::blocking::on_another_thread;
use crate::config::{Database, PasswordSource};
use crate::error::{Code, Error, Result};
use crate::secret::Password;
use crate::vault;

const NO_IDENTITY_FOR_VAULT: &str =
    "the function can't prove to Vault who it is: check that it has a role";

/// Longest try, and longest call with all its tries: what Lambda leaves us is
/// mostly 10 seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// The same where a person waits, for 128 MB at a megabit a second.
const PATIENCE: Duration = Duration::from_secs(1200);

/// How long RDS takes a token. A connection that it opened stays open.
const TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// The AWS side of the function.
#[derive(Debug, Default)]
pub struct Aws {
    is_patient: bool,
    config: OnceCell<SdkConfig>,
    s3: OnceCell<aws_sdk_s3::Client>,
    secrets_manager: OnceCell<aws_sdk_secretsmanager::Client>,
}

impl Aws {
    /// For a person, who sends large files over a slow line and would rather
    /// wait.
    pub fn patient() -> Self {
        Self {
            is_patient: true,
            ..Self::default()
        }
    }

    async fn config(&self) -> &SdkConfig {
        let load = async || {
            let (attempt, operation) = match self.is_patient {
                true => (PATIENCE, PATIENCE),
                false => (ATTEMPT_TIMEOUT, OPERATION_TIMEOUT),
            };
            let timeouts = TimeoutConfig::builder()
                .operation_attempt_timeout(attempt)
                .operation_timeout(operation);
            let loader =
                aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts.build());
            // Reading the system's certificates takes longer than a login to the database.
            let runtime = Handle::current();
            on_another_thread(move || runtime.block_on(loader.load())).await
        };
        self.config.get_or_init(load).await
    }

    /// The client of Secrets Manager.
    pub async fn secrets_manager(&self) -> &aws_sdk_secretsmanager::Client {
        let make = || self.client(aws_sdk_secretsmanager::Client::new);
        self.secrets_manager.get_or_init(make).await
    }

    /// The client of S3.
    pub async fn s3(&self) -> &aws_sdk_s3::Client {
        let make = || self.client(aws_sdk_s3::Client::new);
        self.s3.get_or_init(make).await
    }

    async fn client<C: Send + 'static>(
        &self,
        make: impl FnOnce(&SdkConfig) -> C + Send + 'static,
    ) -> C {
        let config = self.config().await.clone();
        on_another_thread(move || make(&config)).await
    }

    /// The bot's password, from where the operator put it.
    ///
    /// # Errors
    /// `secret-unavailable`.
    pub async fn password(&self, database: &Database) -> Result<Password> {
        match &database.password {
            PasswordSource::Given(password) => Ok(password.clone()),
            PasswordSource::Parameter(name) => {
                let place = format!("the SSM parameter `{name}`");
                let client = self.client(aws_sdk_ssm::Client::new).await;
                let answer = client
                    .get_parameter()
                    .name(name)
                    .with_decryption(true)
                    .send()
                    .await;
                let answer = answer.map_err(|error| unread(&place, &error))?;
                let value = answer
                    .parameter
                    .and_then(|parameter| parameter.value)
                    .ok_or_else(|| refused(&place))?;
                Ok(Password::from(value))
            }
            PasswordSource::Secret { id, field } => {
                let place = format!("the secret `{id}`");
                let answer = self
                    .secrets_manager()
                    .await
                    .get_secret_value()
                    .secret_id(id)
                    .send()
                    .await;
                let answer = answer.map_err(|error| unread(&place, &error))?;
                let text = answer.secret_string.ok_or_else(|| refused(&place))?;
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
            PasswordSource::Vault(vault) => {
                let unavailable = |why: String| {
                    Error::new(Code::SecretUnavailable, NO_IDENTITY_FOR_VAULT).with_source(why)
                };
                let identity = self.identity().await.map_err(unavailable)?;
                vault::password(vault, &identity, SystemTime::now()).await
            }
            PasswordSource::IamToken => self.token(database).await,
        }
    }

    /// As whom we sign; the error is for the log.
    async fn identity(&self) -> std::result::Result<Identity, String> {
        let provider = self.config().await.credentials_provider();
        let credentials = provider
            .ok_or("no credentials")?
            .provide_credentials()
            .await;
        credentials
            .map(Identity::from)
            .map_err(|error| chain(&error))
    }

    /// A token that Amazon RDS takes in place of a password, for 15 minutes.
    ///
    /// Source: RDS user guide, "IAM database authentication": a presigned
    /// request for the action `connect` of the service `rds-db`, without its
    /// scheme.
    async fn token(&self, database: &Database) -> Result<Password> {
        let unavailable = |why: &str| {
            Error::new(
                Code::SecretUnavailable,
                "the function can't sign a token for the database: check that it has a role and a region",
            )
            .with_source(why.to_owned())
        };
        let config = self.config().await;
        let region = config.region().ok_or_else(|| unavailable(NO_REGION))?;
        let identity = self.identity().await.map_err(|why| unavailable(&why))?;
        let signing = SystemTime::now();
        presigned(database, &identity, region.as_ref(), signing)
            .map_err(|error| unavailable(&error.to_string()))
    }
}

/// The bot's password isn't there, or is kept from us.
fn refused(place: &str) -> Error {
    Error::new(
        Code::SecretUnavailable,
        format!(
            "the function can't read its database password from {place}: check that it exists and that the function's \
             role may read it"
        ),
    )
}

/// Why the bot's password could not be read, and whether waiting helps.
fn unread<E>(place: &str, error: &SdkError<E>) -> Error
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    if let Some(what) = what_is_not_set(error) {
        return Error::new(
            Code::SecretUnavailable,
            format!("the function's database password can't be read from {place}: {what}"),
        );
    }
    let sentence = if is_passing(error) {
        Error::new(
            Code::SecretUnavailable,
            format!(
                "the function can't read its database password from {place}, as AWS can't be reached or is busy: try \
                 again in a moment"
            ),
        )
    } else {
        refused(place)
    };
    sentence.with_source(cause(error))
}

/// Whether the same call may succeed in a moment.
fn is_passing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        SdkError::ServiceError(context) => {
            let code = error.code().unwrap_or_default();
            let is_throttled = ["Throttl", "TooManyRequests", "RequestLimitExceeded"]
                .iter()
                .any(|part| code.contains(part));
            is_throttled || matches!(context.raw().status().as_u16(), 429 | 500..)
        }
        _ => false,
    }
}

/// Why a call failed, for the log: what the service says where it says something, and
/// the chain of causes where it doesn't. Never the answer itself, which may hold the
/// very secret that was asked for; the SDK's parser quotes from it, and its `Debug` is
/// all of it.
pub fn cause<E>(error: &SdkError<E>) -> String
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    let unreadable = |status: u16| format!("an answer with status {status} that can't be read");
    let mut text = match error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            match (error.code(), error.message()) {
                (None, None) => unreadable(status),
                (code, message) => format!(
                    "{} (status {status}): {}",
                    code.unwrap_or("no code"),
                    message.unwrap_or("no message")
                ),
            }
        }
        SdkError::ResponseError(context) => unreadable(context.raw().status().as_u16()),
        other => chain(other),
    };
    if let Some(id) = error.request_id() {
        text.push_str(&format!(" (AWS's request id: {id})"));
    }
    text
}

const NO_CREDENTIALS: &str = "there are no AWS credentials: log in, or set `AWS_PROFILE`";
const NO_REGION: &str = "there is no AWS region: set `AWS_REGION`";

/// What a person's shell lacks, of which the SDK's own words tell all that it tried.
fn what_is_not_set(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(CredentialsError::CredentialsNotLoaded(_)) = cause.downcast_ref() {
            return Some(NO_CREDENTIALS);
        }
        // Their types are the SDK's own: the first is S3's, the second that of other services.
        let text = cause.to_string();
        if text.starts_with("A region must be set")
            || text.starts_with("Invalid Configuration: Missing Region")
        {
            return Some(NO_REGION);
        }
        next = cause.source();
    }
    None
}

/// An error and its causes in one line, as each of them shows itself: a chain of
/// providers of credentials does so in several. Where something is not set, that alone.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    if let Some(what) = what_is_not_set(error) {
        return what.to_owned();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn presigned(
    database: &Database,
    identity: &Identity,
    region: &str,
    time: SystemTime,
) -> std::result::Result<Password, Box<dyn std::error::Error + Send + Sync>> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(TOKEN_LIFETIME);
    let parameters = v4::SigningParams::builder()
        .identity(identity)
        .region(region)
        .name("rds-db")
        .time(time)
        .settings(settings)
        .build()?;
    let address = format!("{}:{}", database.host, database.port);
    let mut url = url::Url::parse(&format!("https://{address}/"))?;
    url.query_pairs_mut()
        .append_pair("Action", "connect")
        .append_pair("DBUser", &database.user);
    let request = SignableRequest::new(
        "GET",
        url.as_str(),
        std::iter::empty(),
        SignableBody::Bytes(&[]),
    )?;
    let (instructions, _) = sign(request, &parameters.into())?.into_parts();
    for (name, value) in instructions.params() {
        url.query_pairs_mut().append_pair(name, value);
    }
    Ok(Password::from(
        url.as_str().trim_start_matches("https://").to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;

    #[test]
    fn a_token_is_a_presigned_request_without_its_scheme() {
        let variables = |name: &str| match name {
            "PLUGINS" => Some("dir:///p".to_owned()),
            "DB_HOST" => Some("db.example".to_owned()),
            "DB_USER" => Some("sym_bot".to_owned()),
            "DB_AUTH" => Some("iam".to_owned()),
            _ => None,
        };
        let config = crate::config::Config::from_env(variables).expect("is valid");
        let identity =
            Credentials::new("AKID", "SECRET", Some("SESSION".to_owned()), None, "test").into();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let token =
            presigned(&config.database, &identity, "eu-central-1", time).expect("is signed");
        let expected = "db.example:5432/?Action=connect&DBUser=sym_bot\
            &X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKID%2F20231114%2Feu-central-1%2Frds-db%2Faws4_request\
            &X-Amz-Date=20231114T221320Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
            &X-Amz-Signature=";
        assert!(token.expose().starts_with(expected), "{}", token.expose());
        assert!(token.expose().ends_with("&X-Amz-Security-Token=SESSION"));
    }
}
