//! Opens any release by one word: a directory, a component, or a store's.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use sym_host::aws::Aws;
use sym_host::plugin::release_store::{ReleaseStore, release_key};
use sym_host::plugin::trust::{PublicKey, Trust};
use sym_host::plugin::{Engine, Published, Release};

use super::subject::{Subject, check_all};
use crate::keys;
use crate::store::{Found, Store};

/// Whom to trust for releases of stores.
#[derive(Args)]
pub(crate) struct TrustArgs {
    /// The function's PLUGIN_TRUST: for a store.
    #[arg(long, value_name = "KEYS")]
    trust: Option<String>,
    /// The function's name: for a store. Without it AWS_LAMBDA_FUNCTION_NAME, or else `sym-postgres`.
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
}

impl TrustArgs {
    /// A store's release, as a function of this configuration would find it.
    pub(crate) fn published(&self, url: &str) -> anyhow::Result<Published> {
        let Some(trust) = &self.trust else {
            bail!(
                "a store's release is nothing without who signed it: give the function's PLUGIN_TRUST with `--trust`"
            );
        };
        Ok(Published {
            store: ReleaseStore::parse(url).map_err(|why| anyhow!("the store's URL {why}"))?,
            trust: keys::trust(trust)?,
            audience: keys::audience(self.audience.as_deref()),
        })
    }

    /// Loads a release and all of its plugins: a directory with `plugins.toml`, a
    /// component, the release in use of a store, or with `#r7` or its whole id
    /// another of that store. `targets` are those that a component is asked for.
    pub(crate) async fn open(
        &self,
        engine: &Engine,
        word: &str,
        targets: &BTreeSet<String>,
    ) -> anyhow::Result<Release> {
        let release = if word.contains("://") && !word.starts_with("dir://") {
            self.fetch(engine, word).await?
        } else {
            let path = word.strip_prefix("dir://").unwrap_or(word);
            Subject::find(Path::new(path))?.load(engine, targets)?
        };
        check_all(&release)
            .await
            .with_context(|| format!("`{word}` can't be used"))?;
        Ok(release)
    }

    async fn fetch(&self, engine: &Engine, word: &str) -> anyhow::Result<Release> {
        let aws = Aws::patient();
        let (url, id) = match word.split_once('#') {
            Some((url, id)) => (url, Some(id)),
            None => (word, None),
        };
        let mut published = self.published(url)?;
        if let Some(id) = id {
            published.trust = pin(&published.trust, url, id).await?;
        }
        let pointer = published.pointer(&aws, None).await?;
        let pointer = pointer.context("the store gave no pointer")?;
        Ok(published.load(engine, &aws, pointer).await?.0)
    }
}

/// Trust in one release alone, which one of these keys has to have signed.
async fn pin(trust: &Trust, url: &str, id: &str) -> anyhow::Result<Trust> {
    let Trust::Keys(keys) = trust else {
        bail!("`--trust` pins one release already: leave `#{id}` out");
    };
    let keys: Vec<PublicKey> = keys.iter().map(|key| key.public_key().clone()).collect();
    let releases = Store::open(url)?.releases().await?;
    let is_asked = |found_id: &str| found_id == id || found_id.split('-').next() == Some(id);
    // Who can write the store can copy it to other names, where a pin doesn't find it.
    let is_there = |found: &Found| found.key == release_key(found.digest);
    let mut found = releases
        .iter()
        .filter(|found| is_asked(&found.id()) && is_there(found) && found.is_signed_by(&keys));
    match (found.next(), found.next()) {
        (Some(found), None) => Ok(Trust::Pin(found.digest)),
        (Some(_), Some(_)) => bail!("several releases of `{url}` are `{id}`: give the whole id"),
        (None, _) => bail!(
            "`{url}` has no release `{id}` that one of these keys signed: `symctl releases {url}` lists them"
        ),
    }
}
