//! The Python templates, from a checkout of the reader's: none of their code is
//! here.
//!
//! They run under AWS's own Python runtime client, `awslambdaric`, as a Lambda
//! function with Python would.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sym_test_support::tools;
use tempfile::TempDir;

/// Both templates, ready to start.
pub(super) struct Template {
    // What a script is in goes when this does.
    _directory: TempDir,
    pub(super) role: PathBuf,
    pub(super) temporary_user: PathBuf,
}

impl Template {
    /// Finds them in a checkout of `symopsio/examples`, and gets what they
    /// import.
    pub(super) fn find(checkout: &Path) -> Result<Template> {
        let directory = tempfile::Builder::new().prefix("sym-template-").tempdir()?;
        let start = |name: &str| -> Result<PathBuf> {
            let source = checkout.join("advanced").join(name).join("lambda_src");
            let source = source.canonicalize().with_context(|| {
                format!(
                    "there is no `{}`: `--template` wants a checkout of github.com/symopsio/examples",
                    source.display()
                )
            })?;
            let python = tools::template_packages()?;
            let script = directory.path().join(name);
            // LAMBDA_TASK_ROOT is where the code is, as in a real function.
            let text = format!(
                "#!/bin/sh\nexport LAMBDA_TASK_ROOT='{source}' PYTHONPATH='{source}:{packages}'\nexport PYTHONDONTWRITEBYTECODE=\ncd '{source}' && exec '{python}' -m awslambdaric handler.handle\n",
                source = source.display(),
                packages = python.packages.display(),
                python = python.program.display(),
            );
            fs::write(&script, text)?;
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
            Ok(script)
        };
        Ok(Template {
            role: start("postgres_role_strategy")?,
            temporary_user: start("postgres_temp_user_strategy")?,
            _directory: directory,
        })
    }
}
