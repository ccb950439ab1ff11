//! The server side of the runtime API, version 2018-06-01.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{Answer, lock};

/// An event on its way to the function.
pub(super) struct Delivery {
    pub(super) event: String,
    pub(super) timeout: Duration,
    pub(super) answer: oneshot::Sender<(Answer, Duration)>,
}

/// What the server knows.
pub(super) struct RuntimeApi {
    function_arn: String,
    outbox: mpsc::UnboundedSender<Delivery>,
    inbox: tokio::sync::Mutex<mpsc::UnboundedReceiver<Delivery>>,
    pending: Mutex<HashMap<String, Pending>>,
    events: AtomicU64,
    first_request_at: OnceLock<Instant>,
    init_error: OnceLock<Value>,
}

/// An event that the function has, and has not answered.
struct Pending {
    handed_out_at: Instant,
    answer: oneshot::Sender<(Answer, Duration)>,
}

impl RuntimeApi {
    pub(super) fn new(environment: &[(String, String)]) -> RuntimeApi {
        let environment: BTreeMap<&str, &str> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let function_arn = format!(
            "arn:aws:lambda:{}:123456789012:function:{}",
            environment["AWS_REGION"], environment["AWS_LAMBDA_FUNCTION_NAME"]
        );
        let (outbox, inbox) = mpsc::unbounded_channel();
        RuntimeApi {
            function_arn,
            outbox,
            inbox: tokio::sync::Mutex::new(inbox),
            pending: Mutex::default(),
            events: AtomicU64::new(0),
            first_request_at: OnceLock::new(),
            init_error: OnceLock::new(),
        }
    }

    pub(super) fn deliver(&self, delivery: Delivery) {
        // We hold the other end ourselves, so it can't be closed.
        let _ = self.outbox.send(delivery);
    }

    /// When the function first asked for an event.
    pub(super) fn first_request_at(&self) -> Option<Instant> {
        self.first_request_at.get().copied()
    }

    pub(super) fn init_error(&self) -> Option<Value> {
        self.init_error.get().cloned()
    }

    fn settle(&self, id: &str, answer: Answer) -> StatusCode {
        let Some(pending) = lock(&self.pending).remove(id) else {
            return StatusCode::BAD_REQUEST;
        };
        // Nobody waits any more where the time was up.
        let _ = pending
            .answer
            .send((answer, pending.handed_out_at.elapsed()));
        StatusCode::ACCEPTED
    }
}

pub(super) fn router(api: Arc<RuntimeApi>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route(
            "/2018-06-01/runtime/invocation/{id}/response",
            post(response),
        )
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .with_state(api)
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> impl IntoResponse {
    api.first_request_at.get_or_init(Instant::now);
    let delivery = api.inbox.lock().await.recv().await;
    let Some(delivery) = delivery else {
        return Err(StatusCode::GONE);
    };
    let number = api.events.fetch_add(1, Ordering::Relaxed);
    let id = format!("00000000-0000-4000-8000-{number:012x}");
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", id.clone()),
        (
            "lambda-runtime-deadline-ms",
            milliseconds_from_now(delivery.timeout).to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            api.function_arn.clone(),
        ),
        (
            "lambda-runtime-trace-id",
            format!("Root=1-00000000-{number:024x};Parent=0000000000000000;Sampled=0"),
        ),
    ];
    let pending = Pending {
        handed_out_at: Instant::now(),
        answer: delivery.answer,
    };
    lock(&api.pending).insert(id, pending);
    Ok((headers, delivery.event))
}

async fn response(
    State(api): State<Arc<RuntimeApi>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    api.settle(&id, Answer::Response(json_or_text(&body)))
}

async fn error(
    State(api): State<Arc<RuntimeApi>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    api.settle(&id, Answer::FunctionError(json_or_text(&body)))
}

async fn init_error(State(api): State<Arc<RuntimeApi>>, body: Bytes) -> StatusCode {
    api.init_error.get_or_init(|| json_or_text(&body));
    StatusCode::ACCEPTED
}

/// Lambda passes on what is not JSON, and so a test should get to see it.
fn json_or_text(body: &[u8]) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

/// The deadline as Lambda gives it: milliseconds since 1970.
fn milliseconds_from_now(timeout: Duration) -> u128 {
    (SystemTime::now() + timeout)
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis())
}
