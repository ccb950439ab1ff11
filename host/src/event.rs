//! The event as Sym sends it: every field optional, unknown ones ignored.
//!
//! Nothing is decided here but which kind of event it is. What has to be there
//! and what it may look like is [`request`](crate::request)'s.
//!
//! Source: the public samples (schema versions 4 and 6) and Sym's SDK; the
//! whole schema is not public. See `docs/sym-contract.md`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Code, Error, Result};
use crate::name::is_format;

/// Longest event, in bytes. Sym's samples have 3 kB; prompt fields are free
/// text, so there is room, but not for what would only cost memory.
pub const MAX_BYTES: usize = 256 * 1024;

/// What the event asks us to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Begin the run: give access.
    Escalate,
    /// End the run: take the access back.
    Deescalate,
    /// Say what an escalate would do, and change nothing. Sent by a Sym hook
    /// before the approval (`event.type` is `request`).
    DryRun,
    /// End whatever is overdue. Sent by an EventBridge schedule.
    Sweep,
}

impl Kind {
    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Escalate => "escalate",
            Self::Deescalate => "deescalate",
            Self::DryRun => "request",
            Self::Sweep => "sweep",
        }
    }
}

/// One event.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Event {
    /// About the schema.
    pub meta: Meta,
    /// The run that the event belongs to.
    pub run: Run,
    /// What happened in the run.
    pub event: Spec,
    /// What was asked for.
    pub fields: Fields,
    /// EventBridge's own: `aws.events` or `aws.scheduler`.
    pub source: Option<String>,
    /// EventBridge's own: `Scheduled Event`.
    #[serde(rename = "detail-type")]
    pub detail_type: Option<String>,
}

/// `meta`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Meta {
    /// 4 and 6 are known; any other is read the same way.
    pub schema_version: Option<Value>,
}

/// `run`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Run {
    /// Identifies the run; the same in all its events.
    pub srn: Option<String>,
    /// The flow's SRN.
    pub flow: Option<String>,
    /// Who did what, by event type: `prompt`, `request`, `approve`, ….
    pub actors: BTreeMap<String, Actor>,
}

/// `event`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Spec {
    /// `escalate`, `deescalate`, `request`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// RFC 3339, or the same without an offset.
    pub timestamp: Option<String>,
    /// `slack`, `internal`, ….
    pub channel: Option<String>,
}

/// One of `run.actors`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Actor {
    /// Email address, or the bare name of a bot.
    pub username: Option<String>,
    /// Display name; empty in version 6.
    pub name: Option<String>,
    /// Their identity in another service: `service`, `external_id`, ….
    pub identity: Option<BTreeMap<String, Value>>,
}

/// `fields`. A deescalate event has only `target`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Fields {
    /// What is asked for.
    pub target: Target,
    /// For how long: a number whose unit is configured, see `DURATION_UNIT`.
    pub duration: Option<Value>,
    /// Why.
    pub reason: Option<Value>,
}

/// `fields.target`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Target {
    /// Its name in Sym's Terraform.
    pub name: Option<String>,
    /// What the menu shows.
    pub label: Option<String>,
    /// Strings, among them the function's own `arn`.
    pub settings: Option<BTreeMap<String, Value>>,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// `invalid-event`, naming the field that is of another type. Of a deescalate only
    /// its run is looked at.
    pub fn parse(json: &str) -> Result<Self> {
        if json.len() > MAX_BYTES {
            return Err(Error::new(
                Code::InvalidEvent,
                format!(
                    "the event is {} bytes long, at most {MAX_BYTES} are allowed",
                    json.len()
                ),
            ));
        }
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let parsed = serde_path_to_error::deserialize(&mut deserializer);
        parsed.or_else(|error| {
            if let Some(ending) = Self::ending(json) {
                return Ok(ending);
            }
            // Its parts are the sender's: names of actors, for one.
            let path = printable(&error.path().to_string(), 200);
            let reason = error.into_inner();
            let sentence = match reason.classify() {
                serde_json::error::Category::Data if path == "." => {
                    "the event is no JSON object, expected one of Sym's events".to_owned()
                }
                serde_json::error::Category::Data => {
                    format!(
                        "the event's field `{path}` is of the wrong type: {}",
                        without_position(&reason)
                    )
                }
                _ => "the event is not valid JSON".to_owned(),
            };
            Err(Error::new(Code::InvalidEvent, sentence).with_source(reason))
        })
    }

    /// A deescalate, of which nothing but the run has to be as expected: an access must
    /// not stay because a field changed that nobody needs.
    fn ending(json: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(json).ok()?;
        let text = |pointer: &str| value.pointer(pointer)?.as_str().map(str::to_owned);
        let kind = text("/event/type").filter(|kind| kind == "deescalate")?;
        let requester = Actor {
            username: text("/run/actors/request/username"),
            ..Actor::default()
        };
        Some(Self {
            run: Run {
                srn: Some(text("/run/srn")?),
                flow: None,
                actors: BTreeMap::from([("request".to_owned(), requester)]),
            },
            event: Spec {
                kind: Some(kind),
                ..Spec::default()
            },
            fields: Fields {
                target: Target {
                    name: text("/fields/target/name"),
                    ..Target::default()
                },
                ..Fields::default()
            },
            ..Self::default()
        })
    }

    /// What the event asks us to do.
    ///
    /// # Errors
    /// `invalid-event` without a type, `unsupported-event` for a type that we
    /// don't serve.
    pub fn kind(&self) -> Result<Kind> {
        if let (Some("aws.events" | "aws.scheduler"), Some(_)) =
            (self.source.as_deref(), &self.detail_type)
        {
            return Ok(Kind::Sweep);
        }
        match self.event.kind.as_deref() {
            Some("escalate") => Ok(Kind::Escalate),
            Some("deescalate") => Ok(Kind::Deescalate),
            Some("request") => Ok(Kind::DryRun),
            Some(other) => Err(Error::new(
                Code::UnsupportedEvent,
                format!(
                    "event type `{}` is not served, expected `escalate`, `deescalate` or `request`",
                    printable(other, 40)
                ),
            )),
            None => Err(Error::new(
                Code::InvalidEvent,
                "the event's field `event.type` is missing, expected `escalate`, `deescalate` or `request`",
            )),
        }
    }
}

/// serde_json's own text ends in a position that says nothing about one line.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    printable(text, 120)
}

/// Foreign text for a sentence of ours: on one line, in the order in which it is
/// read, without back quotes, not longer than `limit` characters.
pub fn printable(text: &str, limit: usize) -> String {
    let mut printable: String = text
        .chars()
        .map(shown)
        .map(|character| if character == '`' { '\'' } else { character })
        .take(limit)
        .collect();
    if text.chars().nth(limit).is_some() {
        printable.push('…');
    }
    printable
}

/// A foreign character for a line that people read. Control and format
/// characters are replaced: they would end the line, play with the terminal, or
/// show what stands around them in another order (U+202E).
pub fn shown(character: char) -> char {
    if character.is_control() || is_format(character) {
        '\u{FFFD}'
    } else {
        character
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn kind(json: &str) -> Result<Kind, String> {
        Event::parse(json)
            .and_then(|event| event.kind())
            .map_err(|error| error.to_public())
    }

    #[test]
    fn tells_the_kinds_apart() {
        assert_eq!(kind(r#"{"event":{"type":"escalate"}}"#), Ok(Kind::Escalate));
        assert_eq!(
            kind(r#"{"event":{"type":"deescalate"}}"#),
            Ok(Kind::Deescalate)
        );
        assert_eq!(kind(r#"{"event":{"type":"request"}}"#), Ok(Kind::DryRun));
        let schedule = r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#;
        assert_eq!(kind(schedule), Ok(Kind::Sweep));
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        #[track_caller]
        fn check(json: &str, expected: &str) {
            assert_eq!(kind(json).expect_err("is refused"), expected);
        }
        check("", "the event is not valid JSON [invalid-event]");
        check("{", "the event is not valid JSON [invalid-event]");
        check(
            "3",
            "the event is no JSON object, expected one of Sym's events [invalid-event]",
        );
        check(
            "{}",
            "the event's field `event.type` is missing, expected `escalate`, `deescalate` or `request` [invalid-event]",
        );
        check(
            r#"{"event":{"type":7}}"#,
            "the event's field `event.type` is of the wrong type: invalid type: integer '7', expected a string [invalid-event]",
        );
        check(
            r#"{"run":{"actors":{"request":{"username":["a"]}}}}"#,
            "the event's field `run.actors.request.username` is of the wrong type: invalid type: sequence, expected a string [invalid-event]",
        );
        check(
            r#"{"run":{"actors":{"a\u0000\u202e":7}}}"#,
            "the event's field `run.actors.a\u{FFFD}\u{FFFD}` is of the wrong type: invalid type: integer '7', expected an object [invalid-event]",
        );
        check(
            r#"{"event":{"type":"approve"}}"#,
            "event type `approve` is not served, expected `escalate`, `deescalate` or `request` [unsupported-event]",
        );
    }

    #[test]
    fn an_ending_is_read_whatever_stands_beside_its_run() {
        for rest in [
            r#""fields":null"#,
            r#""fields":{"target":"readonly"}"#,
            r#""fields":{"target":{"name":"readonly","label":3}}"#,
            r#""meta":null"#,
            r#""source":[]"#,
        ] {
            for actors in [
                "null",
                r#"{"approve":null}"#,
                r#"{"request":{"username":7,"identity":"x"}}"#,
            ] {
                let json = |kind: &str| {
                    format!(
                        r#"{{"event":{{"type":"{kind}","timestamp":7}},"run":{{"srn":"a:b","actors":{actors}}},{rest}}}"#
                    )
                };
                let event = Event::parse(&json("deescalate")).expect("is read");
                assert_eq!(event.kind().ok(), Some(Kind::Deescalate));
                assert_eq!(event.run.srn.as_deref(), Some("a:b"));
                assert!(Event::parse(&json("escalate")).is_err());
            }
        }
        let event = r#"{"event":{"type":"deescalate"},"run":{"srn":7}}"#;
        assert_eq!(
            kind(event).expect_err("is refused"),
            "the event's field `run.srn` is of the wrong type: invalid type: integer '7', expected a string [invalid-event]"
        );
    }

    #[test]
    fn foreign_text_stays_in_its_line_and_in_its_order() {
        assert_eq!(printable("a`b", 80), "a'b");
        assert_eq!(printable("abc", 2), "ab…");
        assert_eq!(printable("\u{202E}denied", 3), "\u{FFFD}de…");
        // Each bidirectional control of Unicode, the two line ends of its own,
        // and what can't be seen.
        for character in "\n\u{1b}\u{85}\u{AD}\u{61C}\u{200B}\u{200E}\u{200F}\u{2028}\u{2029}\u{202A}\u{202B}\u{202C}\u{202D}\u{202E}\u{2066}\u{2067}\u{2068}\u{2069}\u{FEFF}\u{E0041}".chars() {
            assert_eq!(
                printable(&format!("a{character}b"), 80),
                "a\u{FFFD}b",
                "{character:?}"
            );
        }
        // What people write: other scripts, right-to-left ones too, and emoji.
        for text in ["zoë", "日本", "عربي", "שלום", "e\u{301}", "🙂"] {
            assert_eq!(printable(text, 80), text);
        }
    }

    #[test]
    fn refuses_an_event_one_byte_too_long() {
        let padding = |length: usize| {
            format!(
                "{{\"event\":{{\"type\":\"escalate\"}}}}{}",
                " ".repeat(length)
            )
        };
        let base = padding(0).len();
        assert!(kind(&padding(MAX_BYTES - base)).is_ok());
        assert!(kind(&padding(MAX_BYTES - base + 1)).is_err());
    }
}
