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

#[test]
fn the_settings_on_the_page_of_plugins_are_current() {
    let name = "docs/plugins.md";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let page = fs::read_to_string(&path).expect("the page is there");
    let (begin, end) = (
        "<!-- From `host/src/policy/settings.rs`: -->\n",
        "<!-- End. -->\n",
    );
    let (before, rest) = page.split_once(begin).expect("the page has the list");
    let (_, after) = rest.split_once(end).expect("the list has an end");
    let settings = sym_host::policy::settings_reference();
    check(name, &format!("{before}{begin}{settings}{end}{after}"));
}

#[test]
fn the_schema_of_plugins_toml_is_current() {
    let schema = sym_host::plugin::manifest::schema();
    check("plugins/plugins.schema.json", &schema);
}
