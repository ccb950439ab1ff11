//! AWS Secrets Manager.

use aws_sdk_secretsmanager::types::Tag;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::unavailable;
use crate::aws::{Aws, cause};
use crate::error::Result;
use crate::secret::Secret;

/// Creates it. Returns what is in it, where it was there already.
pub(super) async fn create(
    aws: &Aws,
    kms_key: Option<&str>,
    secret: &Secret,
) -> Result<Option<Zeroizing<String>>> {
    let client = aws.secrets_manager().await;
    let created = client
        .create_secret()
        .name(&secret.name)
        .description(&secret.description)
        .client_request_token(token(&secret.run_id))
        .secret_string(secret.json.as_str())
        .tags(
            Tag::builder()
                .key("sym.user")
                .value(&secret.user_tag)
                .build(),
        )
        .set_kms_key_id(kms_key.map(str::to_owned))
        .send()
        .await;
    let error = match created {
        Ok(_) => return Ok(None),
        Err(error) => error,
    };
    if !error
        .as_service_error()
        .is_some_and(|error| error.is_resource_exists_exception())
    {
        return Err(unavailable().with_source(cause(&error)));
    }
    let existing = client
        .get_secret_value()
        .secret_id(&secret.name)
        .send()
        .await;
    let existing = existing.map_err(|error| unavailable().with_source(cause(&error)))?;
    Ok(Some(Zeroizing::new(
        existing.secret_string.unwrap_or_default(),
    )))
}

/// Deletes it, without the window in which it could be restored: the user that
/// it is for is gone.
pub(super) async fn delete(aws: &Aws, name: &str) -> Result<()> {
    let client = aws.secrets_manager().await;
    let deleted = client
        .delete_secret()
        .secret_id(name)
        .force_delete_without_recovery(true)
        .send()
        .await;
    match deleted {
        Ok(_) => Ok(()),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_resource_not_found_exception()) =>
        {
            Ok(())
        }
        Err(error) => Err(unavailable().with_source(cause(&error))),
    }
}

/// The run as a token, so that a request that the SDK repeats is served once.
///
/// Source: AWS Secrets Manager API, `CreateSecret`, `ClientRequestToken`: 32 to
/// 64 characters. A UUID has 36.
fn token(run_id: &str) -> String {
    if (32..=64).contains(&run_id.len()) {
        return run_id.to_owned();
    }
    Sha256::digest(run_id)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
