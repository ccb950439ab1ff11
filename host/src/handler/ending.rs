//! Ending access. No plugin is asked: the ledger says what was done, so one that
//! was changed, broken or deleted since cannot keep access alive.

use std::time::Duration;

use futures_util::future;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::database::Patience;
use super::{Body, Ready};
use crate::config::Sessions;
use crate::error::{Code, Error, Result};
use crate::event::printable;
use crate::postgres::remove::{Belongings, Finished};
use crate::postgres::role::Ended;
use crate::postgres::{
    Connection, Failure, LOCK_TIMEOUT, Names, clear, failure, remove, role, sweep, undone,
};
use crate::request::{Ending, Run};
use crate::sql::quote_identifier;

/// Kept back of an event's time, to say that there is no database.
const RESERVE: Duration = Duration::from_secs(1);

/// Shortest wait for a lock, however little time an event has. None would be for ever.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Who ends a run, and how long they keep at it.
#[derive(Clone, Copy)]
pub(super) struct Ender {
    /// For the ledger.
    name: &'static str,
    patience: Patience,
}

impl Ender {
    /// The sweep: who is behind in its order waits for every lock, and the next one comes.
    pub(super) const SWEEP: Self = Self {
        name: "sweep",
        patience: Patience {
            away_until: None,
            lock: Duration::from_secs(1),
        },
    };

    /// A person, who sees what became of it.
    pub(super) const PERSON: Self = Self {
        name: "revoke",
        patience: Patience {
            away_until: None,
            lock: LOCK_TIMEOUT,
        },
    };

    /// An event, which comes once: a database that is away, or doesn't let us in, has nearly
    /// all of its time to come back, as nothing can be written down meanwhile.
    pub(super) fn event(deadline: Instant) -> Self {
        // What waits for a lock waits twice, and then the run has to be made overdue.
        let third = deadline.saturating_duration_since(Instant::now()) / 3;
        Self {
            name: "deescalate",
            patience: Patience {
                away_until: deadline.checked_sub(RESERVE),
                lock: third.clamp(SHORTEST_WAIT, LOCK_TIMEOUT),
            },
        }
    }

    /// As the ledger has it.
    pub(super) fn name(self) -> &'static str {
        self.name
    }
}

/// A temporary user that can't do anything any more, as far as that could be done.
pub(super) struct Disabled {
    user: remove::Disabled,
    /// Whether it has no session any more.
    sessions: Result<()>,
}

impl Ready {
    /// Ends a run, whatever its strategy. One that can't be ended is overdue from now on:
    /// each sweep tries again.
    pub(super) async fn end(&self, ending: Ending, by: Ender) -> Result<Body> {
        let ending = if self.config.migrates_from_template {
            ending.or_the_templates()
        } else {
            ending
        };
        let ended = self.try_to_end(&ending, by).await;
        if let Err(error) = &ended {
            self.leave_to_sweep(&ending.run, error, by).await;
        }
        ended
    }

    /// Whether this run was one of ours, whatever became of it.
    pub(super) async fn is_known(&self, run: &Run, by: Ender) -> Result<bool> {
        let look = async |connection: &mut Connection| role::is_known(connection, run).await;
        self.in_ledger(Names::default(), by, look).await
    }

    /// Makes a run overdue that could not be ended.
    async fn leave_to_sweep(&self, run: &Run, error: &Error, by: Ender) {
        // Where there is no database, there is nobody to tell.
        if error.code() == Code::DatabaseUnavailable {
            return;
        }
        let mark = async |connection: &mut Connection| sweep::make_overdue(connection, run).await;
        let names = Names::default();
        if let Err(error) = self.in_ledger(names, by, mark).await {
            let cause = error.to_log();
            tracing::warn!(
                run = run.srn(),
                cause,
                "no sweep tries this again before its lease is over"
            );
        }
    }

    async fn in_ledger<T>(
        &self,
        names: Names<'_>,
        by: Ender,
        operation: impl AsyncFn(&mut Connection) -> failure::Result<T>,
    ) -> Result<T> {
        self.database
            .with_ledger_to_end(&self.aws, names, by.patience, operation)
            .await
    }

    async fn try_to_end(&self, ending: &Ending, by: Ender) -> Result<Body> {
        let sessions = self.config.sessions;
        let give_back = async |connection: &mut Connection| {
            role::give_back(connection, ending, by.name, sessions).await
        };
        let ended = self.in_ledger(Names::default(), by, give_back).await?;
        if ended.outcome == "temporary-user" {
            let disabled = self.disable(&ending.run, by).await?;
            self.tidy_up(&ending.run, disabled, by).await?;
            return Ok(Body::new());
        }
        if ended.outcome == "already-ended" && ended.grant.secret.is_some() {
            self.forget_late_secret(&ending.run, by).await?;
        }
        let finished = if ended.grant.state == "ending" {
            let names = Names {
                user: ended.grant.user_name.as_deref().unwrap_or_default(),
                ..Names::default()
            };
            self.finish(&ending.run, names, by).await?
        } else {
            Finished::default()
        };
        let body = role_body(&ended, finished, &self.config.database.ledger_owner);
        warn_of(&ending.run, &ended, &body);
        Ok(body)
    }

    /// Deletes the secret of a run that has ended: a store may make one after the event that
    /// asked for it had no time left, and after the end.
    async fn forget_late_secret(&self, run: &Run, by: Ender) -> Result<()> {
        let forget = async |connection: &mut Connection| {
            let deleted = match remove::hold_ended(connection, run).await? {
                Some(name) => {
                    let _timer = self.meters.secrets.start();
                    self.store.delete(&self.aws, &name).await
                }
                None => Ok(()),
            };
            // No failure of the database's, which would be tried again.
            Ok(deleted)
        };
        let forget = async |connection: &mut Connection| undone(connection, forget).await;
        let deleted = self.in_ledger(Names::default(), by, forget).await?;
        deleted.map_err(late_secret_remains)
    }

    /// Ends the sessions that could keep what was taken back, and with that the
    /// run. Before the COMMIT of the taking another could begin, so it is a call
    /// of its own.
    async fn finish(&self, run: &Run, names: Names<'_>, by: Ender) -> Result<Finished> {
        let all = self.config.sessions == Sessions::Terminate;
        let end = async |connection: &mut Connection| remove::finish(connection, run, all).await;
        self.in_ledger(names, by, end).await
    }

    /// Takes all that the run's user can do, sessions included.
    pub(super) async fn disable(&self, run: &Run, by: Ender) -> Result<Disabled> {
        let disable =
            async |connection: &mut Connection| remove::disable(connection, run, by.name).await;
        let user = self.in_ledger(Names::default(), by, disable).await?;
        let names = Names {
            user: name_of(&user),
            ..Names::default()
        };
        let sessions = match (&user.user, user.grant.user_oid) {
            (Some(_), Some(oid)) => self.end_sessions(names, oid, by).await,
            _ => Ok(()),
        };
        Ok(Disabled { user, sessions })
    }

    /// Removes the run's user, and its secret, stage by stage.
    pub(super) async fn tidy_up(&self, run: &Run, disabled: Disabled, by: Ender) -> Result<()> {
        let Disabled { user, sessions } = disabled;
        let name = name_of(&user);
        let names = Names {
            user: name,
            ..Names::default()
        };
        // A store that is silent keeps nothing in the database waiting.
        let clear = async {
            match (&user.user, user.grant.user_oid) {
                (Some(_), Some(oid)) => self.clear(names, run, oid, user.kept.is_some(), by).await,
                _ => Ok(Vec::new()),
            }
        };
        let forget = async {
            match &user.grant.secret {
                Some(name) => {
                    let _timer = self.meters.secrets.start();
                    self.store.delete(&self.aws, name).await
                }
                None => Ok(()),
            }
        };
        let (cleared, secret) = future::join(clear, forget).await;
        // First what the person with the password can still use: a login, a session, a role.
        let kept = user.kept.as_deref();
        let owner = &self.config.database.ledger_owner;
        let kept = |is_login: bool| match kept {
            Some(why) if (why != "membership") == is_login => {
                Err(Failure::user_kept(name, why, owner).into_error(names))
            }
            _ => Ok(()),
        };
        kept(true)?;
        sessions?;
        let told = cleared?;
        kept(false)?;
        // The credential is dead, and the run stays `ending` until the secret is gone too.
        secret.map_err(|error| secret_remains(name, error))?;
        let drop = async |connection: &mut Connection| remove::drop_user(connection, run).await;
        self.in_ledger(names, by, drop).await?;
        // One that had begun to log in before the first stage, and was not in
        // sight yet. Until that has been looked at, the run has not ended.
        let mut owners = self.finish(run, names, by).await?.owners;
        owners.retain(|owner| !told.contains(owner));
        warn_of_owners(run, &owners);
        Ok(())
    }

    async fn end_sessions(&self, names: Names<'_>, user_oid: u32, by: Ender) -> Result<()> {
        let end =
            async |connection: &mut Connection| remove::end_sessions(connection, user_oid).await;
        self.in_ledger(names, by, end).await
    }

    /// Takes what the user owns, and what was granted to it, in each database: one that
    /// can't be reached, which may be anybody's, keeps no other. `may_act`: as of
    /// [`clear::clear`]. Returns which of its roles own something now, of which it has told.
    async fn clear(
        &self,
        names: Names<'_>,
        run: &Run,
        user_oid: u32,
        may_act: bool,
        by: Ender,
    ) -> Result<Vec<String>> {
        let look =
            async |connection: &mut Connection| remove::prepare_clearing(connection, run).await;
        let Belongings {
            databases,
            heir,
            is_cut,
            owners,
        } = self.in_ledger(names, by, look).await?;
        // Again with each try, as long as the user is there.
        warn_of_owners(run, &owners);
        let mut cleared = Ok(());
        for database in databases {
            let end_lockers = async || {
                let end = async |connection: &mut Connection| {
                    sweep::end_catalog_lockers(connection, &database).await
                };
                let ended = self.in_ledger(names, by, end).await;
                ended.is_ok_and(|sessions| sessions > 0)
            };
            let result = match self.database.connect_to(&self.aws, &database).await {
                Ok(connection) => {
                    let clear = clear::clear(
                        &connection,
                        user_oid,
                        heir.as_deref(),
                        may_act,
                        is_cut,
                        end_lockers,
                    );
                    self.database.hurrying(&self.aws, clear).await
                }
                Err(failure) => Err(failure),
            };
            match result {
                Ok(()) => {}
                // The last stage names what is in the way, in one sentence.
                Err(failure) if clear::is_blocked(&failure) => {
                    let cause = failure.into_error(names).to_log();
                    let database = printable(&database, 80);
                    tracing::warn!(
                        run = run.srn(),
                        database,
                        cause,
                        "what the user owns could not be reassigned"
                    );
                }
                Err(failure) => cleared = cleared.and(Err(failure.into_error(names))),
            }
        }
        cleared.map(|()| owners)
    }
}

/// For sentences: the user as it is called now, or was.
fn name_of(disabled: &remove::Disabled) -> &str {
    let was = || disabled.grant.user_name.as_deref();
    disabled.user.as_deref().or_else(was).unwrap_or_default()
}

/// The credential is worth nothing.
fn secret_remains(user: &str, error: Error) -> Error {
    let sentence = format!(
        "temporary user `{user}` can't log in any more, but its secret could not be deleted: send the event again, or \
         leave it to the sweep; the function's log has the reason"
    );
    Error::new(error.code(), sentence).with_source(error)
}

/// Of a run that has ended, and whose event has come again.
fn late_secret_remains(error: Error) -> Error {
    let sentence = "this run has ended, but whether a secret of it is left could not be seen to: send the event again; the \
        function's log has the reason";
    Error::new(error.code(), sentence).with_source(error)
}

/// Who has what a function of its could use for good. None where there are none.
fn owning(owners: &[String]) -> Option<String> {
    if owners.is_empty() {
        return None;
    }
    let names: Vec<String> = owners.iter().map(|owner| format!("`{owner}`")).collect();
    Some(format!(
        "roles that have to own nothing own something now, or too much is granted to them to tell: {}; look what, as a \
         function of theirs can do what they may: until it is gone, neither they nor their members are lent",
        names.join(", ")
    ))
}

fn warn_of_owners(run: &Run, owners: &[String]) {
    if let Some(sentence) = owning(owners) {
        tracing::warn!(run = run.srn(), "{sentence}");
    }
}

/// A line of the log for each thing that an end has found. The answer has them too, but
/// nobody reads that of a sweep, or keeps that of a terminal.
fn warn_of(run: &Run, ended: &Ended, body: &Body) {
    let run = run.srn();
    let found = ["gained", "made"].map(|key| body.get(key).and_then(Value::as_str));
    for sentence in found.into_iter().flatten() {
        tracing::warn!(run, "{sentence}");
    }
    // Of a role that another run lends still, that one's end looks again.
    if ended.outcome == "shared" {
        return;
    }
    for path in &ended.remaining {
        let name = |key: &str| printable(path[key].as_str().unwrap_or_default(), 80);
        let (through, grantor) = (name("through"), name("grantor"));
        tracing::warn!(
            run,
            "the membership in `{through}` that `{grantor}` granted remains"
        );
    }
}

/// Whether a membership was granted by this user. The server quotes names where it has to.
fn is_by(path: &Value, user: &str) -> bool {
    let grantor = path["grantor"].as_str().unwrap_or_default();
    grantor == user || quote_identifier(user).is_ok_and(|quoted| grantor == quoted)
}

/// What Sym is told of a role that was given back: the template's `username`,
/// and more where there is more to say. `bot` is who grants.
fn role_body(ended: &Ended, finished: Finished, bot: &str) -> Body {
    let mut body = Body::new();
    // A temporary user's answer is empty, as the template's.
    if let (Some(user), Some(_)) = (&ended.grant.user_name, &ended.grant.role_name) {
        body.insert("username".to_owned(), json!(user));
    }
    let user = ended.grant.user_name.as_deref().unwrap_or_default();
    let role = ended.grant.role_name.as_deref().unwrap_or_default();
    let note = match ended.outcome.as_str() {
        "never-began" => Some("the run had not begun, and can't begin now".to_owned()),
        // Up to 15 nothing keeps anybody from taking it since.
        "standing" if !ended.remaining.is_empty() => Some(format!(
            "`{user}` had `{role}` before this run, and keeps it"
        )),
        "shared" => Some(format!(
            "`{user}` keeps `{role}` until {} more run(s) end",
            ended.others.len()
        )),
        "user-gone" => Some(format!(
            "the run's database user, `{user}`, doesn't exist any more"
        )),
        "role-gone" => Some(format!("the run's role, `{role}`, doesn't exist any more")),
        "taken-back" | "already-ended" if ended.remaining.iter().any(|path| is_by(path, bot)) => {
            Some(format!(
                "`{user}` still has `{role}` by a membership that this function's user granted: another run's, or one that \
                 `symctl doctor` names"
            ))
        }
        "taken-back" | "already-ended" if !ended.remaining.is_empty() => Some(format!(
            "`{user}` still has `{role}` by memberships that are not this function's"
        )),
        _ => None,
    };
    if let Some(note) = note {
        body.insert("note".to_owned(), json!(note));
    }
    if finished.sessions > 0 {
        body.insert("sessions_ended".to_owned(), json!(finished.sessions));
    }
    let gained = ended.gained.max(finished.gained);
    if gained > 0 {
        let note = format!(
            "`{user}` has {gained} more privilege(s) of its own than when the run began: look where they come from"
        );
        body.insert("gained".to_owned(), json!(note));
    }
    let mut owners = [&ended.owners[..], &finished.owners].concat();
    owners.sort_unstable();
    owners.dedup();
    if let Some(sentence) = owning(&owners) {
        body.insert("made".to_owned(), json!(sentence));
    }
    if !ended.remaining.is_empty() {
        body.insert("remaining".to_owned(), json!(ended.remaining));
    }
    body
}
