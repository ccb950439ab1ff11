//! Components that take too much to compile or to load, and what has the compiler fail.

use super::Desk;

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
