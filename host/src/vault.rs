//! The bot's password from HashiCorp Vault or OpenBao, by its HTTP protocol: a
//! login with the function's IAM role, one read of a KV version 2 engine, and the
//! token given back.
//!
//! The login is a request to AWS STS that we sign and Vault sends: STS tells
//! Vault who signed it, and no secret of ours is in it.
//!
//! Source: Vault's API documentation, "AWS auth method", `login`, type `iam`; "KV
//! secrets engine, version 2", `Read secret version`; "Token auth method", `Revoke a
//! token (self)`.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::config::Vault;
use crate::error::{Code, Error, Result};
use crate::secret::Password;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Of what Lambda leaves us, which is mostly 10 seconds.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long giving the token back may take: it ends by itself, only later.
const REVOKE_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest answer that is read: of a secret with many fields.
const LONGEST_ANSWER_BYTES: usize = 256 * 1024;

const STS_BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// Reads the password.
///
/// # Errors
/// `secret-unavailable`.
pub(crate) async fn password(
    vault: &Vault,
    identity: &Identity,
    time: SystemTime,
) -> Result<Password> {
    let unavailable =
        |what: String, why: BoxError| Error::new(Code::SecretUnavailable, what).with_source(why);
    let connector = connector(vault).map_err(|error| {
        unavailable(
            "the function can't read the certificates for Vault: check the file that `VAULT_CACERT` names"
                .to_owned(),
            error,
        )
    })?;
    let login = async {
        let body = login_body(vault, identity, time)?;
        let path = format!("auth/{}/login", vault.mount);
        let answer = send(&connector, vault, &path, None, Some(body)).await?;
        let token = answer["auth"]["client_token"].as_str();
        Ok(token
            .ok_or("an answer without `auth.client_token`")?
            .to_owned())
    };
    let token: String = login.await.map_err(|error| {
        let (role, mount) = (&vault.role, &vault.mount);
        unavailable(
            format!(
                "Vault doesn't let the function log in as `{role}` by `auth/{mount}`: check that the role is bound to \
                 the function's IAM role, and that Vault can be reached"
            ),
            error,
        )
    })?;
    let path = &vault.path;
    let answer = send(&connector, vault, path, Some(&token), None).await;
    revoke(&connector, vault, &token).await;
    let answer = answer.map_err(|error| {
        unavailable(
            format!(
                "the function can't read its database password from Vault at `{path}`: check that it exists and that \
                 the policies of `{}` allow it",
                vault.role
            ),
            error,
        )
    })?;
    match answer["data"]["data"][vault.field.as_str()].as_str() {
        Some(password) => Ok(Password::from(password.to_owned())),
        None => Err(Error::new(
            Code::SecretUnavailable,
            format!(
                "the secret of the function's database password in Vault, `{path}`, has no field `{}`",
                vault.field
            ),
        )),
    }
}

/// Gives a token back that nothing needs any more. It can read the password until
/// then, or until it ends; Vault's policy `default` allows this to everybody.
async fn revoke(connector: &Connector, vault: &Vault, token: &str) {
    let path = "auth/token/revoke-self";
    let request = send(connector, vault, path, Some(token), Some(json!({})));
    match tokio::time::timeout(REVOKE_TIMEOUT, request).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "Vault's token could not be revoked: it ends by itself");
        }
        Err(_) => tracing::warn!("Vault's token could not be revoked in time: it ends by itself"),
    }
}

fn connector(vault: &Vault) -> std::result::Result<Connector, BoxError> {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(TIMEOUT)
        .read_timeout(TIMEOUT)
        .build();
    let mut builder = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .connector_settings(settings);
    if let Some(path) = &vault.ca_file {
        let store = TrustStore::empty().with_pem_certificate(std::fs::read(path)?);
        builder = builder.tls_context(TlsContext::builder().with_trust_store(store).build()?);
    }
    Ok(builder.build())
}

/// One request, and its answer as JSON, in time: the connector's own limits are those
/// of connecting, and of the answer's head. Redirects are not followed: who is asked is
/// the operator's decision.
async fn send(
    connector: &Connector,
    vault: &Vault,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> std::result::Result<Value, BoxError> {
    let answer = send_and_wait(connector, vault, path, token, body);
    let answer = tokio::time::timeout(TIMEOUT, answer).await;
    answer.map_err(|_| format!("no whole answer within {} s", TIMEOUT.as_secs()))?
}

async fn send_and_wait(
    connector: &Connector,
    vault: &Vault,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> std::result::Result<Value, BoxError> {
    let url = format!("{}/v1/{path}", vault.address);
    let mut request = HttpRequest::new(match &body {
        Some(body) => SdkBody::from(body.to_string()),
        None => SdkBody::empty(),
    });
    request.set_method(if body.is_some() { "POST" } else { "GET" })?;
    request.set_uri(url)?;
    let headers = request.headers_mut();
    if body.is_some() {
        headers.insert("content-type", "application/json");
    }
    // So that a proxy that leads requests astray can't be made to send one.
    headers.insert("x-vault-request", "true");
    if let Some(namespace) = &vault.namespace {
        headers.insert("x-vault-namespace", namespace.clone());
    }
    if let Some(token) = token {
        headers.insert("x-vault-token", token.to_owned());
    }
    let answer = connector.call(request).await?;
    let status = answer.status().as_u16();
    let mut body = ByteStream::new(answer.into_body());
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > LONGEST_ANSWER_BYTES {
            return Err("the answer is too long".into());
        }
    }
    let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    // 204 is a success that has nothing to say.
    if matches!(status, 200 | 204) {
        return Ok(json);
    }
    // Vault's own words: they hold no secret.
    Err(format!("{status}: {}", json["errors"]).into())
}

/// What a login sends: a signed request to STS, in parts.
fn login_body(
    vault: &Vault,
    identity: &Identity,
    time: SystemTime,
) -> std::result::Result<Value, BoxError> {
    // The global endpoint is signed for as the region that it is in.
    let (region, host) = match &vault.sts_region {
        Some(region) => (region.as_str(), format!("sts.{region}.amazonaws.com")),
        None => ("us-east-1", "sts.amazonaws.com".to_owned()),
    };
    let url = format!("https://{host}/");
    let mut headers = vec![
        ("host", host.as_str()),
        (
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        ),
    ];
    if let Some(id) = &vault.server_id {
        headers.push(("x-vault-aws-iam-server-id", id));
    }
    let parameters = v4::SigningParams::builder()
        .identity(identity)
        .region(region)
        .name("sts")
        .time(time)
        .settings(SigningSettings::default())
        .build()?;
    let request = SignableRequest::new(
        "POST",
        &url,
        headers.iter().copied(),
        SignableBody::Bytes(STS_BODY.as_bytes()),
    )?;
    let (instructions, _) = sign(request, &parameters.into())?.into_parts();
    let signed = instructions.headers();
    let all: Map<String, Value> = headers
        .iter()
        .copied()
        .chain(signed)
        .map(|(name, value)| (name.to_owned(), json!([value])))
        .collect();
    Ok(json!({
        "role": vault.role,
        "iam_http_request_method": "POST",
        "iam_request_url": STANDARD.encode(&url),
        "iam_request_body": STANDARD.encode(STS_BODY),
        "iam_request_headers": STANDARD.encode(Value::Object(all).to_string()),
    }))
}
