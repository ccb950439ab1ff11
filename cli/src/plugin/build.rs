//! `symctl plugin build`: from a project's sources to a component.
//!
//! ```text
//! src/ -> the language's own tools -> core module -> component -> stripped, stamped -> build/NAME.wasm
//!                                  \------------- or component ---^
//! ```
//!
//! [`build`] is what `symctl plugin run --watch` calls too.

mod c;
mod component;
mod go;
mod javascript;
mod project;
mod python;
mod rust;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use self::project::Project;
pub(crate) use self::project::{Exports, Language, PROJECT_FILE, check_name};
use crate::files::replace;
use crate::output::{self, Status};

/// Build a plugin's component with its language's own tools: `build/NAME.wasm`.
#[derive(Args)]
#[command(after_help = "Example: symctl plugin build")]
pub(crate) struct BuildArgs {
    /// The project: the directory with `sym-plugin.toml`.
    #[arg(default_value = ".")]
    project: PathBuf,
    /// Print what was built as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &BuildArgs) -> Result<Status> {
    let built = build(&args.project)?;
    if args.json {
        output::json(&serde_json::json!({
            "component": built.component,
            "bytes": built.bytes,
        }));
    } else {
        output::data(&format!(
            "{} ({} bytes)",
            built.component.display(),
            built.bytes
        ));
    }
    Ok(Status::Done)
}

/// What [`build`] made.
pub(crate) struct Built {
    /// The component, below the project's root as it was given.
    pub(crate) component: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
}

/// Builds the project in `root`.
///
/// # Errors
/// One sentence: what is missing and the command that installs it, what of the
/// project is wrong, or that the language's tool failed, which has said why on
/// standard error.
pub(crate) fn build(root: &Path) -> Result<Built> {
    let project = Project::read(root)?;
    remove_old(&project.component())?;
    fs::create_dir_all(project.build_directory())
        .with_context(|| format!("`{}` can't be made", project.build_directory().display()))?;
    let wasm = match project.language {
        Language::Rust => rust::compile(&project),
        Language::Typescript => javascript::compile(&project, "ts"),
        Language::Javascript => javascript::compile(&project, "js"),
        Language::Python => python::compile(&project),
        Language::Go => go::compile(&project),
        Language::C => c::compile(&project),
    }?;
    let component = component::finish(&project, wasm)?;
    let path = project.component();
    replace(&path, &component)?;
    Ok(Built {
        component: path,
        bytes: component.len() as u64,
    })
}

/// Nobody may take what an earlier build made for what this one fails to make.
fn remove_old(component: &Path) -> Result<()> {
    match fs::remove_file(component) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("`{}` can't be removed", component.display()))
        }
        _ => Ok(()),
    }
}

/// The component that a project's build makes, where it isn't there: below the
/// project's root.
pub(crate) fn missing_component(root: &Path) -> Option<String> {
    let project = Project::read(root).ok()?;
    let component = project.component();
    (!component.exists()).then(|| project.below(&component))
}

/// What there is to say where a source of the project in `root` is newer than its
/// component.
pub(crate) fn staleness(root: &Path) -> Option<String> {
    let project = Project::read(root).ok()?;
    let component = project.component();
    let built = component.metadata().ok()?.modified().ok()?;
    let source = project.source_newer_than(built)?;
    Some(format!(
        "`{}` is older than `{}`: `symctl plugin build`",
        project.below(&component),
        project.below(&source)
    ))
}
