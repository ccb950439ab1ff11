//! The one error type: a stable code, a sentence that is safe to send, and a
//! cause that stays in the log.
//!
//! Two audiences read it. The requester (in Slack) reads [`Error::message`]:
//! it never holds server text, SQL, host names or secrets. The operator reads
//! the log, where the chain of [`std::error::Error::source`] says the rest.

use std::error::Error as StdError;
use std::fmt;

use crate::event::shown;

/// Who has to act, so that it doesn't happen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Who sent the event.
    Caller,
    /// Who set up the function, the database or the release.
    Operator,
    /// Who wrote the plugin.
    Plugin,
    /// A service that we use: the database, AWS.
    Upstream,
    /// Nobody: it is a decision.
    Decision,
    /// We.
    Host,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal, $blame:ident, $retryable:literal;)*) => {
        /// What kind of error it is. The text of a code never changes: alarms and
        /// runbooks hang on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])* $variant,)* }

        impl Code {
            /// Every code, for the reference page.
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            /// The code as it appears in answers, logs and metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            /// Who has to act.
            pub fn blame(self) -> Blame {
                match self { $(Code::$variant => Blame::$blame,)* }
            }

            /// Whether the same event may succeed later with nothing changed.
            pub fn is_retryable(self) -> bool {
                match self { $(Code::$variant => $retryable,)* }
            }

            /// What the code means, for the reference page.
            pub fn documentation(self) -> &'static str {
                match self { $(Code::$variant => concat!($($doc,)*),)* }
            }
        }
    };
}

codes! {
    /// The event isn't JSON, or a field is missing or wrong. Who sent it mends it.
    InvalidEvent = "invalid-event", Caller, false;
    /// The event's type is none that the function serves.
    UnsupportedEvent = "unsupported-event", Caller, false;
    /// The run's organisation isn't in `ALLOWED_ORGS`; a run that is open ends all the same.
    ForeignEvent = "foreign-event", Caller, false;
    /// `plugins.toml` has no entry for the target.
    UnknownTarget = "unknown-target", Operator, false;
    /// The function's own variables are wrong. No access begins until they are mended; it ends as long as what an end needs is right.
    InvalidConfig = "invalid-config", Operator, false;
    /// No release of plugins could be loaded. Access can still be ended.
    ReleaseUnavailable = "release-unavailable", Operator, true;
    /// A release or a plugin isn't what it has to be: manifest, digest, world, imports.
    InvalidPlugin = "invalid-plugin", Operator, false;
    /// A plugin decided so. The message is the plugin's own.
    Denied = "denied", Decision, false;
    /// A plugin answered with a failure that is no decision.
    PluginFailed = "plugin-failed", Plugin, false;
    /// A plugin trapped, or panicked without a word.
    PluginTrapped = "plugin-trapped", Plugin, false;
    /// A plugin used up its fuel.
    PluginFuel = "plugin-fuel", Plugin, false;
    /// A plugin took longer than its wall time.
    PluginTime = "plugin-time", Plugin, false;
    /// A plugin asked for more memory, tables or instances than it may have.
    PluginMemory = "plugin-memory", Plugin, false;
    /// A plugin called itself more deeply than its stack goes.
    PluginStack = "plugin-stack", Plugin, false;
    /// A plugin returned or passed more data than it may.
    PluginOutput = "plugin-output", Plugin, false;
    /// A plugin logged more than it may.
    PluginLog = "plugin-log", Plugin, false;
    /// What a plugin asked for can't be: a name too long, a statement that doesn't parse.
    InvalidPlan = "invalid-plan", Plugin, false;
    /// What a plugin asked for is more than the operator allows.
    NotAllowed = "not-allowed", Operator, false;
    /// The database user to lend the role to doesn't exist.
    UserMissing = "user-missing", Operator, false;
    /// The database user can't be one that we lend to: no login, or privileged.
    UserRefused = "user-refused", Operator, false;
    /// The role to lend doesn't exist.
    RoleMissing = "role-missing", Operator, false;
    /// The role is one that this function may not lend: privileged, ours, or without the ADMIN option.
    RoleRefused = "role-refused", Operator, false;
    /// The run has ended; it can't begin again now.
    RunEnded = "run-ended", Caller, false;
    /// The run is known with another strategy, user or role than this event says, or another open run has its id.
    RunConflict = "run-conflict", Caller, false;
    /// Access could not be ended, or not wholly. The message says what remains and who must act.
    AccessRemains = "access-remains", Operator, true;
    /// The database can't be reached, or went away.
    DatabaseUnavailable = "database-unavailable", Upstream, true;
    /// The database doesn't let the bot log in.
    DatabaseLogin = "database-login", Operator, true;
    /// The database isn't set up for us: schema `sym`, marker roles, options. `symctl doctor` says what is missing.
    DatabaseSetup = "database-setup", Operator, false;
    /// Another change was in progress, also after some tries.
    DatabaseConflict = "database-conflict", Upstream, true;
    /// The database refused a statement.
    DatabaseRefused = "database-refused", Operator, false;
    /// The store of secrets, or of the bot's password, can't be reached or refuses.
    SecretUnavailable = "secret-unavailable", Upstream, true;
    /// The time that Lambda gives an event was nearly over.
    OutOfTime = "out-of-time", Upstream, true;
    /// Our own bug.
    Internal = "internal", Host, false;
}

/// The reference page, in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Error codes\n\n\
         Each sentence in an answer's `errors` ends in one of these codes; the function's log has the same code with the causes.\n\
         This page is generated from `host/src/error.rs`.\n\n\
         | code | meaning | who acts | the same event may succeed later |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let who = match code.blame() {
            Blame::Caller => "who sent the event",
            Blame::Operator => "the operator of the function",
            Blame::Plugin => "the plugin's author",
            Blame::Upstream => "nobody, or who runs the service",
            Blame::Decision => "nobody: it is a decision",
            Blame::Host => "we: please report it",
        };
        let later = if code.is_retryable() { "yes" } else { "no" };
        page.push_str(&format!(
            "| `{code}` | {} | {who} | {later} |\n",
            code.documentation().trim()
        ));
    }
    page
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an event could not be served.
///
/// `Display` is the public sentence alone; the cause is behind
/// [`source`](std::error::Error::source) and belongs in the log.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    /// What points whoever reads the message to the log: no part of the log's line.
    pointer: &'static str,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Result with our [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error whose message is safe to show to the requester.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            pointer: "",
            source: None,
        }
    }

    /// The same, whose message goes on with `pointer` for those who don't see the
    /// cause. Who sees it, in the log or a terminal, isn't sent to where they are.
    pub fn with_pointer(mut self, pointer: &'static str) -> Self {
        self.message.push_str(pointer);
        self.pointer = pointer;
        self
    }

    /// The same with its cause, for the log.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Our own bug. `detail` goes to the log alone.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(
            Code::Internal,
            "internal error: please report it with the request id in the function's log",
        )
        .with_source(detail.into())
    }

    /// What kind of error it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence for the requester, without its code.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The sentence as it is sent: with the code at its end, so that a runbook
    /// is one search away.
    pub fn to_public(&self) -> String {
        format!("{} [{}]", self.message, self.code)
    }

    /// The whole chain, for the log. It quotes others: the server names objects as whoever
    /// made them wished.
    pub fn to_log(&self) -> String {
        let message = self.message.strip_suffix(self.pointer);
        let mut text = message.unwrap_or(&self.message).to_owned();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        // The log writes a line's end as `\n`, and a terminal shows a list as one.
        let readable = |character| match character {
            '\n' => character,
            _ => shown(character),
        };
        text.chars().map(readable).collect()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// One error or more.
#[derive(Debug)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// Whether there are none.
    ///
    /// # Errors
    /// Those that there are.
    pub fn none(errors: Vec<Error>) -> std::result::Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }

    /// All of them, in order.
    pub fn as_slice(&self) -> &[Error] {
        &self.0
    }

    /// These, and then those.
    #[must_use]
    pub fn and(mut self, more: Option<Self>) -> Self {
        self.0.extend(more.into_iter().flat_map(|more| more.0));
        self
    }

    /// The same for another event, without the causes.
    #[must_use]
    pub fn again(&self) -> Self {
        let again = |error: &Error| Error::new(error.code(), error.message());
        Self(self.0.iter().map(again).collect())
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_code_has_its_own_text_and_an_explanation() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(
                !code.documentation().trim().is_empty(),
                "{code} is not documented"
            );
        }
    }

    #[test]
    fn the_public_sentence_leaves_the_cause_out() {
        let error = Error::new(Code::DatabaseUnavailable, "the database can't be reached")
            .with_source("10.0.0.7 refused");
        assert_eq!(
            error.to_public(),
            "the database can't be reached [database-unavailable]"
        );
        assert_eq!(
            error.to_log(),
            "the database can't be reached: 10.0.0.7 refused"
        );
    }

    #[test]
    fn what_others_have_named_plays_with_nobodys_terminal() {
        let named = "privileges for table \u{202E}\u{1B}[2Jx\nand for y";
        let error = Error::new(Code::AccessRemains, "something remains").with_source(named);
        assert_eq!(
            error.to_log(),
            "something remains: privileges for table \u{FFFD}\u{FFFD}[2Jx\nand for y"
        );
    }

    #[test]
    fn who_reads_the_cause_is_not_sent_to_the_log() {
        let error = Error::new(Code::ReleaseUnavailable, "the plugins can't be read")
            .with_pointer(": the function's log says why")
            .with_source("no such directory");
        assert_eq!(
            error.to_public(),
            "the plugins can't be read: the function's log says why [release-unavailable]"
        );
        assert_eq!(
            error.to_log(),
            "the plugins can't be read: no such directory"
        );
    }
}
