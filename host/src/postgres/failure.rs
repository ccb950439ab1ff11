//! What can go wrong in the database, by SQLSTATE and never by text.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::refusal;
use crate::error::{Code, Error};

/// SQLSTATE of what `sym.refuse` raises.
const REFUSAL: &str = "SYMRF";

/// SQLSTATE of the warning that a GRANT granted nothing, or not all.
const NOT_GRANTED: &str = "01007";

/// What the server said beside its answer, for the log.
#[derive(Debug)]
pub(crate) struct Warning {
    /// Its SQLSTATE.
    pub(crate) state: String,
    /// Its text.
    pub(crate) text: String,
}

/// Why a call to the database failed.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    source: Option<tokio_postgres::Error>,
    /// Whether there was no session yet.
    is_of_connecting: bool,
    /// Where none was made, for the log.
    host: Option<String>,
}

#[derive(Debug)]
enum Kind {
    /// The connection is no good any more: nothing of the call is left, or all
    /// of it, and we can't know. `why` where the server hasn't said it.
    Gone { why: Option<String> },
    /// There was no connection within the time that one may take.
    Unreached { why: String },
    /// Another change was in progress.
    Conflict,
    /// Another change was in progress, for as long as we may wait.
    Locked,
    /// The server doesn't let us log in.
    Login,
    /// One of our own SQL functions refuses. `why` is its DETAIL.
    Refusal { code: String, why: Value },
    /// A statement raised a warning of class 01: it was not carried out, or not
    /// wholly.
    Warning { state: String, text: String },
    /// The server refused a statement; it, or we, stopped it.
    Refused { state: String, step: Option<usize> },
    /// Schema `sym` is missing or can't be used.
    Setup { sentence: String },
    /// It has an error of its own already.
    Lifted(Error),
}

/// Names that the sentences need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// The database user.
    pub user: &'a str,
    /// The role.
    pub role: &'a str,
    /// Whom we log in as.
    pub bot: &'a str,
}

/// Result with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            source: None,
            is_of_connecting: false,
            host: None,
        }
    }

    /// The connection is no good any more, for a reason that is for the log.
    pub(crate) fn gone(why: impl Into<String>) -> Self {
        let why = Some(why.into());
        Self::new(Kind::Gone { why })
    }

    /// There was no connection to this host for so long.
    pub(crate) fn unreached(host: &str, limit: Duration) -> Self {
        let why = format!("no connection to {host} within {} s", limit.as_secs());
        Self::new(Kind::Unreached { why })
    }

    pub(crate) fn setup(sentence: impl Into<String>) -> Self {
        Self::new(Kind::Setup {
            sentence: sentence.into(),
        })
    }

    /// The same, said to be schema `sym`'s.
    pub(crate) fn because_of_setup(mut self, sentence: String) -> Self {
        self.kind = Kind::Setup { sentence };
        self
    }

    pub(crate) fn warning(warning: Warning) -> Self {
        let Warning { state, text } = warning;
        Self::new(Kind::Warning { state, text })
    }

    /// A temporary user could not be disabled wholly, for this reason (see
    /// `sym.disable_user`), by the ledger's owner. `user` is as a statement names it.
    pub fn user_kept(user: &str, why: &str, owner: &str) -> Self {
        let code = "access-remains".to_owned();
        let why = serde_json::json!({"why": why, "user": user, "owner": owner});
        Self::new(Kind::Refusal { code, why })
    }

    /// The run began with this user, and not with the one that is asked for now.
    pub fn renamed(user: &str) -> Self {
        let code = "run-conflict".to_owned();
        let why = serde_json::json!({"why": "renamed", "user": user});
        Self::new(Kind::Refusal { code, why })
    }

    /// Why there is no session: the server may let one begin in a moment, whatever it says now,
    /// as where somebody has closed or renamed the database for as long as they work on it.
    pub(crate) fn while_connecting(error: tokio_postgres::Error, host: &str) -> Self {
        let mut failure = Self::from(error);
        failure.is_of_connecting = true;
        failure.host = Some(host.to_owned());
        failure
    }

    /// The same, of the step with this index of the target's setup.
    pub(crate) fn at_step(mut self, index: usize) -> Self {
        if let Kind::Refused { step, .. } = &mut self.kind {
            *step = Some(index + 1);
        }
        self
    }

    /// From a statement of a target's: what it raises in our name isn't ours, and that a
    /// database or a login is missing is said of what it names. Only an error that ends
    /// the session is about the connection.
    pub(crate) fn of_foreign(error: tokio_postgres::Error) -> Self {
        let state = error.as_db_error().filter(|error| is_statements(error));
        let state = state.map(|error| error.code().code().to_owned());
        let mut failure = Self::from(error);
        let is_about_us = matches!(
            failure.kind,
            Kind::Refusal { .. } | Kind::Login | Kind::Setup { .. } | Kind::Gone { .. }
        );
        if is_about_us && let Some(state) = state {
            failure.kind = Kind::Refused { state, step: None };
        }
        failure
    }

    /// Whether the connection has to be replaced.
    pub fn is_gone(&self) -> bool {
        matches!(self.kind, Kind::Gone { .. } | Kind::Unreached { .. })
    }

    /// Whether there was no connection within the time that one may take.
    pub fn is_unreached(&self) -> bool {
        matches!(self.kind, Kind::Unreached { .. })
    }

    /// Whether the password may be an old one.
    pub fn is_login(&self) -> bool {
        matches!(self.kind, Kind::Login)
    }

    /// Whether the database was away, or didn't let us in: it or our password may be there later.
    pub fn is_shut_out(&self) -> bool {
        match &self.kind {
            Kind::Lifted(error) => error.code() == Code::SecretUnavailable,
            _ => self.is_of_connecting || self.is_gone() || self.is_login(),
        }
    }

    /// Whether the same call may succeed in a moment. One that has waited for a
    /// lock, or for a connection, has used up our time already.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Gone { .. } | Kind::Conflict)
    }

    /// Whether somebody else keeps a lock for longer than we may wait.
    pub fn is_locked(&self) -> bool {
        matches!(self.kind, Kind::Locked)
    }

    /// Whether one of our functions refused, for whatever reason.
    pub fn is_refused(&self) -> bool {
        matches!(self.kind, Kind::Refusal { .. })
    }

    /// Whether one of our functions refused with this code.
    pub fn is_refusal(&self, wanted: &str) -> bool {
        matches!(&self.kind, Kind::Refusal { code, .. } if code == wanted)
    }

    /// Why one of our functions refused, in its own word.
    pub(crate) fn refused_why(&self) -> Option<&str> {
        match &self.kind {
            Kind::Refusal { why, .. } => why["why"].as_str(),
            _ => None,
        }
    }

    /// Whether the server refused a statement for a reason of its own.
    pub fn is_statement_refused(&self) -> bool {
        matches!(self.kind, Kind::Refused { .. })
    }

    /// Whether what was called isn't there: the call itself, and nothing that it ran.
    pub(crate) fn is_of_missing_function(&self) -> bool {
        let error = self.source.as_ref();
        error
            .and_then(tokio_postgres::Error::as_db_error)
            .is_some_and(|error| {
                *error.code() == SqlState::UNDEFINED_FUNCTION && error.where_().is_none()
            })
    }

    /// Whether this SQLSTATE is the reason.
    pub fn is_state(&self, wanted: &SqlState) -> bool {
        self.source.as_ref().and_then(tokio_postgres::Error::code) == Some(wanted)
    }

    /// The error with its public sentence.
    pub fn into_error(self, names: Names<'_>) -> Error {
        let Self {
            kind, source, host, ..
        } = self;
        let unavailable = || {
            Error::new(
                Code::DatabaseUnavailable,
                "the database is unavailable: try again",
            )
            .with_pointer(", and if it stays so, see the function's log")
        };
        let error = match kind {
            Kind::Lifted(error) => return error,
            Kind::Gone { why: None } => unavailable(),
            Kind::Gone { why: Some(why) } | Kind::Unreached { why } => {
                unavailable().with_source(why)
            }
            Kind::Conflict | Kind::Locked => Error::new(
                Code::DatabaseConflict,
                "another change was in progress in the database: try again in a moment",
            ),
            Kind::Login => Error::new(
                Code::DatabaseLogin,
                format!(
                    "the database doesn't let `{}` log in: check the function's password and the server's rules",
                    names.bot
                ),
            ),
            Kind::Refusal { code, why } => refusal::sentence(&code, &why, names),
            Kind::Warning { state, text } if state == NOT_GRANTED => Error::new(
                Code::DatabaseRefused,
                format!(
                    "a statement of the target's setup granted less than it says: give `{}` the grant option on what \
                     it grants",
                    names.bot
                ),
            )
            .with_source(text),
            Kind::Warning { state, text } => Error::new(
                Code::DatabaseRefused,
                format!("a statement of the target's setup raised a warning (SQLSTATE {state})"),
            )
            .with_pointer(": see the function's log")
            .with_source(text),
            Kind::Refused { state, step: Some(step) } if state == SqlState::INSUFFICIENT_PRIVILEGE.code() => Error::new(
                Code::DatabaseRefused,
                format!(
                    "the database refused step {step} of the target's setup (SQLSTATE {state}): `{}` lacks a privilege, \
                     or its grant option, on something that it names",
                    names.bot
                ),
            )
            .with_pointer(": see the function's log"),
            Kind::Refused { state, step: None } => Error::new(
                Code::DatabaseRefused,
                format!("the database refused a statement of the function's (SQLSTATE {state})"),
            )
            .with_pointer(": see the function's log"),
            Kind::Refused { state, step: Some(step) } => Error::new(
                Code::DatabaseRefused,
                format!("the database refused step {step} of the target's setup (SQLSTATE {state})"),
            )
            .with_pointer(": see the function's log"),
            Kind::Setup { sentence } => Error::new(Code::DatabaseSetup, sentence),
        };
        match source {
            Some(source) => error.with_source(Detail {
                error: source,
                host,
            }),
            None => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(Kind::Lifted(error))
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let kind = match error.code() {
            // Without a code it never came from the server: the connection
            // closed, the socket failed, TLS or authentication didn't work out.
            None => Kind::Gone { why: None },
            Some(state) if state.code() == REFUSAL => {
                let why = error
                    .as_db_error()
                    .and_then(|error| error.detail())
                    .unwrap_or_default();
                let why: Value = serde_json::from_str(why).unwrap_or_default();
                let code = why["code"].as_str().unwrap_or_default().to_owned();
                Kind::Refusal { code, why }
            }
            Some(state) => match state.code() {
                "28P01" | "28000" => Kind::Login,
                "3D000" => Kind::Setup {
                    sentence: "the database that the function connects to does not exist: check its variables `DB_NAME` \
                               and `LEDGER_DB`"
                        .to_owned(),
                },
                "40001" | "40P01" => Kind::Conflict,
                "55P03" => Kind::Locked,
                // A catalog row that two transactions changed at once. The one
                // case that has no SQLSTATE of its own.
                "XX000" if is_concurrent_update(&error) => Kind::Conflict,
                // A standby, or a primary that has become one.
                "25006" => Kind::Gone { why: None },
                code if code.starts_with("08") || code.starts_with("57P") || code == "53300" => {
                    Kind::Gone { why: None }
                }
                code => Kind::Refused {
                    state: code.to_owned(),
                    step: None,
                },
            },
        };
        Self {
            kind,
            source: Some(error),
            is_of_connecting: false,
            host: None,
        }
    }
}

/// Whether it is the statement that failed, and not the session.
fn is_statements(error: &DbError) -> bool {
    error.parsed_severity() == Some(Severity::Error)
}

fn is_concurrent_update(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        error.routine() == Some("simple_heap_update")
            || error.routine() == Some("simple_heap_delete")
    })
}

/// The server's own words, for the log alone. `Display` of the library's error
/// is just "db error".
#[derive(Debug)]
struct Detail {
    error: tokio_postgres::Error,
    /// Where there was no session.
    host: Option<String>,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}: ")?;
        }
        match self.error.as_db_error() {
            // Not the statement, and not where in it: setup statements may hold
            // what their authors take for private.
            Some(error) => {
                write!(
                    f,
                    "{} {}: {}",
                    error.severity(),
                    error.code().code(),
                    error.message()
                )?;
                error
                    .detail()
                    .map_or(Ok(()), |detail| write!(f, " ({detail})"))
            }
            None => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for Detail {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.error.as_db_error() {
            Some(_) => None,
            None => std::error::Error::source(&self.error),
        }
    }
}
