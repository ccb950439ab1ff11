//! The Lambda function: hands each event to the host, and its answer back. The
//! only file that knows Lambda.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;
use sym_host::handler::{Host, Invocation};
use sym_host::response::Response;
use sym_host::telemetry;

fn main() -> Result<(), lambda_runtime::Error> {
    #[cfg(feature = "compiler")]
    sym_host::plugin::compiler::begin(
        std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
            .ok()
            .as_deref(),
    );
    telemetry::init();
    // One event at a time, on a fraction of a core: more threads only cost.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let host = Host::new(|name| std::env::var(name).ok());
        host.warm_up().await;
        // Raw JSON, so that the host answers what it can't read in its own shape.
        lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| {
            serve(&host, event)
        }))
        .await
    })
}

async fn serve(
    host: &Host,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Response, lambda_runtime::Error> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let deadline = Duration::from_millis(event.context.deadline);
    let invocation = Invocation {
        request_id: &event.context.request_id,
        // Some local emulators send a duration here, which lies in 1970.
        time_left: deadline.checked_sub(now).filter(|left| !left.is_zero()),
    };
    let served = host.handle(event.payload.get(), invocation).await;
    // Before the answer: with that the sandbox may freeze.
    telemetry::write_line(&served.log_line);
    Ok(served.response)
}
