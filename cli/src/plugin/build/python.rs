//! Python: componentize-py, which puts the interpreter and the modules that were
//! imported into one component.

use std::fs;

use anyhow::{Context as _, Result};

use super::project::Project;
use super::tools::{self, Tool};

const COMPONENTIZE: Tool<'_> = Tool {
    names: &["componentize-py"],
    directory: ".venv/bin",
    install: tools::INSTALL_BY_PIP,
};

pub(super) fn compile(project: &Project) -> Result<Vec<u8>> {
    let entry = tools::absolute(&project.build_directory().join("python"))?;
    fs::create_dir_all(&entry)
        .and_then(|()| fs::write(entry.join("sym_entry.py"), module(project)))
        .with_context(|| format!("`{}` can't be written", entry.display()))?;
    let output = entry.join("component.wasm");
    let mut componentize = COMPONENTIZE.command(&project.root)?;
    componentize
        .args(["--quiet", "--wit-path", "wit", "--world"])
        .arg(project.exports.world())
        .args(["componentize", "--stub-wasi", "--python-path", "src"])
        .arg("--python-path")
        .arg(&entry)
        .arg("sym_entry")
        .arg("--output")
        .arg(&output);
    tools::run_modules(&mut componentize)?;
    tools::read(&output)
}

/// The module that has the classes which componentize-py looks for.
fn module(project: &Project) -> String {
    let mut module = "from sym import _host\n".to_owned();
    if project.exports.has_resolver() {
        module.push_str("import resolver\nResolver = _host.resolver(resolver)\n");
    }
    if project.exports.has_target() {
        module.push_str("import target\nTargetSetup = _host.target(target)\n");
    }
    module
}
