//! What a component may have: each limit, and one past it.

use super::*;

fn checked(text: &str) -> String {
    let bytes = wat::parse_str(text).expect("is WebAssembly");
    check(&bytes).map_or_else(|refusal| refusal.to_string(), |()| "fits".to_owned())
}

fn of_module(fields: &str) -> String {
    checked(&format!("(component (core module {fields}))"))
}

#[track_caller]
fn fits_up_to(most: u64, checked: impl Fn(u64) -> String, refusal: &str) {
    assert_eq!(checked(most), "fits");
    let refused = checked(most + 1);
    assert!(refused.contains(refusal), "{refused}");
}

fn times(text: &str, count: u64) -> String {
    text.repeat(count as usize)
}

#[test]
fn what_the_compiler_makes_functions_of_is_counted() {
    fits_up_to(
        MAX_FUNCTIONS,
        |count| of_module(&times("(func)", count)),
        "has 60001 functions, at most 60000 are allowed",
    );
    // All modules have them together.
    let module = format!("(core module {})", times("(func)", MAX_FUNCTIONS / 2 + 1));
    let refused = checked(&format!("(component {module} (component {module}))"));
    assert!(refused.starts_with("has 60002 functions"), "{refused}");
    // The length of the body has no locals, and its own end.
    fits_up_to(
        MAX_BODY_BYTES - 2,
        |count| of_module(&format!("(func {})", times("nop ", count))),
        "has 1048577 bytes in one function",
    );
}

#[test]
fn variables_are_counted_by_the_blocks_of_their_function() {
    let refusal = "has a function with ";
    // Function, 16383 blocks, and their variables.
    let blocks = times("block end ", (1 << 14) - 1);
    for own in [0, 100, 128] {
        fits_up_to(
            128 - own,
            |count| {
                let (parameters, locals) = (times(" i32", own), times(" i32", count));
                of_module(&format!(
                    "(import \"a\" \"f\" (func)) (func (param{parameters}) (local{locals}) {blocks})"
                ))
            },
            "has a function with 129 variables (parameters, locals and results of blocks) in 16384 blocks",
        );
    }
    fits_up_to(
        1447,
        |count| {
            of_module(&format!(
                "(func {})",
                times("block (result i32) end ", count)
            ))
        },
        refusal,
    );
    fits_up_to(
        835,
        |count| of_module(&format!("(func {})", times("if (result i32) end ", count))),
        refusal,
    );
    fits_up_to(
        34,
        |count| {
            let (values, loops) = (times(" i32", count), times("loop (type 0) end ", 100));
            of_module(&format!(
                "(type (func (param{values}) (result{values}))) (func {loops})"
            ))
        },
        refusal,
    );
}

/// A module whose functions take as much as may be, less `MARGIN`.
fn dear(functions: u64, operators: &str) -> String {
    let wide = times(" i32", 1000);
    let calls = times("call $wide ", 697);
    let others = times(&format!("(func {calls})"), functions - 1);
    format!(
        "(type $none (func)) (type $some (func (param i32 i32 i32) (result i32 i32))) \
         (type $wide (func (param{wide}) (result{wide}))) (import \"a\" \"f\" (func (type $none))) \
         (import \"a\" \"g\" (func $some (type $some))) (import \"a\" \"h\" (func $wide (type $wide))) \
         (memory 1) (table 1 funcref) {others} (func {calls} {operators})"
    )
}

/// What each of 697 calls of [`dear`] takes.
const WIDE: u64 = 2_500 + 2_000 * 500;
const MARGIN: u64 = MAX_COST - 697 * WIDE;

#[test]
fn what_operators_take_is_counted() {
    for (operator, cost) in [
        ("local.get 0 ", 100),
        ("i32.load offset=33554431 ", 400),
        ("i32.add ", 1_500),
        ("call 0 ", 2_500),
        ("call $some ", 2_500 + 5 * 500),
        ("memory.copy ", 5_000),
        ("br_if 0 ", 6_500),
        ("br_table 0 0 0 ", 6_500 + 2 * 1_000),
        ("loop end ", 11_000),
        ("i32.load offset=33554432 ", 23_000),
        ("f64.add ", 23_000),
        ("i32.rotl ", 23_000),
        ("i8x16.popcnt ", 23_000),
        ("table.copy ", 23_000),
        ("call_indirect (type $some) ", 23_000 + 5 * 500),
    ] {
        fits_up_to(
            MARGIN / cost,
            |count| of_module(&dear(1, &times(operator, count))),
            "bytes of memory to compile, at most 700000000 are allowed: divide it",
        );
    }
    // 22 functions, and as much of one more as is left.
    let all = 22 * 697 * WIDE;
    fits_up_to(
        (MAX_TOTAL_COST - all) / WIDE,
        |count| {
            of_module(&format!(
                "{} (func {})",
                dear(22, ""),
                times("call $wide ", count)
            ))
        },
        "bytes of memory to compile, added up, at most 16000000000 are allowed",
    );
}

#[test]
fn modules_types_and_their_depth_are_counted() {
    // The component itself is one.
    fits_up_to(
        MAX_PARTS - 1,
        |count| checked(&format!("(component {})", times("(core module)", count))),
        "has 1001 core modules and components, at most 1000 are allowed",
    );
    fits_up_to(
        MAX_DEPTH as u64,
        |count| {
            checked(&format!(
                "{}{}",
                times("(component ", count),
                times(")", count)
            ))
        },
        "has more than 20 components within one another",
    );
    fits_up_to(
        MAX_TYPES,
        |count| of_module(&times("(type (func))", count)),
        "has 10001 types in its core modules, at most 10000 are allowed",
    );
    let module = format!(
        "(core module {})",
        times("(type (func))", MAX_TYPES / 2 + 1)
    );
    let refused = checked(&format!("(component {module} {module})"));
    assert!(refused.starts_with("has 10002 types"), "{refused}");
}

/// A memory whose image is almost as large as one with a hole may be.
fn with_image(memory: u64) -> String {
    format!(
        "(memory 256) (data (memory {memory}) (i32.const 1) \"a\") \
         (data (memory {memory}) (i32.const 16777215) \"a\")"
    )
}

#[test]
fn images_and_tables_are_counted() {
    let most = MAX_IMAGE_BYTES / IMAGE_BYTES;
    fits_up_to(
        most,
        |count| {
            let module = format!("(core module {})", with_image(0));
            checked(&format!("(component {})", times(&module, count)))
        },
        "has 83886080 bytes in the images of its memories, from the first of its data to the last, at most 67108864",
    );
    // Each memory has its own.
    fits_up_to(
        most,
        |count| of_module(&(0..count).map(with_image).collect::<String>()),
        "bytes in the images",
    );
    // Whole pages.
    let small = format!(
        "(core module {})",
        times("(memory 1)", 100)
            + &(0..100)
                .map(|memory| format!("(data (memory {memory}) (i32.const 9) \"a\")"))
                .collect::<String>()
    );
    let refused = checked(&format!("(component {})", times(&small, 16)));
    assert!(refused.contains("bytes in the images"), "{refused}");

    let table = |size, element| {
        format!(
            "(core module (func $f) (table {size} funcref) (elem (i32.const {element}) func $f))"
        )
    };
    let refusal = "elements in its tables, up to the last that is set, at most 1000000";
    fits_up_to(
        MAX_TABLE_ELEMENTS - 1,
        |last| {
            checked(&format!(
                "(component {})",
                table(MAX_TABLE_ELEMENTS + 1, last)
            ))
        },
        refusal,
    );
    // Each has its own, and all count.
    let half = table(MAX_TABLE_ELEMENTS, MAX_TABLE_ELEMENTS / 2);
    let refused = checked(&format!("(component {half} {half})"));
    assert!(refused.contains(refusal), "{refused}");
    let two = "(table 600000 funcref) (elem (table 0) (i32.const 599999) func $f) \
               (table 600000 funcref) (elem (table 1) (i32.const 599999) func $f) (func $f)";
    assert!(of_module(two).contains(refusal), "{}", of_module(two));
    // It is not known when compiling.
    let far = table(2 << 20, 1 << 20);
    assert_eq!(checked(&format!("(component {far})")), "fits");
}

/// Peak of what this process has of memory, in bytes, since it was set back.
#[cfg(all(target_os = "linux", feature = "compiler"))]
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("is Linux");
    let peak = status.split("VmHWM:").nth(1).expect("is there");
    let kilobytes = peak.split_whitespace().next().expect("is a number");
    kilobytes.parse::<u64>().expect("is a number") << 10
}

// Minutes, and a gigabyte of memory: not among the others. Each is compiled in a
// process of its own, as what one gives back may stay with its process.
#[test]
#[ignore = "measures"]
#[allow(clippy::print_stdout, reason = "it is for who measures")]
#[cfg(all(target_os = "linux", feature = "compiler"))]
fn what_compiling_takes_at_the_limits() {
    const CASE: &str = "SYM_TEST_EXTENT";
    let in_one = |operators: &str, count: u64| {
        format!(
            "(core module (type $wide (func (param{wide}) (result{wide}))) \
             (func $f) (func $wide (type $wide) unreachable) (memory 1) (table 1 funcref) \
             (func (local i32) {}))",
            times(operators, count),
            wide = times(" i32", 100),
        )
    };
    let modules = |count: u64, fields: &str| times(&format!("(core module {fields})"), count);
    let types: String = (0..MAX_TYPES)
        .map(|number| {
            let parameters: String = (0..14)
                .map(|bit| {
                    if number >> bit & 1 == 0 {
                        " i32"
                    } else {
                        " i64"
                    }
                })
                .collect();
            format!("(type (func (param{parameters})))")
        })
        .collect();
    let wide_calls = format!(
        "{} {} {}",
        times("i32.const 0 ", 100),
        times("call $wide ", MAX_COST / 102_500 - 1),
        times("drop ", 100),
    );
    let table = "(func $f) (table 100000 funcref) (elem (i32.const 99999) func $f)";
    let cases = [
        ("nothing", String::new()),
        ("functions", modules(1, &times("(func)", MAX_FUNCTIONS))),
        ("calls", in_one("call $f ", MAX_COST / 2_500)),
        ("calls with 200 values", in_one(&wide_calls, 1)),
        (
            "a third of the calls by a table",
            in_one("i32.const 0 call_indirect ", MAX_COST / 23_100 / 3),
        ),
        (
            "a third of the ifs",
            in_one("local.get 0 if end ", MAX_COST / 6_600 / 3),
        ),
        (
            "copies of memory",
            in_one("local.get 0 local.get 0 local.get 0 memory.copy ", 100_000),
        ),
        (
            "variables",
            in_one("block (result i32) i32.const 0 end drop ", 1446),
        ),
        (
            "images",
            modules(MAX_IMAGE_BYTES / IMAGE_BYTES, &with_image(0)),
        ),
        ("elements of tables", modules(10, table)),
        ("types", modules(1, &types)),
        ("modules", modules(MAX_PARTS - 1, "")),
    ];
    let Ok(case) = std::env::var(CASE) else {
        for (case, _) in cases {
            let output = std::process::Command::new(std::env::current_exe().expect("is there"))
                .args([
                    "--ignored",
                    "--nocapture",
                    "what_compiling_takes_at_the_limits",
                ])
                .env(CASE, case)
                .output()
                .expect("runs");
            assert!(output.status.success(), "{output:?}");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            println!(
                "{}",
                text.lines()
                    .find(|line| line.contains(" MB "))
                    .expect("tells")
            );
        }
        return;
    };
    let (what, fields) = cases
        .iter()
        .find(|(what, _)| *what == case)
        .expect("is one");
    let text = format!("(component {fields})");
    let bytes = wat::parse_str(&text).expect("is WebAssembly");
    check(&bytes).expect("is at the limit");
    drop(text);
    std::fs::write("/proc/self/clear_refs", "5").expect("is Linux");
    let start = std::time::Instant::now();
    let engine = crate::plugin::engine::Engine::new().expect("starts");
    let component = wasmtime::component::Component::from_binary(engine.wasmtime(), &bytes);
    component.expect("compiles");
    println!(
        "{what}: {} MB in {:.1} s",
        peak_bytes() / 1_000_000,
        start.elapsed().as_secs_f64()
    );
}

#[test]
fn what_an_instance_is_started_with_is_counted() {
    // The segment's offset is one.
    let table = "(table 1 funcref) (func $f)";
    for (kind, items, own) in [
        ("(i32.const 0) func", "$f ", 1),
        ("func", "$f ", 0),
        ("(i32.const 0) funcref", "(ref.func $f) ", 1),
    ] {
        fits_up_to(
            MAX_INITIALIZERS - own,
            |count| of_module(&format!("{table} (elem {kind} {})", times(items, count))),
            "initializers (elements, globals and data) in one core module",
        );
    }
    fits_up_to(
        MAX_INITIALIZERS / 2,
        |count| of_module(&times("(global i32 i32.const 1)", 2 * count)),
        "has 60002 initializers",
    );
    let sum = times(" i32.const 1 i32.add", MAX_INITIALIZERS);
    let refused = of_module(&format!("(global i32 i32.const 1{sum})"));
    assert!(refused.starts_with("has 120001 initializers"), "{refused}");
}

#[test]
fn data_counts_where_it_is_in_no_image() {
    let segments = times("(data (i32.const 9) \"a\")", MAX_INITIALIZERS / 3 + 1);
    assert_eq!(of_module(&format!("(memory 1) {segments}")), "fits");
    let far = "(data (i32.const 20000000) \"a\")";
    for module in [
        "(import \"a\" \"m\" (memory 1))".to_owned(),
        "(import \"a\" \"g\" (global $g i32)) (memory 1) (data (global.get $g) \"a\")".to_owned(),
        // The image would have a large hole.
        format!("(memory 1000) {far}"),
        // It doesn't fit.
        format!("(memory 1) {far}"),
    ] {
        let refused = of_module(&format!("{module} {segments}"));
        assert!(refused.contains(" initializers"), "{module}: {refused}");
    }
}

#[test]
fn each_instance_counts_again_however_it_comes_about() {
    let module = format!(
        "(core module $m {})",
        times("(global i32 i32.const 1)", 999)
    );
    let all = |count| times("(core instance (instantiate $m))", count);
    fits_up_to(
        MAX_ENTRIES / 1000,
        |count| checked(&format!("(component {module} {})", all(count))),
        "has 151000 entries (functions, globals, imports and exports) in its instances",
    );
    // Ten of a component with ten of a component with two.
    let ten = times("(instance (instantiate $c))", 10);
    let two = format!(
        "(component $c (alias outer $o $m (core module $m)) {})",
        all(2)
    );
    let nested = format!("(component $o {module} (component $c {two} {ten}) {ten})");
    assert!(
        checked(&nested).contains(" entries "),
        "{}",
        checked(&nested)
    );
    // What is exported can be instantiated by another number.
    let exported = format!(
        "(component {module} (export $e \"m\" (core module $m)) {})",
        times("(core instance (instantiate $e))", 151)
    );
    assert!(checked(&exported).contains(" entries "));
    // Nothing in them, but a billion of them.
    let thousand = times("(instance (instantiate $c))", 1000);
    let mut empty = String::new();
    for _ in 0..3 {
        empty = format!(
            "(component $c {empty} {})",
            if empty.is_empty() { "" } else { &thousand }
        );
    }
    assert!(checked(&format!("(component {empty} {thousand})")).contains(" entries "));
}

#[test]
fn what_cannot_be_counted_is_refused() {
    for text in [
        "(component (component (import \"m\" (core module)) (core instance (instantiate 0))))",
        "(component (component (import \"c\" (component))))",
        "(component (component $c (core module $m) (export \"m\" (core module $m)))
            (instance $i (instantiate $c)) (alias export $i \"m\" (core module $m)))",
    ] {
        let refused = checked(text);
        assert!(refused.starts_with("hands a core module"), "{refused}");
    }
    let refused = check(b"\0asm\x0d\0\x01\0\x01\x05").expect_err("is cut off");
    assert!(refused.to_string().starts_with("is no valid component: "));
}
