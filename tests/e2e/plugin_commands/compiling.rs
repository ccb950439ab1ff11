//! Components that take too much to compile or to load, and what has the compiler fail.

use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

use anyhow::ensure;

use super::Desk;

const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;
const SIGABRT: i32 = 6;

/// Instances in one another, each twice in the next or `once`, and `more` of the last.
fn instances(depth: u32, once: bool, more: u32, what: &str) -> String {
    let mut text = "(component (instance $i0)".to_owned();
    for number in 0..depth {
        let second = match once {
            true => String::new(),
            false => format!("(export \"b\" (instance $i{number}))"),
        };
        text.push_str(&format!(
            "(instance $i{} (export \"a\" (instance $i{number})) {second})",
            number + 1
        ));
    }
    for number in 0..more {
        text.push_str(&what.replace("NUMBER", &number.to_string()));
    }
    text + ")"
}

#[test]
fn what_takes_too_much_or_has_the_compiler_fail_is_refused() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let cases = [
        (
            instances(
                17,
                false,
                8,
                "(instance (export \"a\" (instance $i17)) (export \"b\" (instance $i17)))",
            ),
            "takes more than 1073 MB of memory to compile: leave out of it what it doesn't need",
        ),
        (
            instances(13, false, 14, "(export \"eNUMBER\" (instance $i13))"),
            "takes more than 33 MB of memory to load, beside its native code: leave out of it what it doesn't need",
        ),
        (
            instances(127, true, 0, ""),
            "makes the compiler fail: build it by other tools, and report it",
        ),
    ];
    for (text, sentence) in cases {
        desk.write("bomb.wasm", wat::parse_str(&text)?)?;
        let finished = desk.ends(1, &["plugin", "check", "bomb.wasm"])?;
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(said.contains(sentence), "{said}");
    }
    Ok(())
}

/// The process that compiles, by itself: how it ends with these limits, in megabytes, seconds
/// and bytes.
fn compiled(desk: &Desk, limits: [&str; 3]) -> anyhow::Result<Output> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = desk.command(&[&["compile-component"], &limits[..], &[&target]].concat())?;
    Ok(command
        .stdin(File::open(desk.path("long.wasm"))?)
        .stdout(File::create(desk.path("long.native"))?)
        .output()?)
}

#[test]
fn the_system_holds_the_process_that_compiles() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let body = "local.get 0 i64.const 7 i64.mul i64.const 3 i64.rem_s local.set 0 ".repeat(200);
    let functions = format!("(func (param i64) (result i64) {body} local.get 0)").repeat(1_200);
    let long = wat::parse_str(format!("(component (core module {functions}))"))?;
    desk.write("long.wasm", long)?;
    let (memory, time, bytes) = ("1073741824", "120", "134217728");
    for (limits, signal) in [
        ([memory, "1", bytes], Some(SIGXCPU)),
        ([memory, time, "100000"], Some(SIGXFSZ)),
        (["40000000", time, bytes], Some(SIGABRT)),
        ([memory, time, bytes], None),
    ] {
        let ended = compiled(&desk, limits)?;
        ensure!(ended.status.signal() == signal, "{limits:?}: {ended:?}");
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(
            signal != Some(SIGABRT) || said.contains("memory allocation of"),
            "{said}"
        );
    }
    Ok(())
}

#[test]
fn a_name_that_is_no_text_is_a_file_like_others() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.wasm");
    let finished = desk.command(&["plugin", "check"])?.arg(name).output()?;
    let said = String::from_utf8_lossy(&finished.stderr).into_owned();
    ensure!(
        finished.status.code() == Some(1) && !said.contains("panicked"),
        "{said}"
    );
    Ok(())
}
