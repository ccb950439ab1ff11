//! Reads files that a person named.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};

/// The text of a file. `what` it is, for sentences: `the event`.
pub(crate) fn text(what: &str, path: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            bail!("`{}` isn't UTF-8 text", path.display())
        }
        read => read.with_context(|| format!("can't read {what} `{}`", path.display())),
    }
}

/// An event's text; `-` is standard input.
pub(crate) fn event(path: &Path) -> anyhow::Result<String> {
    let text = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()).context("can't read standard input")?,
        false => text("the event", path)?,
    };
    if text.trim().is_empty() {
        bail!("the event `{}` is empty", path.display());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_event_is_said_in_a_sentence() {
        let directory = tempfile::tempdir().expect("has a directory");
        let path = directory.path().join("x.json");
        for (bytes, why) in [
            (&b""[..], "the event `…` is empty"),
            (b" \n", "the event `…` is empty"),
            (b"\xff{}", "`…` isn't UTF-8 text"),
        ] {
            std::fs::write(&path, bytes).expect("is written");
            let error = event(&path).expect_err("is no event").to_string();
            assert_eq!(error, why.replace('…', &path.display().to_string()));
        }
    }
}
