//! What the instances of a component may have: just as much, and one more.

use super::*;

fn checked(text: &str) -> String {
    let bytes = wat::parse_str(text).expect("is WebAssembly");
    check(&bytes).map_or_else(|refusal| refusal.to_string(), |()| "fits".to_owned())
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
fn each_instance_counts_again_however_it_comes_about() {
    let module = format!(
        "(core module $m {})",
        times("(global i32 i32.const 1)", 999)
    );
    let all = |count| times("(core instance (instantiate $m))", count);
    fits_up_to(
        MAX_ENTRIES / 1000,
        |count| checked(&format!("(component {module} {})", all(count))),
        "has more than 150000 entries (functions, globals, imports and exports) in its instances",
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
fn what_is_within_one_another_has_an_end() {
    let nested = |count| times("(component ", count) + &times(")", count);
    let refusal = "more than 20 components within one another";
    fits_up_to(MAX_DEPTH as u64, |count| checked(&nested(count)), refusal);
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
