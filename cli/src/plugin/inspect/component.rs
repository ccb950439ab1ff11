//! What a component's bytes say of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use sym_host::event::printable;
use sym_host::plugin::statement::Digest;
use sym_host::plugin::{Engine, Release};
use wasmparser::{KnownCustom, Parser, Payload};
use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::WorldKey;

/// Custom sections of one text each that tools stamp components with.
///
/// Source: the tool conventions of WebAssembly, as `wasm-tools metadata` writes
/// them.
const SECTIONS: &[&str] = &[
    "version",
    "revision",
    "source",
    "description",
    "authors",
    "licenses",
];

/// A component, as its bytes say.
#[derive(Serialize)]
pub(super) struct Component {
    pub(super) path: String,
    pub(super) sha256: Digest,
    pub(super) bytes: u64,
    /// Which world of `sym:postgres` it has.
    pub(super) world: &'static str,
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
    /// What it says of itself.
    pub(super) metadata: BTreeMap<String, String>,
    /// Languages, SDKs and tools.
    pub(super) made_with: Vec<String>,
    #[serde(skip)]
    pub(super) wit: String,
}

impl Component {
    pub(super) fn read(path: &str, bytes: &[u8]) -> anyhow::Result<Self> {
        // A module is decoded as a component that has nothing. What it is instead, the
        // host says, as it does to whoever has it run.
        if !Parser::is_component(bytes) {
            Release::of_component(&Engine::new()?, path, bytes.to_vec(), &BTreeSet::new())?;
        }
        let is_not = || format!("`{path}` is no component that can be read");
        let decoded = wit_component::decode(bytes).with_context(is_not)?;
        let DecodedWasm::Component(resolve, world) = &decoded else {
            return Err(anyhow!(
                "`{path}` is a package of WIT, expected a component"
            ));
        };
        let names = |items: &mut dyn Iterator<Item = &WorldKey>| -> Vec<String> {
            items
                .map(|key| printable(&resolve.name_world_key(key), 120))
                .collect()
        };
        let imports = names(&mut resolve.worlds[*world].imports.keys());
        let exports = names(&mut resolve.worlds[*world].exports.keys());
        let others: Vec<_> = resolve
            .packages
            .iter()
            .map(|(id, _)| id)
            .filter(|id| *id != decoded.package())
            .collect();
        let mut printer = WitPrinter::default();
        printer
            .print(resolve, decoded.package(), &others)
            .with_context(|| format!("`{path}` has WIT that can't be printed"))?;
        let wit = printer.output.to_string();
        let (metadata, made_with) = sections(bytes).with_context(is_not)?;
        Ok(Self {
            path: path.to_owned(),
            sha256: Digest::of(bytes),
            bytes: bytes.len() as u64,
            world: world_of(&exports),
            imports,
            exports,
            metadata,
            made_with,
            wit,
        })
    }
}

fn world_of(exports: &[String]) -> &'static str {
    let has = |interface: &str| exports.iter().any(|name| name.starts_with(interface));
    match (
        has("sym:postgres/resolver@"),
        has("sym:postgres/target-setup@"),
    ) {
        (true, true) => "sym:postgres/plugin",
        (true, false) => "sym:postgres/user-resolver",
        (false, true) => "sym:postgres/target",
        (false, false) => "none of sym:postgres",
    }
}

/// The component's own sections, and the producers of everything in it.
fn sections(bytes: &[u8]) -> anyhow::Result<(BTreeMap<String, String>, Vec<String>)> {
    let mut metadata = BTreeMap::new();
    let mut made_with = BTreeSet::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::CustomSection(section) => {
                let text = std::str::from_utf8(section.data());
                if depth == 0
                    && SECTIONS.contains(&section.name())
                    && let Ok(text) = text
                {
                    metadata.insert(section.name().to_owned(), printable(text, 200));
                }
                match section.as_known() {
                    KnownCustom::Producers(producers) => {
                        for field in producers {
                            for value in field?.values {
                                let value = value?;
                                let words = format!("{} {}", value.name, value.version);
                                made_with.insert(printable(words.trim(), 120));
                            }
                        }
                    }
                    KnownCustom::ComponentName(names) if depth == 0 => {
                        for name in names {
                            if let wasmparser::ComponentName::Component { name, .. } = name? {
                                metadata.insert("name".to_owned(), printable(name, 120));
                            }
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    Ok((metadata, made_with.into_iter().collect()))
}
