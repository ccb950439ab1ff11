//! A double of HashiCorp Vault, as far as one secret needs it: the login of the
//! AWS auth method, one read of a KV version 2 engine, and a token's end.
//!
//! Like Vault it doesn't believe a login by itself, but sends what was signed to
//! STS, and believes that: here moto, which checks signatures once it enforces IAM.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes as Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::Request;
use hyper::body::{Body as HttpBody, Bytes, Frame};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::background::Background;
use crate::http;

/// The role that may log in.
pub const ROLE: &str = "sym-postgres";

/// What the auth method wants signed.
pub const SERVER_ID: &str = "vault.example";

/// A running Vault.
pub struct Vault {
    // Stops when dropped.
    _server: Background,
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    sts: Option<String>,
    secrets: BTreeMap<String, Value>,
    logins: usize,
    /// Those that were not revoked.
    tokens: BTreeSet<String>,
    refuses_revocations: bool,
    sends_heads_alone: bool,
}

impl Vault {
    /// Starts it, without a secret, on a port that the system chooses.
    ///
    /// # Errors
    ///
    /// The system gives no port or no thread.
    pub fn start() -> anyhow::Result<Vault> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let router = Router::new()
            .route("/v1/auth/aws/login", post(login))
            .route("/v1/auth/token/revoke-self", post(revoke))
            .route("/v1/{*path}", get(read))
            .with_state(shared.clone());
        let server = Background::start("vault", async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                return;
            };
            let _ = axum::serve(listener, router).await;
        })?;
        Ok(Vault {
            _server: server,
            address,
            shared,
        })
    }

    /// Where it is.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whom it asks who signed a login.
    pub fn ask(&self, aws: &Aws) {
        let endpoint = aws.endpoint();
        let address = endpoint.trim_start_matches("http://");
        lock(&self.shared).sts = Some(address.to_owned());
    }

    /// Stores a secret, over what was there. `path` has the engine's `data/`.
    pub fn put(&self, path: &str, fields: Value) {
        lock(&self.shared).secrets.insert(path.to_owned(), fields);
    }

    /// How many tokens are good for something.
    pub fn tokens(&self) -> usize {
        lock(&self.shared).tokens.len()
    }

    /// From now on nobody may give a token back, as with a policy that lacks it.
    pub fn refuse_revocations(&self) {
        lock(&self.shared).refuses_revocations = true;
    }

    /// From now on a login is answered with a head, and what should follow never comes.
    pub fn send_heads_alone(&self) {
        lock(&self.shared).sends_heads_alone = true;
    }

    /// How many logins have succeeded.
    pub fn logins(&self) -> usize {
        lock(&self.shared).logins
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, json!({"errors": [why]}).to_string()).into_response()
}

/// A body that never comes.
struct Silence;

impl HttpBody for Silence {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

async fn login(State(shared): State<Arc<Mutex<Shared>>>, body: Body) -> Response {
    if lock(&shared).sends_heads_alone {
        return Response::new(axum::body::Body::new(Silence));
    }
    let sts = lock(&shared).sts.clone().unwrap_or_default();
    match check_login(&sts, &body).await {
        Ok(()) => {
            let mut shared = lock(&shared);
            shared.logins += 1;
            let token = format!("hvs.not-a-secret-{}", shared.logins);
            shared.tokens.insert(token.clone());
            json!({"auth": {"client_token": token, "lease_duration": 60}})
                .to_string()
                .into_response()
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

/// What Vault checks of a login, and then asks STS.
async fn check_login(sts: &str, body: &[u8]) -> anyhow::Result<()> {
    let login: Value = serde_json::from_slice(body)?;
    anyhow::ensure!(
        login["role"] == ROLE,
        "entry for role {} not found",
        login["role"]
    );
    let decoded = |field: &str| -> anyhow::Result<String> {
        let text = login[field]
            .as_str()
            .with_context(|| format!("missing {field}"))?;
        Ok(String::from_utf8(STANDARD.decode(text)?)?)
    };
    anyhow::ensure!(login["iam_http_request_method"] == "POST", "invalid method");
    anyhow::ensure!(
        decoded("iam_request_url")? == "https://sts.amazonaws.com/",
        "invalid url"
    );
    let body = decoded("iam_request_body")?;
    anyhow::ensure!(body.contains("Action=GetCallerIdentity"), "invalid action");
    let headers: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&decoded("iam_request_headers")?)?;
    let value = |name: &str| headers.get(name).and_then(|values| values.first());
    anyhow::ensure!(
        value("x-vault-aws-iam-server-id").is_some_and(|id| id == SERVER_ID),
        "missing header X-Vault-AWS-IAM-Server-ID"
    );
    let signature = value("authorization").context("missing Authorization header")?;
    anyhow::ensure!(
        signature.contains("x-vault-aws-iam-server-id"),
        "X-Vault-AWS-IAM-Server-ID is not signed"
    );

    let mut request = Request::post("/");
    for (name, values) in &headers {
        request = request.header(name, values.first().context("a header without a value")?);
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    let (status, _) = http::send(sts.parse()?, request).await?;
    anyhow::ensure!(status == 200, "STS answers {status}");
    Ok(())
}

/// The token that a request bears, where it is good.
fn token(shared: &Shared, headers: &HeaderMap) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = header("x-vault-token").filter(|token| shared.tokens.contains(*token))?;
    (header("x-vault-request") == Some("true")).then(|| token.to_owned())
}

async fn revoke(State(shared): State<Arc<Mutex<Shared>>>, headers: HeaderMap) -> Response {
    let mut shared = lock(&shared);
    match token(&shared, &headers) {
        Some(token) if !shared.refuses_revocations => {
            shared.tokens.remove(&token);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => refuse(StatusCode::FORBIDDEN, "permission denied"),
    }
}

async fn read(
    State(shared): State<Arc<Mutex<Shared>>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let shared = lock(&shared);
    if token(&shared, &headers).is_none() {
        return refuse(StatusCode::FORBIDDEN, "permission denied");
    }
    match shared.secrets.get(&path) {
        Some(fields) => {
            let answer = json!({"data": {"data": fields, "metadata": {"version": 1}}});
            answer.to_string().into_response()
        }
        None => (StatusCode::NOT_FOUND, r#"{"errors": []}"#).into_response(),
    }
}
