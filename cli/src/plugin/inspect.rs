//! `symctl plugin inspect`: what a component is, and what a release is made of.

mod component;

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use sym_host::aws::Aws;
use sym_host::plugin::Engine;
use sym_host::plugin::manifest::MAX_COMPONENT_BYTES;
use sym_host::plugin::release_store::object_key;
use sym_host::plugin::statement::{Digest, NativeEntry};

use self::component::Component;
use super::release::TrustArgs;
use super::show::bytes;
use super::subject::{Subject, name};
use crate::output::{self, Status};
use crate::store::block_on;

/// Show what a component is: its world, what it imports and exports, its size
/// and digest, and with what it was made. Nothing of it runs.
///
/// Of a published release also who signed it, and its native code.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  symctl plugin inspect my-resolver.wasm\n  symctl plugin inspect my-resolver.wasm --wit\n  symctl plugin inspect s3://bucket/sym-postgres --trust \"$(cat team.pub)\""
)]
pub(crate) struct InspectArgs {
    /// A directory with `plugins.toml`, a component, or the store of a release:
    /// `s3://bucket/prefix`, `file:///dir`.
    #[arg(default_value = ".")]
    path: String,
    #[command(flatten)]
    trust: TrustArgs,
    /// Print the component's own WIT instead.
    #[arg(long, conflicts_with = "json")]
    wit: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Where a release comes from.
#[derive(Serialize)]
struct Signed {
    release: String,
    signers: Vec<String>,
    created: String,
    publisher: String,
    native: Vec<NativeEntry>,
}

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<Status> {
    let (signed, components) = if args.path.contains("://") {
        block_on(fetch(args))?
    } else {
        (None, read(args)?)
    };
    if args.wit {
        for component in &components {
            output::data(&component.wit);
        }
    } else if args.json {
        output::json(&json!({"release": signed, "components": components}));
    } else {
        print(signed.as_ref(), &components);
    }
    Ok(Status::Done)
}

fn read(args: &InspectArgs) -> anyhow::Result<Vec<Component>> {
    let subject = Subject::find(&PathBuf::from(&args.path))?;
    if let Subject::Component(path) = &subject {
        return Ok(vec![Component::read(&name(path), &subject.component("")?)?]);
    }
    let release = subject.load(&Engine::new()?, &Default::default())?;
    let mut paths: Vec<String> = Vec::new();
    for part in release.parts() {
        if !paths.iter().any(|path| path == part.path()) {
            paths.push(part.path().to_owned());
        }
    }
    paths
        .iter()
        .map(|path| Component::read(path, &subject.component(path)?))
        .collect()
}

async fn fetch(args: &InspectArgs) -> anyhow::Result<(Option<Signed>, Vec<Component>)> {
    let aws = Aws::patient();
    let published = args.trust.published(&args.path)?;
    let pointer = published.pointer(&aws, None).await?;
    let Some(pointer) = pointer else {
        bail!("the store gave no pointer");
    };
    let statement = pointer.release.statement();
    let mut components = Vec::new();
    for file in &statement.files {
        if !file.path.ends_with(".wasm") {
            continue;
        }
        let key = object_key(file.sha256);
        let object = published.store.get(&aws, &key, MAX_COMPONENT_BYTES).await;
        let object = object.map_err(|error| anyhow!("`{}` {error}", file.path))?;
        if Digest::of(&object.bytes) != file.sha256 {
            bail!(
                "`{}` is not what was signed: publish the release anew",
                file.path
            );
        }
        components.push(Component::read(&file.path, &object.bytes)?);
    }
    let signed = Signed {
        release: pointer.release.id().to_owned(),
        signers: pointer.release.signers().to_vec(),
        created: statement.created.clone(),
        publisher: statement.publisher.clone(),
        native: statement.native.clone(),
    };
    Ok((Some(signed), components))
}

fn print(signed: Option<&Signed>, components: &[Component]) {
    let line = |title: &str, text: &str| output::data(&format!("{title:10} {text}"));
    if let Some(signed) = signed {
        line("release", &signed.release);
        line("signed by", &signed.signers.join(", "));
        line(
            "published",
            &format!("{} by {}", signed.created, signed.publisher),
        );
    }
    for (index, component) in components.iter().enumerate() {
        if index > 0 || signed.is_some() {
            output::data("");
        }
        line("component", &component.path);
        line("sha256", &component.sha256.to_string());
        line("size", &bytes(component.bytes));
        line("world", component.world);
        line("imports", &or_nothing(&component.imports));
        line("exports", &or_nothing(&component.exports));
        for (title, text) in &component.metadata {
            line(title, text);
        }
        line("made with", &or_nothing(&component.made_with));
        for native in signed.iter().flat_map(|signed| &signed.native) {
            if native.of == component.sha256 {
                line(
                    "native",
                    &format!(
                        "{} (engine {}), {}",
                        native.target,
                        native.engine,
                        bytes(native.bytes)
                    ),
                );
            }
        }
    }
}

fn or_nothing(list: &[String]) -> String {
    if list.is_empty() {
        "nothing".to_owned()
    } else {
        list.join(", ")
    }
}
