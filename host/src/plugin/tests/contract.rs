//! What goes in and what comes out, and everything that is no component of ours.

use super::guest::{Guest, answer};
use super::*;
use crate::name::{RoleName, RoleNameError};

#[tokio::test]
async fn an_honest_resolver_answers() {
    let answer = resolve(&Guest::user("ada").build(), "")
        .await
        .expect("answers");
    assert_eq!(answer.value, "ada");
    assert_eq!(answer.cost.memory_bytes, 2 << 16);
    assert_eq!(answer.cost.log_lines, 0);
}

#[tokio::test]
async fn an_honest_target_answers() {
    let answer = set_up(&Guest::roles(&["readonly", "more"]).build())
        .await
        .expect("answers");
    assert_eq!(
        answer.value,
        [
            Step::GrantRole("readonly".to_owned()),
            Step::GrantRole("more".to_owned())
        ]
    );
}

#[tokio::test]
async fn a_denial_is_the_requesters_to_read() {
    let denied = |message: &str| Guest::failure("denied", message).build();
    let error = assert_refused(
        resolve(&denied("Not on a `Friday`.\n"), "").await,
        Code::Denied,
        &[],
    );
    assert_eq!(error.message(), "Not on a 'Friday'.");
    let error = assert_refused(
        resolve(&denied(&"x".repeat(501)), "").await,
        Code::Denied,
        &[],
    );
    assert_eq!(error.message().chars().count(), 501, "500 and an ellipsis");
    assert_refused(
        resolve(&denied(" "), "").await,
        Code::Denied,
        &["gave no reason"],
    );
}

#[tokio::test]
async fn any_other_failure_is_the_operators() {
    let guest = Guest::failure("no-such-person", "ada@example.com isn't in the directory").build();
    let error = assert_refused(
        resolve(&guest, "").await,
        Code::PluginFailed,
        &["failure `no-such-person`"],
    );
    assert!(
        !error.message().contains("ada"),
        "the requester doesn't see it"
    );
    assert!(
        error
            .to_log()
            .contains("ada@example.com isn't in the directory"),
        "the log does"
    );
}

#[tokio::test]
async fn settings_arrive() {
    // The option's payload is the text that it answers with.
    let body = "(call $get (i32.const 256) (i32.const 6) (i32.const 32))
        (i32.store (i32.const 20) (i32.load (i32.const 36)))
        (i32.store (i32.const 24) (i32.load (i32.const 40)))
        i32.const 16";
    let guest = Guest::resolver(body).data(256, b"domain").build();
    for (value, expected) in [
        ("\"example.com\"", "example.com"),
        ("[1, \"b\", true]", "[1,\"b\",true]"),
        (
            "{ z = 1.5, a = 2026-01-31T00:00:00Z }",
            "{\"a\":\"2026-01-31T00:00:00Z\",\"z\":1.5}",
        ),
        ("\"\"", ""),
    ] {
        let manifest = format!(
            "[resolver]\ncomponent = \"x.wasm\"\n[resolver.config]\ndomain = {value}\nother = 1\n"
        );
        let release = load(&manifest, &[("x.wasm", &guest)])
            .await
            .expect("the release loads");
        let answer = release
            .resolve_user(&request(), Strategy::Role, soon())
            .await
            .expect("answers");
        assert_eq!(answer.value, expected);
    }
}

#[tokio::test]
async fn traps_are_told_apart() {
    let recursive = Guest::resolver("(call $run (local.get 0))");
    for (guest, code, how) in [
        (
            Guest::resolver("unreachable"),
            Code::PluginTrapped,
            "panicked",
        ),
        (recursive, Code::PluginStack, "called itself too deeply"),
        (
            Guest::resolver("(i32.load (i32.const -4))"),
            Code::PluginTrapped,
            "outside its memory",
        ),
        (
            Guest::resolver("(i32.div_u (i32.const 1) (i32.const 0))"),
            Code::PluginTrapped,
            "trapped",
        ),
    ] {
        let error = assert_refused(resolve(&guest.build(), "").await, code, &[how]);
        assert!(
            error.to_log().contains(", in "),
            "says where: {}",
            error.to_log()
        );
    }
}

// What an interpreter or a libc comes to where there is no clock, file or exit.
#[tokio::test]
async fn an_end_without_a_word_says_what_may_have_ended_it() {
    let guest = Guest::resolver("unreachable").build();
    let error = assert_refused(
        resolve(&guest, "").await,
        Code::PluginTrapped,
        &["panicked"],
    );
    let (told, hint) = (error.to_log(), "it ended itself without a word");
    assert!(told.contains(hint) && !told.contains("log says"), "{told}");
    assert!(!error.to_public().contains(hint), "{error}");
}

#[tokio::test]
async fn a_panic_is_told_in_the_plugins_words_and_to_the_operator_alone() {
    let words = "panicked at src/lib.rs:1:1: secret";
    let log = |level: u32| {
        format!(
            "(call $log (i32.const {level}) (i32.const 1024) (i32.const {}))",
            words.len()
        )
    };
    for (body, is_told) in [
        (format!("{} unreachable", log(3)), true),
        // Not an error; not its last words; no panic.
        (format!("{} unreachable", log(2)), false),
        (format!("{}{} unreachable", log(3), log(1)), false),
        (
            format!("{} (i32.div_u (i32.const 1) (i32.const 0))", log(3)),
            false,
        ),
    ] {
        let guest = Guest::resolver(&body).data(1024, words.as_bytes()).build();
        let code = match is_told {
            true => Code::PluginFailed,
            false => Code::PluginTrapped,
        };
        let error = assert_refused(resolve(&guest, "").await, code, &[]);
        assert!(!error.to_string().contains("secret"), "{error}");
        let told = format!("{words}: wasm");
        assert_eq!(
            error.to_log().contains(&told),
            is_told,
            "{body}: {}",
            error.to_log()
        );
    }
}

#[tokio::test]
async fn malformed_answers_are_contained() {
    for bytes in [
        answer(2, &[]),                            // There is no such case.
        answer(0, &[(0x7fff_0000, 8)]),            // Outside the memory.
        answer(0, &[(0, 0x7fff_ffff)]),            // Longer than the memory.
        answer(1, &[(256, 1), (0xffff_fff0, 64)]), // Wraps around.
    ] {
        assert_refused(
            resolve(&Guest::raw_answer(&bytes).build(), "").await,
            Code::PluginTrapped,
            &["malformed"],
        );
    }
    let not_utf8 = Guest::raw_answer(&answer(0, &[(256, 2)]))
        .data(256, &[0xc3, 0x28])
        .build();
    assert_refused(
        resolve(&not_utf8, "").await,
        Code::PluginTrapped,
        &["malformed"],
    );
    let astray = Guest::resolver("i32.const 2").build();
    assert_refused(
        resolve(&astray, "").await,
        Code::PluginTrapped,
        &["malformed"],
    );
}

#[tokio::test]
async fn a_name_with_a_nul_is_for_the_next_check_to_refuse() {
    let answer = resolve(&Guest::user("ada\0root").build(), "")
        .await
        .expect("answers");
    assert_eq!(
        RoleName::new(answer.value),
        Err(RoleNameError::ControlCharacter('\0'))
    );
}

#[tokio::test]
async fn what_is_no_component_is_refused_by_what_it_is() {
    let module = wat::parse_str("(module)").expect("is a module");
    let mut damaged = Guest::user("ada").build();
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0xff);
    let truncated = &Guest::user("ada").build()[..middle];
    for (bytes, why) in [
        (&module[..], "is a core module, expected a component"),
        (b"\x7fELF\x02\x01\x01", "is native code"),
        (b"(component)", "is no WebAssembly"),
        (b"", "is no WebAssembly"),
        (b"\0asm\x07\0\0\0", "is of another version"),
        (&damaged, "is no valid component"),
        (truncated, "is no valid component"),
    ] {
        assert_refused(
            resolve(bytes, "").await,
            Code::InvalidPlugin,
            &["`x.wasm`", why],
        );
    }
}

#[tokio::test]
async fn a_missing_export_is_named() {
    let target = Guest::roles(&["readonly"]).build();
    let named = [
        "exports `sym:postgres/target-setup@0.1.0`, expected `sym:postgres/resolver@0.1`",
        "`resolve-user: func(request: request) -> result<string, failure>`",
    ];
    assert_refused(resolve(&target, "").await, Code::InvalidPlugin, &named);
    assert_refused(
        set_up(&Guest::user("ada").build()).await,
        Code::InvalidPlugin,
        &["with `setup: func("],
    );

    let empty = wat::parse_str("(component)").expect("is a component");
    assert_refused(
        resolve(&empty, "").await,
        Code::InvalidPlugin,
        &["exports nothing, expected"],
    );

    let other = Guest::user("ada")
        .named("sym:postgres/resolver@0.1.0", "resolve")
        .build();
    let named = [
        "exports `sym:postgres/resolver@0.1.0` with `resolve`, expected",
        "with `resolve-user: ",
    ];
    assert_refused(resolve(&other, "").await, Code::InvalidPlugin, &named);

    let later = Guest::user("ada")
        .named("sym:postgres/resolver@0.2.0", "resolve-user")
        .build();
    assert_refused(
        resolve(&later, "").await,
        Code::InvalidPlugin,
        &["exports `sym:postgres/resolver@0.2.0`, expected"],
    );
}

#[tokio::test]
async fn a_later_version_of_the_same_contract_runs() {
    let later = Guest::user("ada")
        .named("sym:postgres/resolver@0.1.7", "resolve-user")
        .build();
    assert_eq!(resolve(&later, "").await.expect("answers").value, "ada");
}

#[tokio::test]
async fn a_wrong_type_is_told_in_words() {
    let two = Guest::user("ada")
        .typed(r#"(param "request" $request) (param "more" string) (result (result string (error $failure)))"#)
        .build();
    let named = [
        "exports `resolve-user` with 2 parameters (`request`, `more`), expected 1 parameter (`request`)",
    ];
    assert_refused(resolve(&two, "").await, Code::InvalidPlugin, &named);

    let text = Guest::user("ada")
        .typed(r#"(param "request" string) (result (result string (error $failure)))"#)
        .build_with("(param i32 i32) (result i32)");
    let named = [
        "exports `resolve-user: func(request: string) -> result<string, record {code, message}>`, expected",
    ];
    assert_refused(resolve(&text, "").await, Code::InvalidPlugin, &named);

    let plain = Guest::user("ada")
        .typed(r#"(param "request" $request) (result string)"#)
        .build();
    assert_refused(
        resolve(&plain, "").await,
        Code::InvalidPlugin,
        &["-> string`, expected"],
    );
}

#[tokio::test]
async fn imports_are_refused_with_what_is_allowed() {
    let import = |name: &str| {
        Guest::user("ada")
            .import(&format!("(import \"{name}\" (instance))"))
            .build()
    };
    for name in [
        "wasi:sockets/tcp@0.2.6",
        "wasi:http/types@0.2.6",
        "wasi:cli/stdout@0.3.0",
        "sym:postgres/log@0.2.0",
        "x",
    ] {
        // A plain name may not be an instance's without an interface; any will do.
        let named = [
            &*format!("imports `{name}`, which this host gives to no plugin"),
            "`sym:postgres/log@0.1`",
        ];
        let component = import(name);
        assert_refused(resolve(&component, "").await, Code::InvalidPlugin, &named);
        assert_refused(
            resolve_with_wasi(&component).await,
            Code::InvalidPlugin,
            &[named[0], "of WASI 0.2"],
        );
    }
    let wasi = import("wasi:cli/environment@0.2.6");
    let named = [
        "imports WASI (`wasi:cli/environment@0.2.6`)",
        "wasi = true",
        "wasm32-unknown-unknown",
    ];
    assert_refused(resolve(&wasi, "").await, Code::InvalidPlugin, &named);
    assert_eq!(
        resolve_with_wasi(&wasi).await.expect("answers").value,
        "ada"
    );
}

#[tokio::test]
async fn an_import_of_another_form_is_refused() {
    let import = r#"(import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result string)))))"#;
    let guest = Guest::user("ada").import(import).build();
    assert_refused(
        resolve_with_wasi(&guest).await,
        Code::InvalidPlugin,
        &["imports what this host has in another form"],
    );
}

async fn resolve_with_wasi(component: &[u8]) -> Result<Answer<String>> {
    resolve_run_with_wasi(component, "2b1befa5-caf5-4ac3-8509-64732c15cb7d").await
}

async fn resolve_run_with_wasi(component: &[u8], run: &str) -> Result<Answer<String>> {
    let manifest = "[resolver]\ncomponent = \"x.wasm\"\nwasi = true\n";
    let release = load(manifest, &[("x.wasm", component)])
        .await
        .expect("the release loads");
    release
        .resolve_user(&request_of(run, "readonly"), Strategy::Role, soon())
        .await
}

// A guest that asks WASI for a number, and answers with a letter for each four
// bits of it.
const SPELL: &str = "
    (local $value i64) (local $at i32)
    (local.set $value (call $number))
    (local.set $at (i32.const 256))
    (loop $again
        (i64.store8 (local.get $at) (i64.add (i64.const 97) (i64.and (local.get $value) (i64.const 15))))
        (local.set $value (i64.shr_u (local.get $value) (i64.const 4)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $at) (i32.const 272))))
    i32.const 16";

fn spells(import: &str, function: &str) -> Vec<u8> {
    let import = format!(
        r#"(import "{import}" (instance $wasi (export "{function}" (func (result u64)))))
           (core func $number (canon lower (func $wasi "{function}")))"#
    );
    Guest::resolver(SPELL)
        .numbered()
        .import(&import)
        .data(16, &answer(0, &[(256, 16)]))
        .build()
}

#[tokio::test]
async fn randomness_hangs_on_the_run_alone() {
    for (import, function) in [
        ("wasi:random/random@0.2.6", "get-random-u64"),
        ("wasi:random/insecure@0.2.0", "get-insecure-random-u64"),
    ] {
        let guest = spells(import, function);
        let first = resolve_run_with_wasi(&guest, "a").await.expect("answers");
        let again = resolve_run_with_wasi(&guest, "a").await.expect("answers");
        let other = resolve_run_with_wasi(&guest, "b").await.expect("answers");
        assert_eq!(
            (&first.value, first.cost.fuel),
            (&again.value, again.cost.fuel)
        );
        assert_ne!(first.value, other.value);
    }
}

#[tokio::test]
async fn the_monotonic_clock_stands_still() {
    let answer = resolve_with_wasi(&spells("wasi:clocks/monotonic-clock@0.2.6", "now"))
        .await
        .expect("answers");
    assert_eq!(answer.value, "aaaaaaaaaaaaaaaa");
}
