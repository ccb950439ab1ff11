//! Hostile and honest guests, written in WAT so that nothing has to be built
//! first. Plugins in real languages are tested in `tests/`.

mod contract;
#[cfg(feature = "compiler")]
mod determinism;
mod guest;
mod instance;
mod limits;
mod release;

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, Engine, Release, STACK_BYTES, Source};
use crate::error::{Code, Error, Result};
use crate::event::Event;
use crate::plan::{Statement, Step, Strategy};
use crate::request::{DurationUnit, Request};

/// A directory with `plugins.toml` and the other files, loaded.
async fn load(manifest: &str, files: &[(&str, &[u8])]) -> Result<Release> {
    let directory = tempfile::tempdir().expect("a directory can be made");
    write(directory.path(), manifest, files);
    load_from(directory.path()).await
}

async fn load_from(directory: &Path) -> Result<Release> {
    load_into(&Engine::new().expect("the engine starts"), directory).await
}

async fn load_into(engine: &Engine, directory: &Path) -> Result<Release> {
    let loaded = Source::Directory(directory.to_owned())
        .load(engine, &crate::aws::Aws::default())
        .await?;
    Ok(loaded.release)
}

fn write(directory: &Path, manifest: &str, files: &[(&str, &[u8])]) {
    std::fs::write(directory.join("plugins.toml"), manifest).expect("the manifest can be written");
    for (name, bytes) in files {
        std::fs::write(directory.join(name), bytes).expect("the file can be written");
    }
}

fn request() -> Request {
    request_of("2b1befa5-caf5-4ac3-8509-64732c15cb7d", "readonly")
}

fn request_of(run: &str, target: &str) -> Request {
    let event = format!(
        r#"{{"run": {{"srn": "org:run:flow:1.0.0:{run}", "flow": "org:flow:flow:1.0.0",
            "actors": {{"request": {{"username": "ada@example.com"}}}}}},
            "event": {{"type": "escalate", "timestamp": "2026-01-31T14:48:02Z"}},
            "fields": {{"target": {{"name": "{target}"}}}}}}"#
    );
    let parsed = Event::parse(&event).expect("the event parses");
    Request::from_event(&parsed, &event, DurationUnit::Minutes).expect("the event is valid")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// What a resolver with these limits answers.
async fn resolve(component: &[u8], limits: &str) -> Result<Answer<String>> {
    let manifest = format!("[resolver]\ncomponent = \"x.wasm\"\n[resolver.limits]\n{limits}");
    let release = load(&manifest, &[("x.wasm", component)])
        .await
        .expect("the release loads");
    release
        .resolve_user(&request(), Strategy::Role, soon())
        .await
}

/// What a target plugin answers.
async fn set_up(component: &[u8]) -> Result<Answer<Vec<Step>>> {
    let manifest =
        "[resolver]\ncomponent = \"x.wasm\"\n[targets.readonly]\ncomponent = \"x.wasm\"\n";
    let release = load(manifest, &[("x.wasm", component)])
        .await
        .expect("the release loads");
    release
        .setup(&request(), Strategy::TemporaryUser, "ada", soon())
        .await
}

#[track_caller]
fn assert_refused<T>(result: Result<T>, code: Code, parts: &[&str]) -> Error {
    let Err(error) = result else {
        panic!("expected {code}")
    };
    for part in parts {
        assert!(
            error.message().contains(part),
            "expected `{part}` in: {}",
            error.to_log()
        );
    }
    assert_eq!(error.code(), code, "{}", error.to_log());
    error
}
