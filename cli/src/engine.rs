//! The engine of those commands that ask plugins: it keeps what it compiled, so
//! that the same component is compiled once.

use std::path::PathBuf;

use sym_host::plugin::{CodeCache, Engine};

use crate::output;

/// The engine, with the user's own cache of native code.
pub(crate) fn engine() -> anyhow::Result<Engine> {
    let Some(directory) = directory() else {
        return Ok(Engine::new()?);
    };
    Ok(match CodeCache::in_directory(&directory) {
        Ok(Some(cache)) => Engine::with_code_cache(cache)?,
        Ok(None) => Engine::new()?,
        Err(why) => {
            output::note(&format!(
                "`{}` {why}, so nothing is loaded from there and everything is compiled",
                directory.display()
            ));
            Engine::new()?
        }
    })
}

/// In the user's cache.
///
/// Source: XDG Base Directory Specification, which has relative paths ignored.
fn directory() -> Option<PathBuf> {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = path("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| Some(path("HOME")?.join(".cache")))
        .filter(|path| path.is_absolute())?;
    Some(cache.join("symctl/native"))
}
