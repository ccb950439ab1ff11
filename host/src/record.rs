//! An event as the log may keep it, so that it can be asked again elsewhere:
//! what came in, what stood beside it, and what was answered.
//!
//! Pure. The operator decides with `RECORD` whether there are records at all, and
//! whether they name people. Plugins are deterministic, so a full record asked
//! again of the same release gives the same answer, to the last unit of fuel.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::plan::Strategy;
use crate::policy::{AuthorizedPlan, AuthorizedStep, Policy};
use crate::request::DurationUnit;

/// The format of records.
pub const SCHEMA: u32 = 1;

/// Whether events are recorded: `RECORD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// They aren't.
    Off,
    /// With pseudonyms for people, and without free text and SQL.
    Masked,
    /// As they were.
    Full,
}

/// One event, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether people have pseudonyms here.
    pub masked: bool,
    /// The release that was asked.
    pub release: String,
    /// The event's JSON, byte for byte where it isn't masked.
    pub event: String,
    /// The function's settings that the answer hangs on.
    pub settings: Settings,
    /// What was answered.
    pub answer: Answer,
}

/// The function's settings that an answer hangs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `STRATEGY`.
    pub strategy: String,
    /// `DURATION_UNIT`.
    pub duration_unit: String,
    /// `SQL_POLICY`.
    pub sql_policy: String,
    /// `GRANTABLE_ROLES`.
    pub grantable_roles: Option<BTreeSet<String>>,
    /// `DB_USER`.
    pub bot: String,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The database user, as far as it was known.
    pub user: Option<String>,
    /// What the policy let pass. `None` where there was no plan.
    pub steps: Option<Vec<StepText>>,
    /// The code of the error that stood in the way.
    pub error: Option<String>,
    /// What the resolver took. `None`: it wasn't called.
    pub resolver_fuel: Option<u64>,
    /// What the target took. `None`: no component was called.
    pub target_fuel: Option<u64>,
}

/// A step as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StepText {
    /// Membership in this role.
    GrantRole(String),
    /// This statement.
    Sql(String),
}

impl std::fmt::Display for StepText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GrantRole(role) => write!(f, "grant-role {role}"),
            Self::Sql(sql) => f.write_str(sql),
        }
    }
}

impl From<&AuthorizedStep> for StepText {
    fn from(step: &AuthorizedStep) -> Self {
        match step {
            AuthorizedStep::GrantRole(role) => Self::GrantRole(role.to_string()),
            AuthorizedStep::Sql(statement) => Self::Sql(statement.as_sql().to_owned()),
        }
    }
}

impl Settings {
    /// Those of a function.
    pub fn new(strategy: Strategy, unit: DurationUnit, policy: &Policy) -> Self {
        Self {
            strategy: strategy.as_str().to_owned(),
            duration_unit: match unit {
                DurationUnit::Minutes => "minutes",
                DurationUnit::Seconds => "seconds",
            }
            .to_owned(),
            sql_policy: policy.sql.as_str().to_owned(),
            grantable_roles: policy.grantable_roles.clone(),
            bot: policy.bot.clone(),
        }
    }
}

impl Answer {
    /// Adds what became of the plan.
    pub fn with_plan(mut self, plan: Result<&AuthorizedPlan, &Error>) -> Self {
        match plan {
            Ok(plan) => self.steps = Some(plan.steps().iter().map(StepText::from).collect()),
            Err(error) => self.error = Some(error.code().to_string()),
        }
        self
    }
}

/// Makes pseudonyms: the same person is the same one, as long as the key is.
pub struct Mask(hmac::Key);

impl Mask {
    /// With a secret key. Without it a pseudonym can't be tried out for a name.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A record without people: names, addresses and free text become pseudonyms,
    /// each the same wherever it occurs. Mail domains stay, as resolvers decide by
    /// them. Statements are left out: they may hold anything.
    pub fn mask(&self, mut record: Record) -> Record {
        record.masked = true;
        record.event = match serde_json::from_str::<Value>(&record.event) {
            Ok(mut event) => {
                self.mask_value(&mut event, "");
                event.to_string()
            }
            // It was parsed before, so this is never seen.
            Err(_) => String::new(),
        };
        let answer = &mut record.answer;
        answer.user = answer.user.as_deref().map(|user| self.pseudonym(user));
        for step in answer.steps.iter_mut().flatten() {
            if let StepText::Sql(sql) = step {
                "masked".clone_into(sql);
            }
        }
        record
    }

    fn mask_value(&self, value: &mut Value, path: &str) {
        match value {
            // What somebody wrote is no address, whatever it looks like.
            Value::String(text) if path.starts_with("/fields/") && !is_impersonal(path) => {
                *text = self.tag(text);
            }
            Value::String(text) if !is_impersonal(path) => *text = self.pseudonym(text),
            Value::Array(values) => {
                for value in values {
                    self.mask_value(value, path);
                }
            }
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.mask_value(value, &format!("{path}/{key}"));
                }
            }
            // A number may be of a person, like that of a ticket or a patient.
            Value::Number(_) if !is_impersonal(path) => *value = Value::from(0),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// With the domain of an address, as answers hang on that.
    fn pseudonym(&self, text: &str) -> String {
        let tag = self.tag(text);
        match text.split_once('@') {
            Some((_, domain)) if is_domain(domain) => format!("{tag}@{domain}"),
            _ => tag,
        }
    }

    fn tag(&self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let tag = hmac::sign(&self.0, text.as_bytes());
        let digits: String = tag.as_ref()[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("masked-{digits}")
    }
}

fn is_domain(text: &str) -> bool {
    let is_of_a_domain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    text.contains('.') && text.chars().all(is_of_a_domain)
}

/// What names nobody, and what answers hang on. Everything else is masked, so
/// that a field that Sym adds tomorrow is too.
fn is_impersonal(path: &str) -> bool {
    const WHOLE: &[&str] = &[
        "/id",
        "/type",
        "/run/srn",
        "/run/parent",
        "/run/flow",
        "/fields/duration",
    ];
    const BELOW: &[&str] = &["/meta/", "/event/", "/state/status", "/fields/target/"];
    WHOLE.contains(&path)
        || BELOW.iter().any(|prefix| path.starts_with(prefix))
        || path.ends_with("/identity/service")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = include_str!("../../events/v6/escalate-role.json");

    fn record() -> Record {
        Record {
            schema: SCHEMA,
            masked: false,
            release: "r1".to_owned(),
            event: EVENT.to_owned(),
            settings: Settings {
                strategy: "role".to_owned(),
                duration_unit: "minutes".to_owned(),
                sql_policy: "grants".to_owned(),
                grantable_roles: None,
                bot: "sym_bot".to_owned(),
            },
            answer: Answer {
                user: Some("sym_user".to_owned()),
                steps: Some(vec![
                    StepText::GrantRole("readonly".to_owned()),
                    StepText::Sql("COMMENT ON ROLE sym_user IS 'Fix Ticket 123'".to_owned()),
                ]),
                error: None,
                resolver_fuel: Some(7),
                target_fuel: None,
            },
        }
    }

    #[test]
    fn nobody_is_named_in_a_masked_record() {
        let masked = Mask::new(&[7; 32]).mask(record());
        let text = serde_json::to_string(&masked).expect("is JSON");
        for personal in [
            "sym-user",
            "sym_user",
            "sym-implementer",
            "dead6d58",
            "U01",
            "T01",
            "Ticket",
        ] {
            assert!(!text.contains(personal), "{personal} is in {text}");
        }
        for kept in [
            "@healthy-health.co",
            "readonly",
            "2b1befa5",
            "slack",
            "escalate",
        ] {
            assert!(text.contains(kept), "{kept} is not in {text}");
        }
    }

    #[test]
    fn what_somebody_wrote_is_no_address() {
        let mut record = record();
        let mut event: Value = serde_json::from_str(EVENT).expect("is JSON");
        event["fields"]["reason"] = "Ask @Jane.Doe".into();
        event["fields"]["patient"] = 4711.into();
        event["fields"]["contact"] = "jane@her-own.example".into();
        event["more"] = serde_json::json!({"text": "ask@Jane Doe, born 1980", "number": 4712});
        record.event = event.to_string();
        let text = Mask::new(&[7; 32]).mask(record).event;
        for personal in ["Jane", "jane", "4711", "4712", "her-own", "1980"] {
            assert!(!text.contains(personal), "{personal} is in {text}");
        }
        assert!(text.contains("\"duration\":30"), "{text}");
    }

    #[test]
    fn a_person_has_one_pseudonym_and_another_with_another_key() {
        let names = |key| {
            let masked = Mask::new(&key).mask(record());
            let event: Value = serde_json::from_str(&masked.event).expect("is JSON");
            let name = |who: &str| event["run"]["actors"][who]["username"].clone();
            (name("prompt"), name("request"), name("approve"))
        };
        let (prompt, request, approve) = names([7; 32]);
        assert_eq!(prompt, request);
        assert_ne!(request, approve);
        assert_ne!(names([8; 32]).1, request);
    }

    #[test]
    fn a_masked_event_is_still_one_that_asks_plugins() {
        let masked = Mask::new(&[7; 32]).mask(record());
        let event = crate::event::Event::parse(&masked.event).expect("parses");
        crate::request::Request::from_event(&event, &masked.event, DurationUnit::Minutes)
            .expect("is valid");
    }
}
