//! What `symctl publish` asks of a directory before it signs for it: its cases,
//! and the advice of `symctl plugin check`.

use std::path::Path;

use anyhow::bail;
use sym_host::plugin::Release;

use super::subject::Subject;
use super::{check, test};

/// What came of it.
pub(crate) struct Trial {
    /// How many cases there are.
    pub(crate) cases: usize,
    /// The names of those that failed.
    pub(crate) failed: Vec<String>,
    /// What had better be otherwise.
    pub(crate) advice: Vec<String>,
    /// What is wrong whatever the function's policy is and whoever asks.
    pub(crate) errors: Vec<String>,
}

/// Tries a directory that was loaded and checked.
///
/// # Errors
/// The cases can't be read, or a target can't work for anybody.
pub(crate) async fn try_out(directory: &Path, release: &Release) -> anyhow::Result<Trial> {
    if let Some(why) = check::impossible(release) {
        bail!("{why}; nothing was published");
    }
    let subject = Subject::Directory(directory.to_owned());
    subject.note_staleness();
    let results = test::run_own_cases(directory, release).await?;
    let verdicts = || results.iter().flat_map(|result| &result.verdicts);
    let failed = verdicts().filter(|verdict| !verdict.passed);
    let (errors, advice) = check::advice(&subject, release, &results).await?;
    Ok(Trial {
        cases: verdicts().count(),
        failed: failed.map(|verdict| verdict.name.clone()).collect(),
        advice,
        errors,
    })
}
