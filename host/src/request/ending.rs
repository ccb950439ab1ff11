//! The end of a run, and what of it Sym's role template would have lent.

use super::{MAX_TARGET_BYTES, MAX_USERNAME_BYTES, Run, text};
use crate::error::Result;
use crate::event::Event;

/// The end of a run. Everything but the run is only for the record, so it is
/// taken where it is well formed and left out where it isn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The run to end.
    pub run: Run,
    /// Who had asked.
    pub requester: Option<String>,
    /// What they had asked for.
    pub target: Option<String>,
    /// What the run is where the ledger doesn't know it.
    pub unknown: Unknown,
}

/// What a run is that the ledger doesn't know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It never began, and can't begin after its end.
    NeverBegan,
    /// Sym's role template may have begun it, and has lent this then.
    Templates(TemplateGrant),
    /// Sym's role template may have begun it, and nobody says what it has lent: to
    /// close the run would keep the event that does say so from ending it.
    Untold,
}

/// What Sym's role template lends for an event, by the rule that it comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateGrant {
    /// The requester's email subject, with `_` for each `-`.
    pub user: String,
    /// The target's name.
    pub role: String,
}

impl TemplateGrant {
    /// For this requester and target.
    pub fn new(requester: &str, target: &str) -> Self {
        let subject = requester.split('@').next().unwrap_or_default();
        Self {
            user: subject.replace('-', "_"),
            role: target.to_owned(),
        }
    }
}

impl Ending {
    /// The end of a run of which nothing else is known.
    pub fn of(run: Run) -> Self {
        Self {
            run,
            requester: None,
            target: None,
            unknown: Unknown::NeverBegan,
        }
    }

    /// The same, where a run that the ledger doesn't know may be the template's.
    pub fn or_the_templates(mut self) -> Self {
        self.unknown = match (&self.requester, &self.target) {
            (Some(requester), Some(target)) => {
                Unknown::Templates(TemplateGrant::new(requester, target))
            }
            _ => Unknown::Untold,
        };
        self
    }

    /// Checks a deescalate event.
    ///
    /// # Errors
    /// `invalid-event` where `run.srn` is missing or wrong.
    pub fn from_event(event: &Event) -> Result<Self> {
        let requester = event
            .run
            .actors
            .get("request")
            .and_then(|actor| actor.username.as_deref());
        let target = event.fields.target.name.as_deref();
        Ok(Self {
            requester: requester
                .filter(|name| text(name, "", MAX_USERNAME_BYTES).is_ok())
                .map(str::to_owned),
            target: target
                .filter(|name| text(name, "", MAX_TARGET_BYTES).is_ok())
                .map(str::to_owned),
            ..Self::of(Run::of(event)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_needs_nothing_but_its_run() {
        let event = r#"{"run":{"srn":"o:run:f:1.0.0:i","actors":{"request":{"username":"\u0000"}}},"event":{"type":"deescalate"}}"#;
        let ending = Ending::from_event(&Event::parse(event).expect("parses")).expect("is valid");
        let run = Run::parse("o:run:f:1.0.0:i").expect("is valid");
        assert_eq!(ending, Ending::of(run));
    }

    #[test]
    fn the_templates_rule_is_the_subject_with_underscores() {
        let rule = |requester: &str| TemplateGrant::new(requester, "readonly").user;
        assert_eq!(rule("sym-user@healthy-health.co"), "sym_user");
        assert_eq!(rule("deploy-bot"), "deploy_bot");
        assert_eq!(rule("a@b@c"), "a");
    }
}
