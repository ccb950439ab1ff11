//! C: clang and a libc, both of which zig brings.

use std::fs;

use anyhow::{Context as _, Result};

use super::component;
use super::project::Project;
use super::tools::{self, Tool};

const ZIG: Tool<'_> = Tool {
    names: &["python-zig", "zig"],
    directory: ".venv/bin",
    install: tools::INSTALL_BY_PIP,
};

/// Of a plugin's stack. zig's own 16 MiB would be in memory from the start.
const STACK_BYTES: u32 = 256 << 10;

pub(super) fn compile(project: &Project) -> Result<Vec<u8>> {
    let module = tools::absolute(&project.build_directory().join("core.wasm"))?;
    let mut zig = ZIG.command(&project.root)?;
    zig.args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor"])
        .args([
            "-std=c17",
            "-Os",
            "-s",
            "-UNDEBUG",
            "-Wall",
            "-Wextra",
            "-Werror=return-type",
        ])
        .args(["-Isym", "sym/sym.c", "sym/list.c"])
        .arg(format!("-Wl,-z,stack-size={STACK_BYTES}"));
    if project.exports.has_resolver() {
        zig.arg("sym/resolver.c");
    }
    if project.exports.has_target() {
        zig.arg("sym/target.c");
    }
    let sources = project.root.join("src");
    let mut files: Vec<_> = fs::read_dir(&sources)
        .with_context(|| format!("`{}` can't be read", sources.display()))?
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().ends_with(".c"))
        .collect();
    // The same order everywhere: it is the order in the module.
    files.sort();
    for file in files {
        zig.arg(std::path::Path::new("src").join(file));
    }
    tools::run(zig.arg("-o").arg(&module))?;
    component::encode(project, tools::read(&module)?)
}
