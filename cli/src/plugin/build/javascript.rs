//! JavaScript and TypeScript: esbuild makes one file of a project, and
//! componentize-qjs a component of that and of QuickJS.

use std::fs;

use anyhow::{Context as _, Result};

use super::project::Project;
use super::tools::{self, Tool};

const DIRECTORY: &str = "node_modules/.bin";
const INSTALL: &str = "`npm install` installs it";

const ESBUILD: Tool<'_> = Tool {
    names: &["esbuild"],
    directory: DIRECTORY,
    install: INSTALL,
};

const COMPONENTIZE: Tool<'_> = Tool {
    names: &["componentize-qjs"],
    directory: DIRECTORY,
    install: INSTALL,
};

pub(super) fn compile(project: &Project, extension: &str) -> Result<Vec<u8>> {
    let directory = tools::absolute(&project.build_directory().join("javascript"))?;
    let entry = directory.join("entry.js");
    fs::create_dir_all(&directory)
        .and_then(|()| fs::write(&entry, module(project, extension)))
        .with_context(|| format!("`{}` can't be written", directory.display()))?;
    let bundle = directory.join("plugin.js");
    let mut esbuild = ESBUILD.command(&project.root)?;
    esbuild
        .arg(&entry)
        .args(["--bundle", "--format=esm", "--target=es2023"])
        .args(["--external:sym:*", "--charset=utf8", "--log-level=warning"])
        .arg(format!("--outfile={}", bundle.display()));
    tools::run(&mut esbuild)?;
    let output = directory.join("component.wasm");
    let mut componentize = COMPONENTIZE.command(&project.root)?;
    componentize
        .args(["--wit", "wit", "--world", project.exports.world()])
        .args(["--sync", "--stub-wasi", "--js"])
        .arg(&bundle)
        .arg("--output")
        .arg(&output);
    tools::run_modules(&mut componentize)?;
    tools::read(&output)
}

/// The module that exports what componentize-qjs looks for.
fn module(project: &Project, extension: &str) -> String {
    let mut module =
        "import { exportResolver, exportTarget } from \"../../sym/host.js\";\n".to_owned();
    if project.exports.has_resolver() {
        module.push_str(&format!(
            "import {{ resolveUser }} from \"../../src/resolver.{extension}\";\n\
             export const resolver = exportResolver(resolveUser);\n"
        ));
    }
    if project.exports.has_target() {
        module.push_str(&format!(
            "import {{ setup }} from \"../../src/target.{extension}\";\n\
             export const targetSetup = exportTarget(setup);\n"
        ));
    }
    module
}
