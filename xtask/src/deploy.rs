//! `cargo xtask deploy`: checks what is in `deploy/`.
//!
//! Providers can't be downloaded everywhere, so `terraform validate` can't be
//! asked. What it would say of references we find ourselves; checkov knows what
//! AWS's resources should look like; what needs Terraform itself runs where there
//! is one, and is named where there is none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use sym_test_support::terraform::{
    module_files, settings_directory, settings_outputs, settings_variables,
};
use sym_test_support::tools;

use crate::terminal;

mod references;

/// Check the Terraform modules and scripts in `deploy/`.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask deploy")]
pub(crate) struct DeployArgs {}

pub(crate) fn run(_: &DeployArgs) -> Result<ExitCode> {
    if let Some(not_run) = check()? {
        terminal::error(not_run.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks everything, and returns what could not be, where there is no Terraform.
///
/// # Errors
///
/// Something is wrong: what, has been printed.
pub(crate) fn check() -> Result<Option<&'static str>> {
    let root = tools::workspace().join("deploy");
    let mut broken = Vec::new();
    let mut check = |name: &str, result: Result<()>| match result {
        Ok(()) => terminal::error(&format!("{name}: ok")),
        Err(error) => {
            terminal::error(&format!("{name}: {error:#}"));
            broken.push(name.to_owned());
        }
    };
    check("references", check_references(&root));
    check("metrics", check_metrics(&root));
    check("runbook", check_runbook(&root));
    check("checkov", run_checkov(&root));
    check("shellcheck", run_shellcheck(&root));
    let mut not_run = None;
    match Terraform::find() {
        Some(terraform) => {
            check("terraform fmt", terraform.check_format(&root));
            check("terraform test", terraform.test());
            check("terraform and our own reading of it", terraform.compare());
        }
        None => {
            not_run = Some(
                "NOT RUN, as there is no `terraform` or `tofu` on the search path: terraform fmt, terraform test\n",
            )
        }
    }
    ensure!(broken.is_empty(), "deploy: {} failed", broken.join(", "));
    Ok(not_run)
}

fn check_references(root: &Path) -> Result<()> {
    let mut modules = BTreeMap::new();
    for directory in find_modules(root)? {
        let name = directory.strip_prefix(root)?.display().to_string();
        modules.insert(name, references::read(&directory)?);
    }
    ensure!(modules.len() >= 3, "only {} modules found", modules.len());
    let problems = references::check(&modules);
    for problem in &problems {
        terminal::print(&format!("deploy/{problem}\n"));
    }
    ensure!(
        problems.is_empty(),
        "{} problems, see above",
        problems.len()
    );
    Ok(())
}

/// Directories with `.tf` files.
fn find_modules(root: &Path) -> Result<Vec<PathBuf>> {
    let mut modules = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        if !module_files(&directory)?.is_empty() {
            modules.push(directory.clone());
        }
        for entry in directory.read_dir()? {
            let path = entry?.path();
            let is_hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !is_hidden {
                directories.push(path);
            }
        }
    }
    Ok(modules)
}

/// Alarms and graphs name metrics that the function has.
fn check_metrics(root: &Path) -> Result<()> {
    let page = tools::workspace().join("docs/metrics.md");
    let known = std::fs::read_to_string(&page).with_context(|| format!("`{}`", page.display()))?;
    let mut seen = 0;
    for file in ["alarms.tf", "dashboard.tf"] {
        let text = std::fs::read_to_string(root.join("terraform").join(file))?;
        for name in metrics_named_in(&text) {
            seen += 1;
            ensure!(
                known.contains(&format!("| `{name}` |")),
                "`{file}` names the metric `{name}`, which is not in docs/metrics.md"
            );
        }
    }
    ensure!(seen > 10, "only {seen} metrics found");
    Ok(())
}

/// Each alarm and each error code has its section in the runbook.
fn check_runbook(root: &Path) -> Result<()> {
    let read = |path: PathBuf| {
        std::fs::read_to_string(&path).with_context(|| format!("`{}`", path.display()))
    };
    let docs = tools::workspace().join("docs");
    let runbook = read(docs.join("runbook.md"))?;
    let alarms = read(root.join("terraform/alarms.tf"))?;
    let alarms = alarms.lines().filter_map(|line| {
        let name = line.trim().strip_suffix("\" = {")?;
        name.strip_prefix('"')
    });
    let codes = read(docs.join("errors.md"))?;
    let codes = codes
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let names: Vec<&str> = alarms.chain(["sweep-missing"]).chain(codes).collect();
    ensure!(names.len() > 30, "only {} names found", names.len());
    let missing: Vec<&str> = names
        .into_iter()
        .filter(|name| !runbook.contains(&format!("\n### {name}\n")))
        .collect();
    ensure!(
        missing.is_empty(),
        "docs/runbook.md has no section for {}",
        missing.join(", ")
    );
    Ok(())
}

/// Names in `metric = "…"` beside our namespace, and in lists that begin with it.
fn metrics_named_in(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let quoted = |text: &'_ str| -> Option<(usize, usize)> {
        let start = text.find('"')? + 1;
        Some((start, start + text[start..].find('"')?))
    };
    let mut is_ours = false;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("namespace ") {
            is_ours = trimmed.contains("local.metrics");
        }
        let is_metric = trimmed.starts_with("metric ") || trimmed.starts_with("metric_name ");
        let rest = match trimmed.split_once("[local.metrics, ") {
            Some((_, rest)) if rest.starts_with('"') => rest,
            _ if is_metric && is_ours => trimmed,
            // A `for` over names, which the next line puts behind our namespace.
            _ if trimmed.starts_with("metrics = [for metric in [")
                && !trimmed.contains("Invocations") =>
            {
                let list = trimmed.trim_start_matches("metrics = [for metric in [");
                names.extend(list.split('"').skip(1).step_by(2));
                continue;
            }
            _ => continue,
        };
        if let Some((start, end)) = quoted(rest) {
            names.push(&rest[start..end]);
        }
    }
    names
}

fn run_checkov(root: &Path) -> Result<()> {
    let python = tools::checkov()?;
    let output = python
        .command()
        .args(["-m", "checkov.main", "--directory"])
        .arg(root)
        .args(["--framework", "terraform", "--quiet", "--compact"])
        // No network: neither modules of others nor its own service.
        .args(["--skip-download", "--download-external-modules", "false"])
        .stdin(Stdio::null())
        .output()
        .context("checkov can't be started")?;
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}{}",
        report.trim(),
        errors.trim()
    );
    // It finds nothing wrong where it finds nothing at all.
    let passed = report
        .split_once("Passed checks: ")
        .and_then(|(_, rest)| rest.split(',').next()?.parse::<u32>().ok())
        .unwrap_or(0);
    ensure!(
        passed > 50,
        "it looked at hardly anything: {}",
        report.trim()
    );
    Ok(())
}

fn run_shellcheck(root: &Path) -> Result<()> {
    let shellcheck = tools::shellcheck()?;
    let script = root.join("terraform/modules/sandbox/tunnel.sh");
    let output = Command::new(shellcheck).arg(script).output()?;
    let found = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}", found.trim());
    Ok(())
}

/// Terraform, or OpenTofu, which reads the same.
struct Terraform {
    program: &'static str,
}

impl Terraform {
    fn find() -> Option<Terraform> {
        let is_there = |program: &&str| {
            let version = Command::new(program).arg("version").output();
            version.is_ok_and(|output| output.status.success())
        };
        let program = ["terraform", "tofu"].into_iter().find(is_there)?;
        Some(Terraform { program })
    }

    fn run(&self, directory: &Path, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.program)
            .args(arguments)
            .current_dir(directory)
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0")
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{} {}{}", arguments.join(" "), text.trim(), errors.trim());
        }
        Ok(text)
    }

    fn check_format(&self, root: &Path) -> Result<()> {
        self.run(root, &["fmt", "-check", "-diff", "-recursive", "-no-color"])?;
        Ok(())
    }

    /// A copy of the module without a provider, initialised.
    fn copy(&self) -> Result<tempfile::TempDir> {
        let copy = tempfile::Builder::new().prefix("sym-settings-").tempdir()?;
        let from = settings_directory();
        std::fs::create_dir(copy.path().join("tests"))?;
        for file in module_files(&from)? {
            std::fs::copy(
                &file,
                copy.path().join(file.file_name().context("has a name")?),
            )?;
        }
        let tests = "tests/settings.tftest.hcl";
        std::fs::copy(from.join(tests), copy.path().join(tests))?;
        self.run(copy.path(), &["init", "-no-color"])?;
        Ok(copy)
    }

    fn test(&self) -> Result<()> {
        let copy = self.copy()?;
        self.run(copy.path(), &["validate", "-no-color"])?;
        let report = self.run(copy.path(), &["test", "-no-color"])?;
        ensure!(report.contains("pass"), "no test ran: {report}");
        Ok(())
    }

    /// What tests of ours take for the module's documents is what Terraform makes.
    fn compare(&self) -> Result<()> {
        let copy = self.copy()?;
        let variables = settings_variables();
        let file = copy.path().join("terraform.tfvars.json");
        std::fs::write(file, variables.to_string())?;
        self.run(copy.path(), &["apply", "-auto-approve", "-no-color"])?;
        let theirs: Value = serde_json::from_str(&self.run(copy.path(), &["output", "-json"])?)?;
        for (name, ours) in settings_outputs(&variables)? {
            let theirs = &theirs[&name]["value"];
            // Documents are the same, whatever the order of their keys.
            let parsed = |value: &Value| match value.as_str().map(serde_json::from_str::<Value>) {
                Some(Ok(document)) => document,
                _ => value.clone(),
            };
            ensure!(
                parsed(&ours) == parsed(theirs),
                "`{name}` is {ours} by us, and {theirs} by Terraform"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_metrics_that_are_named() {
        let text = "namespace = local.metrics\nmetric = \"A\"\nnamespace = \"AWS/Lambda\"\nmetric = \"B\"\n\
            [local.metrics, \"C\", \"Function\", var.name],\nmetrics = [for metric in [\"D\", \"E\"] :\n[local.metrics, metric]\n";
        assert_eq!(metrics_named_in(text), ["A", "C", "D", "E"]);
    }
}
