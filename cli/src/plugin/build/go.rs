//! Go: its own compiler, whose WASI our adapter takes the place of.

use anyhow::Result;

use super::component;
use super::project::Project;
use super::tools::{self, Tool};

const GO: Tool<'_> = Tool {
    names: &["go"],
    directory: ".venv/bin",
    install: tools::INSTALL_BY_PIP,
};

pub(super) fn compile(project: &Project) -> Result<Vec<u8>> {
    let module = tools::absolute(&project.build_directory().join("core.wasm"))?;
    let mut go = GO.command(&project.root)?;
    go.args([
        "build",
        "-buildmode=c-shared",
        "-trimpath",
        "-buildvcs=false",
    ])
    .args(["-ldflags=-s -w", "-o"])
    .arg(&module)
    .arg("./src")
    .envs([
        ("GOOS", "wasip1"),
        ("GOARCH", "wasm"),
        ("GOTOOLCHAIN", "local"),
    ]);
    tools::run(&mut go)?;
    component::encode(project, tools::read(&module)?)
}
