//! The same plugin, compiled to different machine code: the same answer, the
//! same fuel, the same memory. `tests/e2e/determinism.rs` has another process,
//! and native code that `symctl` made.

use sym_test_support::tools;
use wasmtime::OptLevel;

use super::guest::{Guest, answer};
use super::*;
use crate::plugin::TARGET;

/// As the function has it; for the CPU that this machine happens to have; and
/// with other or no optimizations.
fn engines() -> Vec<(&'static str, Engine)> {
    let engine = |target, level| Engine::compiling(target, level).expect("starts");
    vec![
        ("as it is", engine(TARGET, OptLevel::Speed)),
        ("for this CPU", engine(None, OptLevel::Speed)),
        ("unoptimized", engine(TARGET, OptLevel::None)),
        ("for size", engine(TARGET, OptLevel::SpeedAndSize)),
    ]
}

/// A resolver that leaves 64 bits in `$bits`, and answers with them in letters.
fn spells(code: &str) -> Vec<u8> {
    let body = format!(
        "(local $bits i64) (local $at i32) (local $n i32)
        {code}
        (local.set $at (i32.const 256))
        (loop $again
            (i64.store8 (local.get $at) (i64.add (i64.const 97) (i64.and (local.get $bits) (i64.const 15))))
            (local.set $bits (i64.shr_u (local.get $bits) (i64.const 4)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $at) (i32.const 272))))
        i32.const 16"
    );
    Guest::resolver(&body)
        .data(16, &answer(0, &[(256, 16)]))
        .build()
}

/// Guests whose answers hang on what machines do differently, or on much of what
/// a compiler changes.
fn guests() -> Vec<(&'static str, Vec<u8>)> {
    let bits = |float: &str| spells(&format!("(local.set $bits (i64.reinterpret_f64 {float}))"));
    let recursion = "(func $deep (param i32) (result i64)
        (if (i32.eqz (local.get 0)) (then (return (i64.const 0))))
        (i64.add (i64.const 3) (call $deep (i32.sub (local.get 0) (i32.const 1)))))";
    let deep = |depth: u32| {
        Guest::resolver(&format!(
            "(drop (call $deep (i32.const {depth}))) i32.const 16"
        ))
        .field(recursion)
        .data(16, &answer(0, &[(256, 3)]))
        .data(256, b"ada")
        .build()
    };
    vec![
        ("nan", bits("(f64.div (f64.const 0) (f64.const 0))")),
        ("nan of a root", bits("(f64.sqrt (f64.const -1))")),
        (
            "nan with a payload",
            bits("(f64.add (f64.const nan:0x4000000000001) (f64.const 1))"),
        ),
        (
            "nan of two",
            bits("(f64.mul (f64.const -nan:0x8000000000002) (f64.const nan:0x8000000000001))"),
        ),
        // x86 has an instruction for both in one, which rounds once.
        (
            "no fused multiplication",
            bits("(f64.sub (f64.mul (f64.const 0.1) (f64.const 10)) (f64.const 1))"),
        ),
        (
            "smallest",
            bits("(f64.min (f64.const 0) (f64.const -0))"),
        ),
        (
            "rounding",
            spells("(local.set $bits (i64.trunc_sat_f64_u (f64.nearest (f64.const 2.5))))"),
        ),
        (
            "a shift by more than there is",
            spells("(local.set $bits (i64.shl (i64.const 1) (i64.const 65)))"),
        ),
        (
            "lanes",
            spells(
                "(local.set $bits (i64x2.extract_lane 0 (f32x4.div (v128.const f32x4 0 1 -1 0) (v128.const f32x4 0 0 0 1))))",
            ),
        ),
        (
            "a loop that means nothing",
            spells(
                "(loop $again (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $again (i32.lt_u (local.get $n) (i32.const 100000))))",
            ),
        ),
        (
            "memory that grows",
            spells("(drop (memory.grow (i32.const 3))) (local.set $bits (i64.extend_i32_u (memory.size)))"),
        ),
        ("a division by nothing", spells("(local.set $bits (i64.div_u (i64.const 1) (local.get $bits)))")),
        ("outside its memory", spells("(local.set $bits (i64.load (i32.const 0x7fffffff)))")),
        ("a user", Guest::user("ada").build()),
        ("a denial", Guest::failure("denied", "Not today.").build()),
        (
            "an endless loop",
            Guest::resolver("(loop $again (br $again)) unreachable").build(),
        ),
        (
            "a log",
            Guest::resolver(
                "(loop $again (call $log (i32.const 1) (i32.const 256) (i32.const 3))
                    (br_if $again (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 70000))) (i32.const 1000000))))
                i32.const 16",
            )
            .data(16, &answer(0, &[(256, 3)]))
            .data(256, b"ada")
            .build(),
        ),
        ("recursion", deep(1000)),
        ("endless recursion", deep(u32::MAX)),
    ]
}

/// All that is to be the same of a call.
fn outcome<T: std::fmt::Debug>(result: Result<Answer<T>>) -> String {
    match result {
        Ok(Answer { value, cost, .. }) => format!(
            "{value:?}: {} fuel, {} bytes of memory, {} lines and {} bytes logged",
            cost.fuel, cost.memory_bytes, cost.log_lines, cost.log_bytes
        ),
        Err(error) => error.to_public(),
    }
}

#[tokio::test]
async fn other_machine_code_of_a_guest_answers_the_same() {
    let manifest = "[resolver]\ncomponent = \"x.wasm\"\n";
    let engines = engines();
    for (name, guest) in guests() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        write(directory.path(), manifest, &[("x.wasm", &guest)]);
        let mut outcomes = Vec::new();
        for (engine, compiled) in &engines {
            let release = load_into(compiled, directory.path()).await;
            let release = release.expect("the release loads");
            for _ in 0..2 {
                let result = release
                    .resolve_user(&request(), Strategy::Role, soon())
                    .await;
                outcomes.push((*engine, outcome(result)));
            }
        }
        let (_, first) = &outcomes[0];
        assert!(
            outcomes.iter().all(|(_, outcome)| outcome == first),
            "{name}: {outcomes:#?}"
        );
        // 0x7ff8000000000000, its lowest digit first.
        if name.starts_with("nan") {
            assert!(
                first.starts_with("\"aaaaaaaaaaaaipph\": "),
                "{name}: {first}"
            );
        }
    }
}

#[tokio::test]
async fn other_machine_code_of_our_plugins_answers_the_same() {
    let plugins = tools::target_directory().join("plugins");
    let mut outcomes = Vec::new();
    for (engine, compiled) in engines() {
        let release = load_into(&compiled, &plugins).await;
        let release = release.expect("`cargo xtask plugins` made them");
        let mut answers = Vec::new();
        for strategy in [Strategy::Role, Strategy::TemporaryUser] {
            let user = release.resolve_user(&request(), strategy, soon()).await;
            let user = user.expect("answers");
            for (target, _) in release.targets() {
                let request = request_of("2b1befa5-caf5-4ac3-8509-64732c15cb7d", target);
                let setup = release.setup(&request, strategy, &user.value, soon()).await;
                answers.push(outcome(setup));
            }
            answers.push(outcome(Ok(user)));
        }
        outcomes.push((engine, answers));
    }
    let (_, first) = &outcomes[0];
    assert!(first.iter().any(|answer| answer.contains("GrantRole")));
    assert!(
        outcomes.iter().all(|(_, answers)| answers == first),
        "{outcomes:#?}"
    );
}
