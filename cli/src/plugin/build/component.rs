//! From what a language's tools made to the component that is shipped: made a
//! component where it is none, stripped, and stamped.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use wasm_encoder::{ComponentSectionId, Encode as _, RawSection, Section as _};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::project::Project;

/// WASI as a core module that has none of it: what is written goes to the
/// plugin's log, and everything else is refused.
const ADAPTER: &str = include_str!("../../../../guest-sdk/adapter/wasi-to-log.wat");

/// The name under which C's and Go's libraries import WASI.
const ADAPTED: &str = "wasi_snapshot_preview1";

/// What of a core module's custom sections a component keeps.
const KEPT: &str = "producers";

/// Makes it a component, if it is none; strips it; stamps it with name, version,
/// SDK and source revision.
pub(super) fn finish(project: &Project, wasm: Vec<u8>) -> Result<Vec<u8>> {
    let component = if Parser::is_component(&wasm) {
        wasm
    } else {
        ComponentEncoder::default()
            .validate(true)
            .module(&wasm)
            .and_then(|encoder| encoder.encode())
            .with_context(|| format!("`{}` makes no component", project.name))?
    };
    stamp(project, &strip(&component)?)
}

/// Makes a core module of C or Go a component: its world is put into it, and our
/// adapter takes WASI's place.
pub(super) fn encode(project: &Project, mut module: Vec<u8>) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(project.root.join("wit"))?;
    let world = resolve.select_world(&[package], Some(project.exports.world()))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let own = "package sym:adapter; world adapter { import sym:postgres/log@0.1.0; }";
    let package = resolve.push_str("adapter.wit", own)?;
    let world = resolve.select_world(&[package], Some("adapter"))?;
    let mut adapter = wat::parse_str(ADAPTER)?;
    embed_component_metadata(&mut adapter, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.adapter(ADAPTED, &adapter))
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("`{}` makes no component", project.name))
}

/// The same without names, debug information and documentation: the host has no
/// use for them, and they would tell where it was built.
fn strip(wasm: &[u8]) -> Result<Vec<u8>> {
    // One for the component, and one for each that we are inside of.
    let mut outputs: Vec<(Encoding, Vec<u8>)> = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.context("the component can't be read")? {
            Payload::Version { encoding, .. } => {
                let header = match encoding {
                    Encoding::Module => wasm_encoder::Module::HEADER,
                    Encoding::Component => wasm_encoder::Component::HEADER,
                };
                outputs.push((encoding, header.to_vec()));
            }
            Payload::End(_) => {
                let (encoding, output) = outputs.pop().context("the component ends too early")?;
                let Some((_, outer)) = outputs.last_mut() else {
                    return Ok(output);
                };
                let id = match encoding {
                    Encoding::Module => ComponentSectionId::CoreModule,
                    Encoding::Component => ComponentSectionId::Component,
                };
                outer.push(id.into());
                output.encode(outer);
            }
            Payload::CustomSection(section) if section.name() != KEPT => {}
            payload => {
                // What has no bytes of its own was or will be handled above.
                if let (Some((id, range)), Some((_, output))) =
                    (payload.as_section(), outputs.last_mut())
                    && !matches!(
                        payload,
                        Payload::ModuleSection { .. } | Payload::ComponentSection { .. }
                    )
                {
                    let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
                    let data = wasm.get(range).context("a section ends too early")?;
                    RawSection { id, data }.append_to(output);
                }
            }
        }
    }
    bail!("the component ends too early")
}

/// The custom sections that `symctl plugin inspect` shows: the standard ones of
/// WebAssembly's tools.
fn stamp(project: &Project, component: &[u8]) -> Result<Vec<u8>> {
    let mut metadata = wasm_metadata::AddMetadata::default();
    metadata.name = wasm_metadata::AddMetadataField::Set(project.name.clone());
    let ours = env!("CARGO_PKG_VERSION").to_owned();
    metadata.sdk = vec![(
        format!("sym-guest-sdk-{}", project.language.as_str()),
        ours.clone(),
    )];
    metadata.processed_by = vec![("symctl".to_owned(), ours)];
    let mut stamped = metadata.to_wasm(component)?;
    let mut section = |name: &str, text: &str| {
        wasm_encoder::CustomSection {
            name: name.into(),
            data: text.as_bytes().into(),
        }
        .append_to(&mut stamped);
    };
    section("version", &project.version);
    if let Some(revision) = revision(&project.root) {
        section("revision", &revision);
    }
    Ok(stamped)
}

/// The commit that the project is at, with `-dirty` where that isn't all of it.
/// `None` where it is in no git repository.
fn revision(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(root)
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let is_clean = git(&["status", "--porcelain", "--", "."])?.is_empty();
    Some(if is_clean {
        commit
    } else {
        format!("{commit}-dirty")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_names_at_every_depth_and_keeps_what_runs() {
        let component = wat::parse_str(
            r#"(component $outer
                (core module $inner (func $named (export "f") (result i32) i32.const 7))
                (component $nested (core module $deep (func $alsonamed nop)))
                (core instance $instance (instantiate $inner)))"#,
        )
        .expect("is a component");
        let stripped = strip(&component).expect("can be stripped");
        wasmparser::validate(&stripped).expect("is valid");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for name in ["named", "alsonamed", "outer"] {
            assert!(text(&component).contains(name), "{name}");
            assert!(!text(&stripped).contains(name), "{name}");
        }
        assert_eq!(strip(&stripped).expect("again"), stripped);
    }

    #[test]
    fn the_adapter_is_a_valid_module() {
        let adapter = wat::parse_str(ADAPTER).expect("is a module");
        wasmparser::validate(&adapter).expect("is valid");
    }
}
