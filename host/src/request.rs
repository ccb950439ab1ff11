//! What a person asks for: an [`Event`] of which everything that matters has
//! been checked.
//!
//! An ending needs far less than a beginning: only the run. So a deescalate
//! event of a schema that we have never seen still ends its run.

mod ending;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

pub use self::ending::{Ending, TemplateGrant, Unknown};
use crate::error::{Code, Error, Result};
use crate::event::{self, Event, printable};

/// Longest `run.srn`, in bytes. Sym's own have about 80.
pub const MAX_SRN_BYTES: usize = 512;
/// Longest username, in bytes: the longest email address there is.
///
/// Source: RFC 5321, sections 4.5.3.1.1 and 4.5.3.1.2.
pub const MAX_USERNAME_BYTES: usize = 320;
/// Longest target name, in bytes.
pub const MAX_TARGET_BYTES: usize = 255;

/// The run that an event belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    srn: String,
    org_end: usize,
    id_start: usize,
}

impl Run {
    /// The run of an event.
    ///
    /// # Errors
    /// `invalid-event`.
    pub fn of(event: &Event) -> Result<Self> {
        Self::parse(event.run.srn.as_deref().ok_or_else(|| missing("run.srn"))?)
    }

    /// Checks an SRN: `<org>:run:<flow>:<version>:<id>`. Upper case becomes
    /// lower case, as in Sym's own parser.
    ///
    /// # Errors
    /// `invalid-event`.
    pub fn parse(srn: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(
                Code::InvalidEvent,
                format!(
                    "the event's field `run.srn` is `{}`, {why}, expected `<org>:run:<flow>:<version>:<id>`",
                    printable(srn, 120)
                ),
            )
        };
        if srn.len() > MAX_SRN_BYTES {
            return Err(wrong("which is too long"));
        }
        let parts: Vec<&str> = srn.split(':').collect();
        let [org, "run", flow, version, id] = parts[..] else {
            return Err(wrong("which doesn't name a run"));
        };
        let is_slug = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let is_version = !version.is_empty()
            && version
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if !is_slug(org) || !is_slug(flow) || !is_slug(id) || !is_version || id.len() > 64 {
            return Err(wrong("which has a part of the wrong form"));
        }
        Ok(Self {
            srn: srn.to_ascii_lowercase(),
            org_end: org.len(),
            id_start: srn.len() - id.len(),
        })
    }

    /// The whole SRN, in lower case: what the ledger calls the run.
    pub fn srn(&self) -> &str {
        &self.srn
    }

    /// Whose run it is.
    pub fn org(&self) -> &str {
        &self.srn[..self.org_end]
    }

    /// The last part: from Sym a UUID.
    pub fn id(&self) -> &str {
        &self.srn[self.id_start..]
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.srn)
    }
}

/// A person, or a bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// As sent: an email address, or a bot's name.
    pub username: String,
    /// `None` where none, or an empty one, was sent.
    pub name: Option<String>,
    /// In the order of the keys.
    pub identities: Vec<(String, String)>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name in Sym's Terraform.
    pub name: String,
    /// What the menu shows.
    pub label: Option<String>,
    /// In the order of the keys.
    pub settings: Vec<(String, String)>,
}

/// What `fields.duration` counts. Public sources contradict each other, so it
/// is the operator's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationUnit {
    /// As in all samples: `30` beside a menu entry of `30m`.
    Minutes,
    /// As in the documentation of Sym's SDK.
    Seconds,
}

/// One request for access.
#[derive(Clone, Debug)]
pub struct Request {
    /// The run.
    pub run: Run,
    /// Who asked.
    pub requester: Actor,
    /// Who approved, where the event says so.
    pub approver: Option<Actor>,
    /// What they asked for.
    pub target: Target,
    /// The flow's SRN.
    pub flow: String,
    /// Why.
    pub reason: Option<String>,
    /// For how long. `None` where the flow has no duration.
    pub duration_seconds: Option<u32>,
    /// RFC 3339, in UTC. For plugins and the log: time is counted from receipt.
    pub event_time: String,
    /// More about the event, for plugins.
    pub context: Vec<(String, String)>,
    /// The event as it was sent.
    pub event_json: String,
}

impl Request {
    /// Checks an escalate event, or a dry run.
    ///
    /// # Errors
    /// `invalid-event`, naming the field.
    pub fn from_event(event: &Event, event_json: &str, unit: DurationUnit) -> Result<Self> {
        let run = Run::of(event)?;
        let requester = event
            .run
            .actors
            .get("request")
            .ok_or_else(|| missing("run.actors.request"))?;
        let requester = actor(requester, "run.actors.request")?;
        let approver = match event.run.actors.get("approve") {
            Some(approver) => Some(actor(approver, "run.actors.approve")?),
            None => None,
        };
        let target_name = event
            .fields
            .target
            .name
            .as_deref()
            .ok_or_else(|| missing("fields.target.name"))?;
        let target = Target {
            name: text(target_name, "fields.target.name", MAX_TARGET_BYTES)?.to_owned(),
            label: non_empty(event.fields.target.label.as_deref()),
            settings: pairs(event.fields.target.settings.as_ref()),
        };
        let mut context = vec![
            ("org".to_owned(), run.org().to_owned()),
            ("run-srn".to_owned(), run.srn().to_owned()),
        ];
        if let Some(version) = &event.meta.schema_version {
            context.push(("schema-version".to_owned(), plain(version)));
        }
        if let Some(channel) = &event.event.channel {
            context.push(("channel".to_owned(), channel.clone()));
        }
        Ok(Self {
            requester,
            approver,
            target,
            flow: event.run.flow.clone().unwrap_or_default(),
            reason: event
                .fields
                .reason
                .as_ref()
                .map(plain)
                .filter(|reason| !reason.is_empty()),
            duration_seconds: duration(event.fields.duration.as_ref(), unit)?,
            event_time: time(event.event.timestamp.as_deref())?,
            context,
            event_json: event_json.to_owned(),
            run,
        })
    }
}

fn actor(actor: &event::Actor, path: &str) -> Result<Actor> {
    let path = format!("{path}.username");
    let username = actor.username.as_deref().ok_or_else(|| missing(&path))?;
    Ok(Actor {
        username: text(username, &path, MAX_USERNAME_BYTES)?.to_owned(),
        name: non_empty(actor.name.as_deref()),
        identities: pairs(actor.identity.as_ref()),
    })
}

/// Text that names somebody or something: it ends up in tags, in comments and
/// in sentences, so it must be there, short and on one line.
fn text<'a>(text: &'a str, path: &str, max_bytes: usize) -> Result<&'a str> {
    let wrong = |why: String| {
        Err(Error::new(
            Code::InvalidEvent,
            format!("the event's field `{path}` {why}"),
        ))
    };
    if text.trim().is_empty() {
        return wrong("is empty".to_owned());
    }
    if text.len() > max_bytes {
        return wrong(format!(
            "is {} bytes long, at most {max_bytes} are allowed",
            text.len()
        ));
    }
    if let Some(character) = text.chars().find(|character| character.is_control()) {
        return wrong(format!(
            "holds the control character U+{:04X}",
            u32::from(character)
        ));
    }
    Ok(text)
}

fn duration(duration: Option<&Value>, unit: DurationUnit) -> Result<Option<u32>> {
    let number = match duration {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_u64(),
        // Forms of another generation may send it as text.
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    let factor = match unit {
        DurationUnit::Minutes => 60,
        DurationUnit::Seconds => 1,
    };
    let seconds = number
        .filter(|number| *number > 0)
        .and_then(|number| number.checked_mul(factor));
    match seconds.and_then(|seconds| u32::try_from(seconds).ok()) {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(Error::new(
            Code::InvalidEvent,
            "the event's field `fields.duration` is not a whole number above zero that a time can be made of",
        )),
    }
}

/// Sym sends `2022-05-10T14:48:02.188617`, and elsewhere the same with an
/// offset. Without one we take it for UTC.
fn time(timestamp: Option<&str>) -> Result<String> {
    let timestamp = timestamp.ok_or_else(|| missing("event.timestamp"))?;
    let parsed = timestamp.parse::<jiff::Timestamp>().or_else(|_| {
        timestamp
            .parse::<jiff::civil::DateTime>()
            .and_then(|local| Ok(local.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp()))
    });
    match parsed {
        Ok(time) => Ok(time.to_string()),
        Err(error) => Err(Error::new(
            Code::InvalidEvent,
            format!(
                "the event's field `event.timestamp` is `{}`, expected a time such as `2026-01-31T14:48:02Z`",
                printable(timestamp, 40)
            ),
        )
        .with_source(error)),
    }
}

fn missing(path: &str) -> Error {
    Error::new(
        Code::InvalidEvent,
        format!("the event's field `{path}` is missing"),
    )
}

fn non_empty(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn pairs(map: Option<&BTreeMap<String, Value>>) -> Vec<(String, String)> {
    map.into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), plain(value)))
        .collect()
}

/// Text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Value {
        json!({
            "meta": {"schema_version": 6},
            "run": {
                "srn": "healthy-health:run:postgres:2.0.0:2b1befa5-caf5-4ac3-8509-64732c15cb7d",
                "flow": "healthy-health:flow:postgres:2.0.0",
                "actors": {
                    "request": {"username": "sym-user@healthy-health.co", "name": "", "identity": {"service": "slack", "user_id": "U01"}},
                    "approve": {"username": "sym-implementer@healthy-health.co"}}},
            "event": {"type": "escalate", "timestamp": "2022-05-10T14:47:29.442289", "channel": "slack"},
            "fields": {"reason": "Fix Ticket 123", "duration": 30, "target": {"name": "readonly", "settings": {"arn": "arn:x"}}}})
    }

    fn parse(value: &Value) -> Result<Request> {
        let json = value.to_string();
        Request::from_event(&Event::parse(&json)?, &json, DurationUnit::Minutes)
    }

    /// The sample with one field replaced, and removed where `to` is `None`.
    fn with(path: &str, to: Option<Value>) -> Value {
        let mut sample = sample();
        let (parent, last) = path.rsplit_once('/').expect("has a parent");
        let parent = sample
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .expect("is there");
        match to {
            Some(value) => parent.insert(last.to_owned(), value),
            None => parent.remove(last),
        };
        sample
    }

    #[test]
    fn takes_the_sample() {
        let request = parse(&sample()).expect("is valid");
        assert_eq!(request.run.org(), "healthy-health");
        assert_eq!(request.run.id(), "2b1befa5-caf5-4ac3-8509-64732c15cb7d");
        assert_eq!(request.duration_seconds, Some(1800));
        assert_eq!(request.event_time, "2022-05-10T14:47:29.442289Z");
        assert_eq!(request.requester.name, None);
        assert_eq!(
            request.requester.identities[0],
            ("service".to_owned(), "slack".to_owned())
        );
        assert_eq!(
            request.target.settings,
            [("arn".to_owned(), "arn:x".to_owned())]
        );
    }

    #[test]
    fn names_the_field_that_is_missing_or_wrong() {
        #[track_caller]
        fn check(path: &str, to: Option<Value>, expected: &str) {
            let error = parse(&with(path, to)).expect_err("is refused");
            assert_eq!(error.code(), Code::InvalidEvent);
            assert!(error.message().contains(expected), "{}", error.message());
        }
        check("/run/srn", None, "`run.srn` is missing");
        check(
            "/run/srn",
            Some(json!("org:flow:a:1.0.0:x")),
            "doesn't name a run",
        );
        check(
            "/run/srn",
            Some(json!("org:run:a:1.0.0")),
            "doesn't name a run",
        );
        check(
            "/run/srn",
            Some(json!("org:run:a:1.0.0:")),
            "part of the wrong form",
        );
        check(
            "/run/srn",
            Some(json!("org:run:a:1.0.0:../x")),
            "part of the wrong form",
        );
        check(
            "/run/srn",
            Some(json!(format!("org:run:a:1.0.0:{}", "x".repeat(512)))),
            "too long",
        );
        check(
            "/run/actors/request",
            None,
            "`run.actors.request` is missing",
        );
        check(
            "/run/actors/request/username",
            None,
            "`run.actors.request.username` is missing",
        );
        check("/run/actors/request/username", Some(json!(" ")), "is empty");
        check(
            "/run/actors/request/username",
            Some(json!("a\0b")),
            "control character U+0000",
        );
        check(
            "/run/actors/request/username",
            Some(json!("a".repeat(321))),
            "at most 320 are allowed",
        );
        check("/fields/target", None, "`fields.target.name` is missing");
        check("/fields/duration", Some(json!(0)), "`fields.duration`");
        check("/fields/duration", Some(json!(-5)), "`fields.duration`");
        check("/fields/duration", Some(json!(1.5)), "`fields.duration`");
        check(
            "/fields/duration",
            Some(json!(u64::MAX)),
            "`fields.duration`",
        );
        check(
            "/event/timestamp",
            Some(json!("yesterday")),
            "`event.timestamp` is `yesterday`",
        );
    }

    #[test]
    fn a_run_is_the_same_in_upper_and_lower_case() {
        let upper = Run::parse("Org:run:a:1.0.0:ABC").expect("is valid");
        assert_eq!(upper, Run::parse("org:run:a:1.0.0:abc").expect("is valid"));
        assert_eq!(upper.id(), "abc");
    }

    #[test]
    fn times_come_with_and_without_an_offset() {
        for (sent, expected) in [
            (
                "2022-02-15T15:43:45.309236+00:00",
                "2022-02-15T15:43:45.309236Z",
            ),
            ("2022-02-15T17:43:45+02:00", "2022-02-15T15:43:45Z"),
            ("2022-02-15T15:43:45", "2022-02-15T15:43:45Z"),
        ] {
            assert_eq!(time(Some(sent)).expect("is a time"), expected);
        }
    }
}
