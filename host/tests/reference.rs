//! The reference pages in `docs/`, and the schema of `plugins.toml`, are what
//! the code says.
//!
//! `UPDATE_REFERENCE=1 cargo test -p sym-host --test reference` writes them.

use std::fs;
use std::path::Path;

#[track_caller]
fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&path, expected).expect("the page can be written");
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == expected,
        "{name} is not what the code says: run `UPDATE_REFERENCE=1 cargo test -p sym-host --test reference`"
    );
}

#[test]
fn the_page_of_variables_is_current() {
    check("docs/configuration.md", &sym_host::env::reference());
}

#[test]
fn the_page_of_error_codes_is_current() {
    check("docs/errors.md", &sym_host::error::reference());
}

#[test]
fn the_page_of_metrics_is_current() {
    check("docs/metrics.md", &sym_host::metrics::reference());
}

#[test]
fn the_page_of_limits_is_current() {
    check("docs/limits.md", &sym_host::plugin::limits_reference());
}

/// Checks what of a page is somebody else's: between a line that names `source`, and the end.
#[track_caller]
fn check_part(name: &str, source: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let page = fs::read_to_string(&path).expect("the page is there");
    let (begin, end) = (format!("<!-- From `{source}`: -->\n"), "<!-- End. -->\n");
    let (before, rest) = page.split_once(&begin).expect("the page has the part");
    let (_, after) = rest.split_once(end).expect("the part has an end");
    check(name, &format!("{before}{begin}{expected}{end}{after}"));
}

#[test]
fn the_settings_on_the_page_of_plugins_are_current() {
    let settings = sym_host::policy::settings_reference();
    check_part("docs/plugins.md", "host/src/policy/settings.rs", &settings);
}

/// What a new project begins with, and `cargo xtask languages` builds and tests.
#[test]
fn the_resolver_on_the_first_page_is_the_templates() {
    let resolver = include_str!("../../guest-sdk/templates/rust/src/resolver.rs");
    let (resolver, _) = resolver.split_once("\n#[cfg(test)]").expect("has tests");
    check_part(
        "README.md",
        "guest-sdk/templates/rust/src/resolver.rs",
        &format!("```rust\n{resolver}```\n"),
    );
}

#[test]
fn the_schema_of_plugins_toml_is_current() {
    let schema = sym_host::plugin::manifest::schema();
    check("plugins/plugins.schema.json", &schema);
}
