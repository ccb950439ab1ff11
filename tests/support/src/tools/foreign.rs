//! What building and running for the other of Lambda's two architectures takes.

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::{BuildEnvironment, Wanted, python, run, say, tools_directory};
use crate::process::find_program;

/// cargo-zigbuild, which has cargo compile C and link with zig: for another
/// architecture, and for a version of glibc.
#[derive(Debug)]
pub struct ZigBuild {
    /// The program.
    pub program: PathBuf,
    zig: PathBuf,
}

impl ZigBuild {
    /// The search path of `environment`, with zig before all that is there.
    ///
    /// # Errors
    ///
    /// A directory's name can't be in a search path.
    pub fn path_after(&self, environment: &BuildEnvironment) -> anyhow::Result<OsString> {
        let own = std::env::var_os("PATH").unwrap_or_default();
        let mut variables = environment.variables().iter();
        let path = variables.find(|(name, _)| *name == "PATH");
        let path = path.map_or(&own, |(_, value)| value);
        let zig = std::iter::once(self.zig.clone());
        Ok(std::env::join_paths(
            zig.chain(std::env::split_paths(path)),
        )?)
    }

    /// Where bindgen finds the headers of another architecture's glibc, behind the
    /// compiler's own: zig has them, and this machine mostly has not.
    pub fn clang_arguments(&self, environment: &BuildEnvironment, architecture: &str) -> OsString {
        let mut variables = environment.variables().iter();
        let own = variables.find(|(name, _)| *name == "BINDGEN_EXTRA_CLANG_ARGS");
        let mut arguments = own.map_or_else(OsString::new, |(_, value)| value.clone());
        let headers = self.zig.join("lib/libc/include");
        for part in [
            &format!("{architecture}-linux-gnu"),
            "generic-glibc",
            &format!("{architecture}-linux-any"),
            "any-linux-any",
        ] {
            arguments.push(" -isystem ");
            arguments.push(headers.join(part));
        }
        arguments
    }
}

/// cargo-zigbuild with its zig.
///
/// # Errors
///
/// It is not there and can't be fetched.
pub fn zig_build() -> anyhow::Result<ZigBuild> {
    let requirement = "cargo-zigbuild==0.24.0 ziglang==0.17.1";
    let python = python::install(
        &Wanted {
            name: "cargo-zigbuild-0.24.0",
            what: "cargo-zigbuild 0.24.0 and zig 0.17.1 (half a minute)",
            why: "it compiles and links for another architecture",
            by_hand: &format!("`python3 -m pip install {requirement}`"),
        },
        requirement,
    )?;
    Ok(ZigBuild {
        program: python.script("cargo-zigbuild")?,
        zig: python.packages.join("ziglang"),
    })
}

/// AWS's runtime interface emulator, as AWS's SAM CLI carries it.
///
/// # Errors
///
/// It is not there and can't be fetched, or there is none for this machine.
pub fn runtime_interface_emulator() -> anyhow::Result<PathBuf> {
    let file = match ARCH {
        "x86_64" => "aws-lambda-rie-x86_64",
        "aarch64" => "aws-lambda-rie-arm64",
        other => bail!("AWS's runtime interface emulator is not made for {other}"),
    };
    let wanted = Wanted {
        name: "aws-lambda-rie-1.170.0",
        what: "AWS's runtime interface emulator, of aws-sam-cli 1.170.0",
        why: "the function is run in it",
        by_hand: "`python3 -m pip download --no-deps aws-sam-cli==1.170.0`, and unpack it",
    };
    let directory = wanted.get_in(&tools_directory(), |directory| {
        // The package alone: not the hundred that it needs to be installed.
        run(Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-input"])
            .args(["--disable-pip-version-check", "--no-deps", "--dest"])
            .arg(directory)
            .arg("aws-sam-cli==1.170.0"))?;
        let wheel = find_wheel(directory)?;
        run(Command::new("python3")
            .args(["-m", "zipfile", "--extract"])
            .arg(&wheel)
            .arg(directory.join("package")))?;
        let program = directory.join("aws-lambda-rie");
        let unpacked = directory.join("package/samcli/local/rapid").join(file);
        fs::rename(unpacked, &program).context("the package has no emulator in it")?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        fs::remove_dir_all(directory.join("package"))?;
        Ok(fs::remove_file(wheel)?)
    })?;
    Ok(directory.join("aws-lambda-rie"))
}

fn find_wheel(directory: &Path) -> anyhow::Result<PathBuf> {
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    bail!("pip brought no wheel")
}

/// The architecture that a Linux program was made for, as Rust calls it.
///
/// # Errors
///
/// It is not a program for one of Lambda's two architectures.
pub fn architecture(program: &Path) -> anyhow::Result<&'static str> {
    let bytes = fs::read(program).with_context(|| format!("`{}`", program.display()))?;
    // ELF's own `e_machine`.
    match (bytes.starts_with(b"\x7fELF"), bytes.get(18..20)) {
        (true, Some([0x3e, 0])) => Ok("x86_64"),
        (true, Some([0xb7, 0])) => Ok("aarch64"),
        _ => bail!(
            "`{}` is no program for x86_64 or aarch64",
            program.display()
        ),
    }
}

/// What starts a program of another architecture here, in front of its path: QEMU
/// with that architecture's libc. By apt where they are missing and we are root.
///
/// # Errors
///
/// They are missing: one sentence names the command that gets them.
pub fn qemu(architecture: &str) -> anyhow::Result<Vec<String>> {
    let program = format!("qemu-{architecture}-static");
    let root = format!("/usr/{architecture}-linux-gnu");
    let debians = match architecture {
        "x86_64" => "amd64",
        _ => "arm64",
    };
    let packages = [
        "qemu-user-static".to_owned(),
        format!("libc6-{debians}-cross"),
        format!("libgcc-s1-{debians}-cross"),
    ];
    let is_there =
        || find_program(&program).is_some() && Path::new(&root).join("lib/libgcc_s.so.1").is_file();
    if !is_there() {
        let by_hand = format!("`apt-get install {}`", packages.join(" "));
        ensure!(
            nix::unistd::Uid::effective().is_root(),
            "there is no `{program}` with a libc to run programs for {architecture}; by hand: {by_hand}"
        );
        say(&format!(
            "getting {program}: it runs programs for {architecture}"
        ));
        // A fresh container has no lists. Stale ones may do, so this may fail.
        let _ = run(Command::new("apt-get").args(["update", "--quiet"]));
        run(Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(&packages)
            .env("DEBIAN_FRONTEND", "noninteractive"))
        .with_context(|| format!("could not get {program}; by hand: {by_hand}"))?;
        ensure!(is_there(), "{by_hand} brought no `{program}` with a libc");
    }
    Ok(vec![program, "-L".to_owned(), root])
}
