//! Each limit, at its value and one past it.

use super::guest::{Guest, answer};
use super::*;

const ENDLESS: &str = "(loop $again (br $again)) unreachable";

#[tokio::test]
async fn an_endless_loop_runs_out_of_fuel() {
    let result = resolve(&Guest::resolver(ENDLESS).build(), "").await;
    let named = [
        "plugin `resolver` (sha256 ",
        "used up its fuel",
        "`fuel` is 50000000",
        "[resolver.limits]",
    ];
    assert_refused(result, Code::PluginFuel, &named);
}

#[tokio::test]
async fn an_endless_start_runs_out_of_fuel_too() {
    let guest = Guest::user("ada").field(&format!("(func $endless {ENDLESS}) (start $endless)"));
    assert_refused(resolve(&guest.build(), "").await, Code::PluginFuel, &[]);
}

#[tokio::test]
async fn fuel_is_exact() {
    let guest = Guest::user("ada").build();
    let fuel = resolve(&guest, "").await.expect("answers").cost.fuel;
    assert!(fuel > 0);
    assert_eq!(
        resolve(&guest, &format!("fuel = {fuel}"))
            .await
            .expect("answers")
            .cost
            .fuel,
        fuel
    );
    assert_refused(
        resolve(&guest, &format!("fuel = {}", fuel - 1)).await,
        Code::PluginFuel,
        &[],
    );
}

#[tokio::test]
async fn much_fuel_does_not_outlast_the_wall_time() {
    let limits = "fuel = 1_000_000_000_000\nwall_milliseconds = 50";
    let begun = Instant::now();
    let result = resolve(&Guest::resolver(ENDLESS).build(), limits).await;
    assert_refused(
        result,
        Code::PluginTime,
        &["took too long", "`wall_milliseconds` is 50"],
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn the_event_may_end_before_the_wall_time() {
    let guest = Guest::resolver(ENDLESS).build();
    let manifest =
        "[resolver]\ncomponent = \"x.wasm\"\n[resolver.limits]\nfuel = 1_000_000_000_000\n";
    let release = load(manifest, &[("x.wasm", &guest)])
        .await
        .expect("the release loads");
    release.check_all().await.expect("is valid");
    let deadline = Instant::now() + Duration::from_millis(50);
    let result = release
        .resolve_user(&request(), Strategy::Role, deadline)
        .await;
    assert_refused(result, Code::OutOfTime, &["still running"]);
}

// Globals are set by the host: that takes no fuel, so no timer fires.
#[tokio::test]
async fn a_start_without_fuel_does_not_outlast_the_wall_time() {
    let globals = "(global i32 (i32.const 1))".repeat(50_000);
    let instances = "(core instance (instantiate $globals))".repeat(2);
    let guest = Guest::user("ada").import(&format!("(core module $globals {globals}) {instances}"));
    let manifest = "[resolver]\ncomponent = \"x.wasm\"\n[resolver.limits]\nwall_milliseconds = 1\n";
    let release = load(manifest, &[("x.wasm", &guest.build())]).await;
    let release = release.expect("the release loads");
    release.check_all().await.expect("is valid");
    for _ in 0..2 {
        let result = release
            .resolve_user(&request(), Strategy::Role, soon())
            .await;
        assert_refused(result, Code::PluginTime, &["`wall_milliseconds` is 1"]);
        let resolver = release.resolver.as_ref().expect("has one");
        assert!(resolver.start_ahead().is_none());
    }
}

// Globals are in no memory that a limit counts.
#[tokio::test]
async fn globals_do_not_take_memory_past_the_limit() {
    let bomb = format!(
        "(core module $bomb {}) {}",
        "(global i32 (i32.const 1))".repeat(50_000),
        "(core instance (instantiate $bomb))".repeat(90)
    );
    let guest = Guest::user("ada").import(&bomb).build();
    let named = [
        "plugin `resolver` (sha256 ",
        "`x.wasm`, has more than 150000",
        "entries (functions, globals, imports and exports) in its instances",
    ];
    assert_refused(resolve(&guest, "").await, Code::InvalidPlugin, &named);
    #[cfg(feature = "all-targets")]
    assert_refused(
        crate::plugin::package::precompile(&guest, crate::plugin::package::TARGETS[0]),
        Code::InvalidPlugin,
        &named[2..],
    );
}

/// Grows by so many pages and answers.
fn grows(pages: u32) -> Vec<u8> {
    Guest::resolver(&format!(
        "(drop (memory.grow (i32.const {pages}))) i32.const 16"
    ))
    .data(16, &answer(0, &[(256, 3)]))
    .data(256, b"ada")
    .build()
}

#[tokio::test]
async fn memory_counts_from_the_first_page_to_the_last() {
    // Two pages to begin with.
    let limit = format!("memory_bytes = {}", 5 << 16);
    let answer = resolve(&grows(3), &limit).await.expect("fits exactly");
    assert_eq!(answer.cost.memory_bytes, 5 << 16);
    assert_refused(
        resolve(&grows(4), &limit).await,
        Code::PluginMemory,
        &["too much memory", "`memory_bytes` is 327680"],
    );
    // More than there can be isn't even tried.
    assert_refused(resolve(&grows(65_000), "").await, Code::PluginMemory, &[]);
}

// It fails as its module says, so nothing was taken.
#[tokio::test]
async fn what_the_module_itself_forbids_is_not_counted() {
    let more = "(core module $more (memory $m 1 2) (table $t 1 2 funcref)
        (func $grow (drop (memory.grow $m (i32.const 900)))
            (drop (table.grow $t (ref.null func) (i32.const 90000))))
        (func $start (call $grow) (call $grow)) (start $start)) (core instance (instantiate $more))";
    let guest = Guest::user("ada").import(more).build();
    let answer = resolve(&guest, "").await.expect("answers");
    assert_eq!(answer.cost.memory_bytes, 3 << 16);
}

#[tokio::test]
async fn a_memory_that_begins_too_large_is_the_same() {
    let guest = Guest::user("ada").pages(3).build();
    assert_refused(
        resolve(&guest, "memory_bytes = 196607").await,
        Code::PluginMemory,
        &["`memory_bytes` is 196607"],
    );
    resolve(&guest, "memory_bytes = 196608")
        .await
        .expect("fits exactly");
}

#[tokio::test]
async fn several_memories_do_not_get_several_shares() {
    let more = "(core module $more (memory 3)) (core instance (instantiate $more)) (core instance (instantiate $more))";
    let guest = Guest::user("ada").import(more).build();
    let answer = resolve(&guest, &format!("memory_bytes = {}", 8 << 16))
        .await
        .expect("fits exactly");
    assert_eq!(answer.cost.memory_bytes, 8 << 16);
    assert_refused(
        resolve(&guest, &format!("memory_bytes = {}", (8 << 16) - 1)).await,
        Code::PluginMemory,
        &[],
    );
}

#[tokio::test]
async fn tables_count_too() {
    let guest = |elements: u32| {
        let grow =
            format!("(drop (table.grow $t (ref.null func) (i32.const {elements}))) i32.const 16");
        Guest::resolver(&grow)
            .field("(table $t 10 funcref)")
            .data(16, &answer(0, &[(256, 3)]))
            .data(256, b"ada")
            .build()
    };
    resolve(&guest(90), "table_elements = 100")
        .await
        .expect("fits exactly");
    let named = ["too large a table", "`table_elements` is 100"];
    assert_refused(
        resolve(&guest(91), "table_elements = 100").await,
        Code::PluginMemory,
        &named,
    );
}

// This is where an update of wasmtime that words its errors otherwise shows: the
// code would be `plugin-trapped`.
#[tokio::test]
async fn instances_tables_and_memories_are_counted() {
    let more =
        "(core module $more (memory 0) (table 0 funcref)) (core instance (instantiate $more))";
    let guest = Guest::user("ada")
        .import(more)
        .field("(table 0 funcref)")
        .build();
    resolve(&guest, "instances = 3\ntables = 2\nmemories = 2")
        .await
        .expect("fits exactly");
    for (limits, named) in [
        (
            "instances = 2",
            "too many core instances, its limit `instances` is 2",
        ),
        ("tables = 1", "too many tables, its limit `tables` is 1"),
        (
            "memories = 1",
            "too many memories, its limit `memories` is 1",
        ),
    ] {
        assert_refused(resolve(&guest, limits).await, Code::PluginMemory, &[named]);
    }
}

// The same holds here.
#[tokio::test]
async fn what_it_returns_has_a_limit() {
    // A million zero bytes are valid text. Below them is the request.
    let guest = |length: usize| {
        Guest::raw_answer(&answer(0, &[(131_072, length)]))
            .pages(40)
            .build()
    };
    let answer = resolve(&guest(1 << 20), "").await.expect("fits exactly");
    assert_eq!(answer.value.len(), 1 << 20);
    let named = [
        "returned or passed too much data",
        "`output_bytes` is 1048576",
    ];
    assert_refused(
        resolve(&guest((1 << 20) + 1), "").await,
        Code::PluginOutput,
        &named,
    );
}

/// Logs a line of so many bytes, so many times.
fn logs(lines: u32, bytes: u32) -> Vec<u8> {
    let body = format!(
        "(local $left i32) (local.set $left (i32.const {lines}))
         (loop $again
            (call $log (i32.const 1) (i32.const 1024) (i32.const {bytes}))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
         i32.const 16"
    );
    Guest::resolver(&body)
        .data(16, &answer(0, &[(256, 3)]))
        .data(256, b"ada")
        .pages(40)
        .build()
}

#[tokio::test]
async fn the_log_has_limits() {
    let answer = resolve(&logs(100, 10), "").await.expect("fits exactly");
    assert_eq!((answer.cost.log_lines, answer.cost.log_bytes), (100, 1000));
    let named = ["logged too many lines", "`log_lines` is 100"];
    assert_refused(resolve(&logs(101, 10), "").await, Code::PluginLog, &named);

    resolve(&logs(1, 16_384), "").await.expect("fits exactly");
    let named = ["logged too much", "`log_bytes` is 16384"];
    assert_refused(resolve(&logs(1, 16_385), "").await, Code::PluginLog, &named);

    // So long a line isn't even copied.
    assert_refused(
        resolve(&logs(1, (1 << 20) + 1), "").await,
        Code::PluginOutput,
        &[],
    );
}

/// What a target answers that asks for these steps.
async fn asks(steps: &[Step], limits: &str) -> Result<Answer<Vec<Step>>> {
    let manifest = format!(
        "[resolver]\ncomponent = \"x.wasm\"\n[targets.readonly]\ncomponent = \"x.wasm\"\n[targets.readonly.limits]\n{limits}"
    );
    let release = load(&manifest, &[("x.wasm", &Guest::steps(steps).build())])
        .await
        .expect("the release loads");
    release
        .setup(&request(), Strategy::TemporaryUser, "ada", soon())
        .await
}

#[tokio::test]
async fn plans_have_limits() {
    let role = |bytes: usize| Step::GrantRole("r".repeat(bytes));
    let sql = |bytes: usize| {
        Step::Sql(Statement {
            sql: "x".repeat(bytes),
            args: Vec::new(),
        })
    };
    for (limits, fits, passes, named) in [
        (
            "",
            vec![role(1); 50],
            vec![role(1); 51],
            "asked for too many steps, its limit `steps` is 50",
        ),
        (
            "steps = 2",
            vec![sql(1), role(9)],
            vec![sql(1), role(9), sql(1)],
            "its limit `steps` is 2",
        ),
        (
            "",
            vec![sql(1 << 14)],
            vec![sql((1 << 14) + 1)],
            "returned too long a statement, its limit `sql_bytes` is 16384",
        ),
        (
            "sql_bytes = 5",
            vec![sql(5), role(9)],
            vec![sql(5), sql(6)],
            "its limit `sql_bytes` is 5",
        ),
    ] {
        assert_eq!(asks(&fits, limits).await.expect("fits exactly").value, fits);
        let named = [
            "plugin `targets.readonly` (sha256 ",
            named,
            "`[targets.readonly.limits]`",
        ];
        assert_refused(asks(&passes, limits).await, Code::PluginOutput, &named);
    }
}

#[tokio::test]
async fn a_component_has_a_limit() {
    let guest = Guest::user("ada").build();
    let load = async |most: usize| {
        let manifest = format!(
            "[resolver]\ncomponent = \"x.wasm\"\n[resolver.limits]\ncomponent_bytes = {most}\n"
        );
        load(&manifest, &[("x.wasm", &guest)]).await
    };
    load(guest.len()).await.expect("fits exactly");
    let limit = format!("its limit `component_bytes` is {}", guest.len() - 1);
    let named = ["plugin `resolver` (sha256 ", "is too large", limit.as_str()];
    assert_refused(load(guest.len() - 1).await, Code::InvalidPlugin, &named);
}

// How many bytes a frame has is the compiler's: so the depth that just fits is
// looked for, and the one past it is the limit's.
#[tokio::test]
async fn the_stack_is_the_operators() {
    let answers = async |depth: u32, stack_bytes: usize| {
        let recursion = "(func $deep (param i32) (result i64)
            (if (result i64) (i32.eqz (local.get 0)) (then (i64.const 1)) (else
                (i64.add (i64.const 3) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))";
        let guest = Guest::resolver(&format!(
            "(drop (call $deep (i32.const {depth}))) i32.const 16"
        ))
        .field(recursion)
        .data(16, &answer(0, &[(256, 3)]))
        .data(256, b"ada")
        .build();
        let directory = tempfile::tempdir().expect("a directory can be made");
        write(
            directory.path(),
            "[resolver]\ncomponent = \"x.wasm\"\n",
            &[("x.wasm", &guest)],
        );
        let engine = Engine::with_stack(stack_bytes).expect("the engine starts");
        let release = load_into(&engine, directory.path()).await.expect("loads");
        release
            .resolve_user(&request(), Strategy::Role, soon())
            .await
    };
    const SMALL: usize = 64 << 10;
    let (mut fits, mut too_deep) = (1, 1 << 20);
    while too_deep - fits > 1 {
        let middle = fits + (too_deep - fits) / 2;
        match answers(middle, SMALL).await {
            Ok(_) => fits = middle,
            Err(_) => too_deep = middle,
        }
    }
    assert!(fits > 100, "{fits}");
    let named = [
        "plugin `resolver` (sha256 ",
        "called itself too deeply, the limit `PLUGIN_STACK_BYTES` is 65536 bytes",
    ];
    assert_refused(answers(too_deep, SMALL).await, Code::PluginStack, &named);
    answers(too_deep, 2 * SMALL)
        .await
        .expect("a larger stack has room for it");
    // Of the usual stack, eight times the depth is well within.
    answers(7 * fits, STACK_BYTES).await.expect("fits");
}

#[tokio::test]
async fn a_plugin_that_broke_is_whole_at_the_next_event() {
    let guest = Guest::resolver("unreachable").build();
    let manifest = "[resolver]\ncomponent = \"x.wasm\"\n[targets.t]\n";
    let release = load(manifest, &[("x.wasm", &guest)])
        .await
        .expect("the release loads");
    for _ in 0..3 {
        let result = release
            .resolve_user(&request(), Strategy::Role, soon())
            .await;
        assert_refused(result, Code::PluginTrapped, &["panicked"]);
    }
}

#[tokio::test]
async fn the_same_request_takes_the_same_fuel() {
    let guest = logs(10, 100);
    let first = resolve(&guest, "").await.expect("answers");
    let second = resolve(&guest, "").await.expect("answers");
    assert_eq!(first.cost.fuel, second.cost.fuel);
}
