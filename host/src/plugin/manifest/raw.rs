//! `plugins.toml` as it is written: its keys and their types, and where each is.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::plugin::limits::RawLimits;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawManifest {
    pub(super) resolver: Option<RawResolver>,
    #[serde(default)]
    pub(super) targets: BTreeMap<Spanned<String>, RawTarget>,
    #[serde(default)]
    pub(super) limits: RawLimits,
}

pub(super) type RawConfig = BTreeMap<Spanned<String>, toml::Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawResolver {
    pub(super) component: Spanned<String>,
    pub(super) config: Option<Spanned<RawConfig>>,
    pub(super) limits: Option<Spanned<RawLimits>>,
    pub(super) wasi: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTarget {
    pub(super) strategy: Option<Spanned<String>>,
    pub(super) component: Option<Spanned<String>>,
    pub(super) sql: Option<Spanned<String>>,
    pub(super) role: Option<Spanned<String>>,
    pub(super) config: Option<Spanned<RawConfig>>,
    pub(super) limits: Option<Spanned<RawLimits>>,
    pub(super) wasi: Option<Spanned<bool>>,
}

/// How a component runs: the keys that both tables have. Not by serde's
/// `flatten`, which would take the line numbers away.
pub(super) struct Run<'a> {
    pub(super) config: Option<&'a Spanned<RawConfig>>,
    pub(super) limits: Option<&'a Spanned<RawLimits>>,
    pub(super) wasi: Option<&'a Spanned<bool>>,
}

impl RawResolver {
    pub(super) fn run(&self) -> Run<'_> {
        Run {
            config: self.config.as_ref(),
            limits: self.limits.as_ref(),
            wasi: self.wasi.as_ref(),
        }
    }
}

impl RawTarget {
    pub(super) fn run(&self) -> Run<'_> {
        Run {
            config: self.config.as_ref(),
            limits: self.limits.as_ref(),
            wasi: self.wasi.as_ref(),
        }
    }
}
