//! A release: an immutable set of plugins, and how to ask them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::call::{self, Answer, Called, Spent};
use super::component::{Artifact, Plugin};
use super::engine::Engine;
use super::failure;
use super::instance::Starting;
use super::limits::Limit;
use super::manifest::{Entry, Manifest, Setup};
use super::statement::Digest;
use super::trust::VerifiedNative;
use super::world::{Export, Resolver, TargetSetup};
use crate::error::{Code, Error, Result};
use crate::event::printable;
use crate::plan::{Statement, Step, Strategy};
use crate::request::Request;
use crate::sql::{self, Template};

/// An immutable set of plugins. Cheap to share behind an `Arc`; an event that
/// began with one ends with it.
pub struct Release {
    id: String,
    /// `None` in a part of a release alone, which is for trials.
    pub(super) resolver: Option<Arc<Plugin<Resolver>>>,
    pub(super) targets: BTreeMap<String, TargetEntry>,
}

/// What `plugins.toml` says of a target.
pub struct TargetEntry {
    strategy: Option<Strategy>,
    pub(super) setup: TargetKind,
}

pub(super) enum TargetKind {
    Component(Arc<Plugin<TargetSetup>>),
    /// The file and its statements.
    Sql(String, Vec<Step>),
    Role(String),
}

impl TargetEntry {
    /// How access to it is given. `None`: as the variable `STRATEGY` says.
    pub fn strategy(&self) -> Option<Strategy> {
        self.strategy
    }

    /// The role that it lends, where that is all it does.
    pub fn role(&self) -> Option<&str> {
        match &self.setup {
            TargetKind::Role(role) => Some(role),
            TargetKind::Component(_) | TargetKind::Sql(..) => None,
        }
    }

    /// Asks what it means.
    pub(super) async fn setup(
        &self,
        request: &Request,
        strategy: Strategy,
        username: &str,
        deadline: Instant,
    ) -> Called<Vec<Step>> {
        match &self.setup {
            TargetKind::Component(plugin) => {
                call::setup(plugin, request, strategy, username, deadline).await
            }
            TargetKind::Sql(path, _) if strategy == Strategy::Role => Called::not(Err(Error::new(
                Code::InvalidPlugin,
                format!(
                    "target `{}` is the file `{path}`, which the strategy `role` can't run: \
                         its entry in plugins.toml needs `strategy = \"temporary-user\"`, or `role` instead of `sql`",
                    printable(&request.target.name, 80)
                ),
            ))),
            TargetKind::Sql(_, steps) => Called::not(Ok(steps.clone())),
            TargetKind::Role(role) => Called::not(Ok(vec![Step::GrantRole(role.clone())])),
        }
    }
}

/// What it is, for people: ``plugin `targets.x` (sha256 …)``, ``file `x.sql` ``.
impl fmt::Display for TargetEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.setup {
            TargetKind::Component(plugin) => f.write_str(&plugin.subject()),
            TargetKind::Sql(path, _) => write!(f, "file `{path}`"),
            TargetKind::Role(role) => write!(f, "role `{}`", printable(role, 80)),
        }
    }
}

impl Release {
    /// Puts a release together from its files, which have been read and, where
    /// the source has signatures, verified.
    pub(super) fn assemble(
        engine: &Engine,
        id: String,
        manifest: &Manifest,
        files: BTreeMap<String, File>,
    ) -> Result<Self> {
        let mut files = Files {
            release: id.as_str().into(),
            files,
            artifacts: BTreeMap::new(),
        };
        let resolver = match &manifest.resolver {
            Some(entry) => Some(files.plugin(engine, entry)?),
            None => None,
        };
        let mut targets = BTreeMap::new();
        for (name, target) in &manifest.targets {
            let setup = match &target.setup {
                Setup::Component(entry) => TargetKind::Component(files.plugin(engine, entry)?),
                Setup::Sql(path) => TargetKind::Sql(path.clone(), files.statements(path)?),
                Setup::Role(role) => TargetKind::Role(role.clone()),
            };
            targets.insert(
                name.clone(),
                TargetEntry {
                    strategy: target.strategy,
                    setup,
                },
            );
        }
        Ok(Self {
            id,
            resolver,
            targets,
        })
    }

    /// Names it in logs and in the ledger. For a directory, `dir-` and the
    /// beginning of a digest of all its files; for a published release, `r`, its
    /// serial, and the beginning of its statement's digest.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The target of that name.
    pub fn target(&self, name: &str) -> Option<&TargetEntry> {
        self.targets.get(name)
    }

    /// All targets, in the order of their names.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &TargetEntry)> {
        self.targets
            .iter()
            .map(|(name, target)| (name.as_str(), target))
    }

    /// Asks the resolver for the database user of the requester. What it says has
    /// not been looked at: [`RoleName`](crate::name::RoleName) does that.
    ///
    /// # Errors
    /// `denied`, `plugin-failed`, `plugin-trapped`, one for each limit,
    /// `invalid-plugin`, `out-of-time`.
    pub async fn resolve_user(
        &self,
        request: &Request,
        strategy: Strategy,
        deadline: Instant,
    ) -> Result<Answer<String>> {
        let Some(resolver) = &self.resolver else {
            return Err(Error::internal("asked a release without a resolver"));
        };
        call::resolve_user(resolver, request, strategy, deadline)
            .await
            .into_answer()
    }

    /// Asks what the request's target means. What it says has not been looked at:
    /// [`policy`](crate::policy) does that.
    ///
    /// # Errors
    /// `unknown-target`, and those of [`resolve_user`](Self::resolve_user).
    pub async fn setup(
        &self,
        request: &Request,
        strategy: Strategy,
        username: &str,
        deadline: Instant,
    ) -> Result<Answer<Vec<Step>>> {
        let target = self.asked(request)?;
        target
            .setup(request, strategy, username, deadline)
            .await
            .into_answer()
    }

    /// Gives back what is left of this event's calls, and starts ahead what the next
    /// request for this target would wait for. For when an event is about to wait for
    /// somebody else.
    pub fn start_ahead(&self, target: &str, spent: Vec<Spent>) {
        let resolver = self.resolver.as_ref().and_then(Plugin::start_ahead);
        // One target's at a time: a release may have hundreds, and a small function has
        // not the memory.
        let others = self.targets.iter().filter(|(name, _)| *name != target);
        let given_up: Vec<_> = others
            .filter_map(|(_, entry)| match &entry.setup {
                TargetKind::Component(plugin) => plugin.ahead().give_up(),
                TargetKind::Sql(..) | TargetKind::Role(_) => None,
            })
            .collect();
        let target = match self.target(target).map(|entry| &entry.setup) {
            Some(TargetKind::Component(plugin)) => plugin.start_ahead(),
            _ => None,
        };
        let starting: Vec<_> = resolver.into_iter().chain(target).collect();
        let is_long = starting.iter().any(|starting| starting.is_long);
        // One behind the other: each has memory of its own.
        let all = async move {
            drop((spent, given_up));
            in_turn(starting).await;
        };
        tokio::spawn(async move {
            // Behind what the event waits for, where that was to be asked at once.
            tokio::task::yield_now().await;
            if is_long {
                let runtime = Handle::current();
                tokio::task::spawn_blocking(move || runtime.block_on(all));
            } else {
                all.await;
            }
        });
    }

    /// The target that a request names.
    ///
    /// # Errors
    /// `unknown-target`.
    pub fn asked(&self, request: &Request) -> Result<&TargetEntry> {
        let name = &request.target.name;
        self.target(name).ok_or_else(|| {
            let known: Vec<&str> = self.targets.keys().map(String::as_str).take(20).collect();
            Error::new(
                Code::UnknownTarget,
                format!(
                    "target `{}` is not in `plugins.toml`: add it, or ask for another",
                    printable(name, 80)
                ),
            )
            .with_source(format!(
                "release {} has targets {}",
                self.id,
                known.join(", ")
            ))
        })
    }

    /// Whether every plugin came as native code, and none is loaded yet.
    pub(super) fn is_native(&self) -> bool {
        let is_native = |target: &TargetEntry| match &target.setup {
            TargetKind::Component(plugin) => plugin.is_native(),
            TargetKind::Sql(..) | TargetKind::Role(_) => true,
        };
        self.resolver
            .as_ref()
            .is_none_or(|plugin| plugin.is_native())
            && self.targets.values().all(is_native)
    }

    /// Compiles and checks every plugin, as the first events would.
    ///
    /// # Errors
    /// One for each plugin that is refused.
    pub async fn check_all(&self) -> Result<(), Vec<Error>> {
        // Nobody waits for an answer here; a day is no limit.
        let deadline = Instant::now() + std::time::Duration::from_secs(24 * 3600);
        let mut errors = Vec::new();
        if let Some(resolver) = &self.resolver {
            errors.extend(resolver.prepared(deadline).await.err());
        }
        for target in self.targets.values() {
            if let TargetKind::Component(plugin) = &target.setup {
                errors.extend(plugin.prepared(deadline).await.err());
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}

async fn in_turn(all: Vec<Starting>) {
    for one in all {
        one.start.await;
    }
}

/// A file of a release.
pub(super) enum File {
    /// As it is in the directory.
    Bytes(Vec<u8>),
    /// A component's native code, and not the component.
    Native {
        component: Digest,
        component_bytes: u64,
        code: VerifiedNative,
    },
    /// A component that was looked at before: a trial's.
    Compiled(Arc<Artifact>),
}

/// The files of a release on their way into it. One file that several entries
/// name is compiled once.
struct Files {
    release: Arc<str>,
    files: BTreeMap<String, File>,
    artifacts: BTreeMap<String, Arc<Artifact>>,
}

impl Files {
    fn plugin<E: Export + 'static>(
        &mut self,
        engine: &Engine,
        entry: &Entry,
    ) -> Result<Arc<Plugin<E>>> {
        let path = &entry.component;
        let artifact = match self.artifacts.get(path) {
            Some(artifact) => artifact.clone(),
            None => {
                let artifact = match self.files.remove(path) {
                    Some(File::Bytes(bytes)) => Arc::new(Artifact::new(path, bytes)),
                    Some(File::Native {
                        component,
                        component_bytes,
                        code,
                    }) => Arc::new(Artifact::native(path, component, component_bytes, code)),
                    Some(File::Compiled(artifact)) => artifact,
                    None => return Err(Error::internal(format!("`{path}` was not read"))),
                };
                self.artifacts.insert(path.clone(), artifact.clone());
                artifact
            }
        };
        let config = Arc::new(entry.config.clone());
        let plugin = Plugin::new(
            engine.clone(),
            self.release.clone(),
            artifact,
            entry.section.clone(),
            entry.limits,
            config,
            entry.wasi,
        );
        if plugin.component_bytes() > entry.limits.component_bytes {
            return Err(failure::exceeded(&plugin, Limit::ComponentBytes));
        }
        Ok(Arc::new(plugin))
    }

    fn statements(&self, path: &str) -> Result<Vec<Step>> {
        let refused = |what: &str| {
            Error::new(
                Code::InvalidPlugin,
                format!("the release is refused: `{path}`{what}"),
            )
        };
        let Some(File::Bytes(bytes)) = self.files.get(path) else {
            return Err(Error::internal(format!("`{path}` was not read")));
        };
        let text = std::str::from_utf8(bytes).map_err(|_| refused(" isn't UTF-8 text"))?;
        // Its sentence is in ours; what is left for the log is its cause.
        let with_cause = |refusal: Error, error: &dyn std::error::Error| match error.source() {
            Some(cause) => refusal.with_source(cause.to_string()),
            None => refusal,
        };
        let statements = sql::split_statements(text)
            .map_err(|error| with_cause(refused(&format!(": {error}")), &error))?;
        // A file has no values but the user, so all that can be wrong with its
        // placeholders is known now. The name is one like any other.
        for (index, statement) in statements.iter().enumerate() {
            let checked =
                Template::parse(statement).and_then(|template| template.render("username", &[]));
            checked.map_err(|error| {
                let what = format!(", statement {}: {error}", index + 1);
                with_cause(refused(&what), &error)
            })?;
        }
        let step = |sql| {
            Step::Sql(Statement {
                sql,
                args: Vec::new(),
            })
        };
        Ok(statements.into_iter().map(step).collect())
    }
}
