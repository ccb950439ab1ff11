//! Plugins on trial: asked as an event would ask them, by whoever writes or
//! publishes them, with everything kept that a call took and said.
//!
//! The host itself doesn't come here. What differs from an event's calls: settings
//! and limits may be others, lines of the log come back, and a release may be a
//! part of one, without a resolver.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::call::{self, Called};
use super::component::{Artifact, Plugin};
use super::engine::Engine;
use super::limits::Limits;
use super::manifest::{Entry, Manifest, Setup, Target};
use super::release::{File, Release, TargetEntry, TargetKind};
use super::source;
use super::world::{self, Export, Resolver, TargetSetup};
use crate::error::{Code, Error, Result};
use crate::plan::{Plan, Step, Strategy};
use crate::request::Request;

/// What a trial gives instead of what the release says.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The database user: then no resolver is asked.
    pub user: Option<String>,
    /// Settings, over those of `plugins.toml`, for every plugin that is asked.
    pub config: BTreeMap<String, String>,
    /// Limits by their keys, over those of `plugins.toml`.
    pub limits: BTreeMap<String, u64>,
}

/// What came of asking.
#[derive(Debug)]
pub struct Trial {
    /// How access would be given.
    pub strategy: Strategy,
    /// What `resolve-user` gave. `None`: it wasn't asked.
    pub resolver: Option<Called<String>>,
    /// What `setup`, or the entry without a component, gave. `None`: it wasn't
    /// asked, for want of a user, or because the release has no targets.
    pub target: Option<Called<Vec<Step>>>,
    /// The database user, given or resolved.
    pub user: Option<String>,
}

impl Trial {
    /// What was asked for, as far as it came: `None` after a failure, and for a
    /// release without targets.
    pub fn plan(&self) -> Option<Plan> {
        let steps = self.target.as_ref()?.result.as_ref().ok()?;
        Some(Plan {
            strategy: self.strategy,
            username: self.user.clone()?,
            steps: steps.clone(),
        })
    }

    /// Why there is no plan.
    pub fn error(&self) -> Option<&Error> {
        let resolver = self.resolver.as_ref().map(|called| called.result.as_ref());
        match resolver {
            Some(Err(error)) => Some(error),
            _ => self.target.as_ref()?.result.as_ref().err(),
        }
    }
}

impl Release {
    /// Loads a directory whose `plugins.toml` may leave the resolver out: what
    /// the author of a target works on.
    ///
    /// # Errors
    /// As those of a release from `dir://`.
    pub fn of_directory(engine: &Engine, root: &Path) -> Result<Self> {
        let read = source::read_directory_with(root, Manifest::parse_part)?;
        source::assemble_directory(engine, read)
    }

    /// Makes a release of one component, for what it exports. It serves these
    /// targets, and has WASI where it wants it.
    ///
    /// # Errors
    /// `invalid-plugin`.
    pub fn of_component(
        engine: &Engine,
        path: &str,
        bytes: Vec<u8>,
        targets: &BTreeSet<String>,
    ) -> Result<Self> {
        let refused = |clause: String| {
            Error::new(
                Code::InvalidPlugin,
                format!("the component `{path}` {clause}"),
            )
        };
        let artifact = Artifact::new(path, bytes);
        let id = format!("wasm-{}", artifact.version());
        let component = artifact
            .compiled(engine)
            .map_err(|refusal| refused(refusal.to_string()))?;
        let has_resolver = world::has_export::<Resolver>(engine, component);
        let has_target = world::has_export::<TargetSetup>(engine, component);
        if !has_resolver && !has_target {
            return Err(refused(format!(
                "exports nothing that the host calls, expected `{}@0.1`, `{}@0.1` or both",
                Resolver::INTERFACE,
                TargetSetup::INTERFACE
            )));
        }
        let entry = |section: &str| Entry {
            section: section.to_owned(),
            component: path.to_owned(),
            config: BTreeMap::new(),
            limits: Limits::default(),
            wasi: world::wants_wasi(engine, component),
        };
        let target = |name: &String| {
            let setup = Setup::Component(entry(&format!("targets.{name}")));
            let target = Target {
                strategy: None,
                setup,
            };
            (name.clone(), target)
        };
        let manifest = Manifest {
            resolver: has_resolver.then(|| entry("resolver")),
            targets: targets.iter().filter(|_| has_target).map(target).collect(),
        };
        Self::assemble(
            engine,
            id,
            &manifest,
            BTreeMap::from([(path.to_owned(), File::Compiled(Arc::new(artifact)))]),
        )
    }

    /// Whether it says who is which database user.
    pub fn has_resolver(&self) -> bool {
        self.resolver.is_some()
    }

    /// Asks as an event would. `strategy` is for targets that don't name one.
    ///
    /// # Errors
    /// `unknown-target`; `invalid-plugin` where a limit has no such key or value.
    /// What goes wrong in a plugin is in the result.
    pub async fn try_out(
        &self,
        request: &Request,
        strategy: Strategy,
        given: &Given,
    ) -> Result<Trial> {
        let deadline = far();
        let target = match self.targets().next() {
            Some(_) => Some(self.asked(request)?),
            None => None,
        };
        let strategy = target.and_then(TargetEntry::strategy).unwrap_or(strategy);
        let mut trial = Trial {
            strategy,
            resolver: None,
            target: None,
            user: given.user.clone(),
        };
        if trial.user.is_none() {
            let Some(resolver) = &self.resolver else {
                return Err(Error::new(
                    Code::InvalidPlugin,
                    "there is no resolver here, so the database user has to be given",
                ));
            };
            let plugin = given.put_on_trial(resolver)?;
            let called = call::resolve_user(&plugin, request, strategy, deadline).await;
            trial.user = called.result.as_ref().ok().cloned();
            trial.resolver = Some(called);
        }
        if let (Some(target), Some(user)) = (target, &trial.user) {
            let called = match &target.setup {
                TargetKind::Component(plugin) => {
                    let plugin = given.put_on_trial(plugin)?;
                    call::setup(&plugin, request, strategy, user, deadline).await
                }
                TargetKind::Sql(..) | TargetKind::Role(_) => {
                    target.setup(request, strategy, user, deadline).await
                }
            };
            trial.target = Some(called);
        }
        Ok(trial)
    }

    /// Asks the resolver alone. `None` where there is none.
    pub async fn try_resolver(
        &self,
        request: &Request,
        strategy: Strategy,
    ) -> Option<Called<String>> {
        let resolver = self.resolver.as_ref()?;
        Some(call::resolve_user(resolver, request, strategy, far()).await)
    }

    /// Its entries that have a component: the resolver first.
    pub fn parts(&self) -> Vec<Part> {
        let resolver = self.resolver.iter().map(|plugin| Part {
            plugin: PartPlugin::Resolver(plugin.clone()),
        });
        let targets = self
            .targets
            .values()
            .filter_map(|target| match &target.setup {
                TargetKind::Component(plugin) => Some(Part {
                    plugin: PartPlugin::Target(plugin.clone()),
                }),
                TargetKind::Sql(..) | TargetKind::Role(_) => None,
            });
        resolver.chain(targets).collect()
    }
}

impl TargetEntry {
    /// What it asks for whoever asks, and how: the statements of a file, or a role.
    /// `None` where a component says it. A file that names no strategy can only be
    /// for a temporary user.
    pub fn fixed(&self) -> Option<(Strategy, Vec<Step>)> {
        let strategy = self.strategy();
        match &self.setup {
            TargetKind::Component(_) => None,
            TargetKind::Sql(_, steps) => {
                let strategy = strategy.unwrap_or(Strategy::TemporaryUser);
                Some((strategy, steps.clone()))
            }
            TargetKind::Role(role) => {
                let strategy = strategy.unwrap_or(Strategy::Role);
                Some((strategy, vec![Step::GrantRole(role.clone())]))
            }
        }
    }
}

impl Given {
    fn put_on_trial<E: Export + 'static>(&self, plugin: &Plugin<E>) -> Result<Arc<Plugin<E>>> {
        let mut config = plugin.config().as_ref().clone();
        config.extend(self.config.clone());
        let mut limits = plugin.limits();
        for (key, value) in &self.limits {
            limits.set(key, *value).map_err(|why| {
                Error::new(Code::InvalidPlugin, format!("the limit `{key}` {why}"))
            })?;
        }
        Ok(Arc::new(plugin.on_trial(config, limits)))
    }
}

/// An entry of `plugins.toml` that has a component.
pub struct Part {
    plugin: PartPlugin,
}

enum PartPlugin {
    Resolver(Arc<Plugin<Resolver>>),
    Target(Arc<Plugin<TargetSetup>>),
}

macro_rules! each {
    ($part:expr, $plugin:ident => $value:expr) => {
        match &$part.plugin {
            PartPlugin::Resolver($plugin) => $value,
            PartPlugin::Target($plugin) => $value,
        }
    };
}

impl Part {
    /// Its table in `plugins.toml`: `resolver`, `targets.readonly`.
    pub fn section(&self) -> &str {
        each!(self, plugin => plugin.name())
    }

    /// Its file, relative to `plugins.toml`.
    pub fn path(&self) -> &str {
        each!(self, plugin => plugin.path())
    }

    /// Its limits.
    pub fn limits(&self) -> Limits {
        each!(self, plugin => plugin.limits())
    }

    /// Whether its entry grants WASI.
    pub fn has_wasi(&self) -> bool {
        each!(self, plugin => plugin.has_wasi())
    }

    /// What it has to export.
    pub fn interface(&self) -> &'static str {
        match &self.plugin {
            PartPlugin::Resolver(_) => Resolver::INTERFACE,
            PartPlugin::Target(_) => TargetSetup::INTERFACE,
        }
    }

    /// Compiles it, and checks its imports and its export, as the first event
    /// would.
    ///
    /// # Errors
    /// `invalid-plugin`.
    pub async fn check(&self) -> Result<()> {
        each!(self, plugin => plugin.prepared(far()).await.map(|_| ()))
    }

    /// Calls it, for what that takes. `user` is for a target.
    pub async fn call(&self, request: &Request, strategy: Strategy, user: &str) -> Called<()> {
        match &self.plugin {
            PartPlugin::Resolver(plugin) => call::resolve_user(plugin, request, strategy, far())
                .await
                .map(|_| ()),
            PartPlugin::Target(plugin) => call::setup(plugin, request, strategy, user, far())
                .await
                .map(|_| ()),
        }
    }
}

/// No limit: those of the plugins are.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(24 * 3600)
}
