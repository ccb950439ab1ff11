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

use crate::fixture::TYPES;

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
    let lift = match header("kind") {
        Some("resolver") => Lift {
            interface: "sym:postgres/resolver@0.1.0",
            function: "resolve-user",
            signature: r#"(param "request" $request) (result (result string (error $failure)))"#,
        },
        Some("target") => Lift {
            interface: "sym:postgres/target-setup@0.1.0",
            function: "setup",
            signature: r#"(param "request" $request) (param "username" string) (result (result $steps (error $failure)))"#,
        },
        other => bail!("the kind is {other:?}"),
    };
    let whole = if body.starts_with("(component") || body.starts_with("(module") {
        body.clone()
    } else {
        frame(&body, header("pages").unwrap_or("2"))
    };
    let whole = whole
        .replace("{types}", TYPES)
        .replace("{lift $main}", &lift.text());
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

struct Lift {
    interface: &'static str,
    function: &'static str,
    signature: &'static str,
}

impl Lift {
    fn text(&self) -> String {
        let Lift {
            interface,
            function,
            signature,
        } = self;
        format!(
            r#"(func $lifted {signature}
                (canon lift (core func $main "run") (memory (core memory $main "memory"))
                    (realloc (core func $main "realloc"))))
            (instance $export (export "{function}" (func $lifted)))
            (export "{interface}" (instance $export))"#
        )
    }
}

/// A component whose one module has these fields, and an honest allocator.
fn frame(fields: &str, pages: &str) -> String {
    // An export of another instance's memory has to be the lifted function's.
    format!(
        r#"(component
            {{types}}
            (type $log-instance (instance
                (type $level-enum (enum "debug" "info" "warn" "error"))
                (export "level" (type $level (eq $level-enum)))
                (export "write" (func (param "level" $level) (param "message" string)))))
            (import "sym:postgres/log@0.1.0" (instance $log (type $log-instance)))
            (type $config-instance (instance
                (export "get" (func (param "key" string) (result (option string))))))
            (import "sym:postgres/config@0.1.0" (instance $config (type $config-instance)))
            (core module $libc
                (memory (export "memory") {pages})
                (global $next (mut i32) (i32.const 65536))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (local.get $at)))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $log (canon lower (func $log "write") (memory $memory)))
            (core func $get (canon lower (func $config "get") (memory $memory) (realloc $realloc)))
            (core module $module
                (import "libc" "memory" (memory 0))
                (import "host" "log" (func $log (param i32 i32 i32)))
                (import "host" "get" (func $get (param i32 i32 i32)))
                {fields})
            (core instance $host (export "log" (func $log)) (export "get" (func $get)))
            (core instance $run (instantiate $module (with "libc" (instance $libc)) (with "host" (instance $host))))
            (alias core export $run "run" (core func $run))
            (core instance $main
                (export "run" (func $run)) (export "memory" (memory $memory)) (export "realloc" (func $realloc)))
            {{lift $main}})"#
    )
}
