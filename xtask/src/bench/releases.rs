//! Cold starts with native code and compiling in place, by the size of the
//! plugins, and how native code is best loaded: tables in Markdown, by tests
//! that are ignored otherwise.

use std::path::Path;

use anyhow::Result;
use sym_test_support::tools::BuildEnvironment;

/// Tells the measurement of cold starts which build of the function it is about.
const BOOTSTRAP: &str = "SYM_BENCH_BOOTSTRAP";

/// Runs them with the function at `bootstrap`, and prints what they found.
///
/// # Errors
///
/// They don't compile, or one fails: it has said why.
pub(super) fn measure(environment: &BuildEnvironment, bootstrap: &Path) -> Result<()> {
    // The usual features: what tests have built is used again.
    let run = ["test", "--quiet", "--workspace"];
    let with = ["--", "--ignored", "--nocapture", "--test-threads", "1"];
    for (target, name) in [
        (
            &["--test", "e2e"][..],
            "cold_starts_by_size_and_native_code",
        ),
        (&["--lib"][..], "a_buffer_against_a_sealed_memfd"),
    ] {
        let arguments = [&run[..], target, &with[..], &[name]].concat();
        super::run_cargo(
            environment,
            &arguments,
            &[(BOOTSTRAP, bootstrap.as_os_str())],
        )?;
    }
    Ok(())
}
