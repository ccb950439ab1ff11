//! A key that AWS KMS keeps: it signs there, and nobody can copy it.

use anyhow::{Context as _, anyhow, bail};
use aws_config::BehaviorVersion;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::get_public_key::GetPublicKeyError;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use sym_host::aws::cause;
use sym_host::plugin::release_store::Unreachable;
use sym_host::plugin::trust::PublicKey;

/// Longest message that KMS takes whole, in bytes.
///
/// Source: AWS KMS API reference, "Sign", parameter `Message`.
const MAX_RAW_BYTES: usize = 4096;

/// A key in KMS.
pub(crate) struct KmsKey {
    client: Client,
    id: String,
    public: PublicKey,
}

impl KmsKey {
    /// Looks the key up. Needs `kms:GetPublicKey`.
    pub(crate) async fn open(id: &str) -> anyhow::Result<Self> {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let client = Client::new(&config);
        let answer = client.get_public_key().key_id(id).send().await;
        let answer = answer.map_err(|error| {
            let said = format!("KMS doesn't give the key `{id}`");
            match error.as_service_error() {
                Some(GetPublicKeyError::NotFoundException(_)) => anyhow!("{said}: there is none"),
                _ => unreachable(&error).context(said),
            }
        })?;
        let der = answer.public_key().context("KMS gave no key")?;
        // KMS signs at most 4096 bytes with Ed25519, and a statement is longer.
        let Some(public @ PublicKey::P256(_)) = PublicKey::from_spki(der.as_ref()) else {
            bail!("the key `{id}` is of another kind, expected ECC_NIST_P256 for signing");
        };
        Ok(Self {
            client,
            id: id.to_owned(),
            public,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message of any length. Needs `kms:Sign`.
    pub(crate) async fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        // The same signature either way: KMS hashes what it is sent whole.
        let (sent, kind) = if message.len() <= MAX_RAW_BYTES {
            (Blob::new(message), MessageType::Raw)
        } else {
            let digest = digest(&SHA256, message);
            (Blob::new(digest.as_ref()), MessageType::Digest)
        };
        let request = self.client.sign().key_id(&self.id);
        let answer = request
            .message(sent)
            .message_type(kind)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .send()
            .await;
        let answer = answer.map_err(|error| {
            unreachable(&error).context(format!("KMS doesn't sign with `{}`", self.id))
        })?;
        let signature = answer.signature().context("KMS gave no signature")?;
        Ok(signature.as_ref().to_vec())
    }
}

/// KMS can't be reached, or refuses.
fn unreachable<E>(error: &SdkError<E>) -> anyhow::Error
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    Unreachable(cause(error)).into()
}
