//! Guests of `tests/hostile/guests/`: WebAssembly's text format, with a header.
//!
//! A file begins with comments. `;; kind: target` (or `resolver`),
//! `;; expect: CODE` and, where they apply, `;; says: TEXT`, `;; pages: N` (of
//! memory), `;; wasi: true` and `;; damage: HOW` have a meaning; others are for
//! people. What follows is a component, in which `{types}` stands for the types
//! of `wit/` and `{lift $instance}` for the export of the kind's world; or it is
//! the fields of a core module with a function `run` that is such a component's
//! only one. There, `$log` takes level, address and length, and `$get` address
//! and length of a key and where the option goes.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use sym_test_support::guest;

/// A component, or what passes itself off as one.
pub(super) struct Guest {
    pub(super) bytes: Vec<u8>,
    pub(super) has_wasi: bool,
}

/// Reads a file.
pub(super) fn read(text: &str) -> anyhow::Result<(BTreeMap<String, String>, Guest)> {
    let mut headers = BTreeMap::new();
    let comments = text.lines().map_while(|line| line.strip_prefix(";;"));
    for (key, value) in comments.filter_map(|line| line.split_once(": ")) {
        headers.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    let body: String = text
        .lines()
        .skip_while(|line| line.starts_with(";;"))
        .map(|line| format!("{line}\n"))
        .collect();
    let header = |key: &str| headers.get(key).map(String::as_str);
    let world = match header("kind") {
        Some("resolver") => guest::RESOLVER,
        Some("target") => guest::TARGET,
        other => bail!("the kind is {other:?}"),
    };
    let whole = if body.starts_with("(component") || body.starts_with("(module") {
        body.replace("{types}", guest::TYPES)
            .replace("{lift $main}", &world.lift())
    } else {
        let guest = guest::Guest {
            world,
            pages: header("pages").unwrap_or("2").parse()?,
            heap: 65536,
            imports: String::new(),
            functions: Vec::new(),
            fields: body.clone(),
        };
        guest.to_wat()
    };
    let bytes = wat::parse_str(&whole).with_context(|| whole.clone())?;
    let half = bytes.len() / 2;
    let bytes = match header("damage") {
        None => bytes,
        Some("text") => body.into_bytes(),
        Some("half") => bytes[..half].to_vec(),
        Some("garbage") => [&bytes[..half], &vec![0xff; half]].concat(),
        Some("elf") => [b"\x7fELF\x02\x01\x01\0", &bytes[8..]].concat(),
        Some("version") => [b"\0asm\x07\0\0\0", &bytes[8..]].concat(),
        Some("all") => Vec::new(),
        Some(other) => bail!("no damage is called `{other}`"),
    };
    let has_wasi = header("wasi") == Some("true");
    Ok((headers, Guest { bytes, has_wasi }))
}
