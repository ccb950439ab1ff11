//! Builds our plugins into components, beside the set that names them.
//!
//! The result is a folder that `dir://` takes as it is. The same sources make
//! the same bytes on every machine: paths are cut out of them, and no flag comes
//! from outside.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context as _, Result, bail, ensure};
use sym_test_support::tools;
use wit_component::ComponentEncoder;

/// Without WASI: what a plugin of ours imports is what `wit/` says, and no more.
const TARGET: &str = "wasm32-unknown-unknown";

/// Made for guests, in the root `Cargo.toml`.
const PROFILE: &str = "wasm";

/// Our plugins: packages in `plugins/`.
const COMPONENTS: [&str; 2] = ["default-resolver", "readonly-target"];

/// What `plugins/` has beside them, taken as it is.
const FILES: [&str; 3] = ["plugins.toml", "plugins.schema.json", "readonly.sql"];

/// Their cases, which `symctl publish` runs.
const CASES: &str = "cases";

/// Builds everything, and returns the folder: `plugins` in cargo's target
/// directory. `root` is the root of the workspace.
///
/// Whoever reads there never sees half a file.
///
/// # Errors
///
/// The toolchain has no wasm target and can't get it, a plugin does not
/// compile, or it does not make a valid component.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    ensure_target(root)?;
    let target_dir = tools::target_directory();
    compile(root, &target_dir)?;

    let output = target_dir.join("plugins");
    fs::create_dir_all(&output).with_context(|| format!("cannot make `{}`", output.display()))?;
    for name in COMPONENTS {
        let module = target_dir
            .join(TARGET)
            .join(PROFILE)
            .join(name.replace('-', "_"))
            .with_extension("wasm");
        let wasm = read(&module)?;
        let component =
            componentize(wasm).with_context(|| format!("`{name}` makes no component"))?;
        replace(&output.join(name).with_extension("wasm"), &component)?;
    }
    for name in FILES {
        replace(&output.join(name), &read(&root.join("plugins").join(name))?)?;
    }
    copy_cases(&root.join("plugins").join(CASES), &output.join(CASES))?;
    Ok(output)
}

/// Makes a directory of cases that has those of another, and no others.
fn copy_cases(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make `{}`", to.display()))?;
    for path in cases_in(to)? {
        if !from.join(path.file_name().unwrap_or_default()).is_file() {
            fs::remove_file(&path)
                .with_context(|| format!("cannot remove `{}`", path.display()))?;
        }
    }
    for path in cases_in(from)? {
        let name = path.file_name().unwrap_or_default();
        replace(&to.join(name), &read(&path)?)?;
    }
    Ok(())
}

/// What `symctl` takes for cases in a directory: not what is only half there.
fn cases_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let entries = fs::read_dir(directory)
        .with_context(|| format!("cannot read `{}`", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Turns what `cargo build` made into a component, unless it is one already.
///
/// # Errors
///
/// `wasm` is neither, or says of itself what it does not keep: an export that
/// its world has and the code has not, an import that is in no world.
fn componentize(wasm: Vec<u8>) -> Result<Vec<u8>> {
    // The header is the magic number, then version and layer, two bytes each in
    // little endian: a module is layer 0, a component layer 1.
    match wasm.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(wasm),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => ComponentEncoder::default()
            .module(&wasm)?
            .validate(true)
            .encode(),
        _ => bail!("not a WebAssembly file"),
    }
}

/// Has the standard library for [`TARGET`] installed, where rustup can do that.
fn ensure_target(root: &Path) -> Result<()> {
    // Asked of rustc, not of rustup: a distribution's compiler brings it along.
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = Command::new(&rustc)
        .current_dir(root)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .with_context(|| format!("cannot run `{}`", rustc.display()))?;
    ensure!(
        printed.status.success(),
        "`{}` does not know the target {TARGET}",
        rustc.display()
    );
    let directory = String::from_utf8(printed.stdout)?;
    if Path::new(directory.trim()).is_dir() {
        return Ok(());
    }

    let added = Command::new("rustup")
        .current_dir(root)
        .args(["target", "add", TARGET])
        .status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("`rustup target add {TARGET}` failed, plugins can't be built without it"),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "the Rust compiler has no standard library for {TARGET}, and there is no rustup to \
             get it: install rustup, or your distribution's package for it"
        ),
        Err(error) => Err(error).context("cannot run `rustup`"),
    }
}

fn compile(root: &Path, target_dir: &Path) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command
        .current_dir(root)
        .args(["build", "--profile", PROFILE, "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        // Not RUSTFLAGS, which splits at blanks. It has precedence over that, too.
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags()?);
    for name in COMPONENTS {
        command.args(["--package", name]);
    }
    let status = command
        .status()
        .with_context(|| format!("cannot run `{}`", cargo.display()))?;
    ensure!(status.success(), "cargo could not build the plugins");
    Ok(())
}

/// The compiler's flag, so that no component tells where it was built.
///
/// A panic's text has the path of its source file. For our own that is relative
/// to the workspace; for a dependency's it would start at somebody's home.
fn rust_flags() -> Result<OsString> {
    let home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => env::home_dir()
            .context("there is no home directory, set CARGO_HOME")?
            .join(".cargo"),
    };
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(home);
    flag.push("=cargo");
    Ok(flag)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Writes a file beside its place, then puts it there.
fn replace(path: &Path, contents: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", process::id()));
    let temporary = PathBuf::from(temporary);
    fs::write(&temporary, contents)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Slow the first time: it compiles the plugins.
    #[test]
    fn our_components_import_nothing_but_log_and_config() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask is a folder of the workspace");
        let plugins = build(root).expect("our plugins build");
        for (name, export) in COMPONENTS.into_iter().zip(["resolver", "target-setup"]) {
            let component = read(&plugins.join(name).with_extension("wasm")).expect("was built");
            assert!(component.len() < 100_000, "{name} is {}", component.len());
            assert_eq!(
                componentize(component.clone()).ok(),
                Some(component.clone())
            );

            let decoded = wit_component::decode(&component).expect("is a component");
            let resolve = decoded.resolve();
            let (_, world) = resolve.worlds.iter().next().expect("has a world");
            for (key, _) in &world.imports {
                let import = resolve.name_world_key(key);
                assert!(
                    ["config", "log", "types"]
                        .map(|interface| format!("sym:postgres/{interface}@0.1.0"))
                        .contains(&import),
                    "{name} imports {import}"
                );
            }
            let exports: Vec<_> = world
                .exports
                .keys()
                .map(|key| resolve.name_world_key(key))
                .collect();
            assert_eq!(exports, [format!("sym:postgres/{export}@0.1.0")]);
        }
    }

    #[test]
    fn the_cases_are_those_that_are_there_now() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let [from, to] = ["from", "to"].map(|name| scratch.path().join(name));
        fs::create_dir(&from)?;
        for name in ["a.toml", "b.toml"] {
            fs::write(from.join(name), name)?;
        }
        copy_cases(&from, &to)?;
        fs::remove_file(from.join("a.toml"))?;
        fs::write(from.join("b.toml"), "changed")?;
        copy_cases(&from, &to)?;
        assert_eq!(cases_in(&to)?, [to.join("b.toml")]);
        assert_eq!(fs::read_to_string(to.join("b.toml"))?, "changed");
        Ok(())
    }

    #[test]
    fn refuses_what_is_neither_a_module_nor_a_component() {
        for bytes in [
            &b""[..],
            b"\0asm",
            b"\0asm\x02\0\0\0",
            b"\x7fELF\x02\x01\x01\0",
        ] {
            assert!(componentize(bytes.to_vec()).is_err(), "{bytes:?}");
        }
    }
}
