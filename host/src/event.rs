//! The event as Sym sends it: every field optional, unknown ones ignored.
//!
//! Nothing is decided here but which kind of event it is. What has to be there
//! and what it may look like is [`request`](crate::request)'s.
//!
//! Source: the public samples (schema versions 4 and 6) and Sym's SDK; the
//! whole schema is not public. See `docs/sym-contract.md`.

mod written;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use self::written::{found, text};
use crate::error::{Code, Error, Result};
use crate::name::is_format;

/// Longest event, in bytes. Sym's samples have 3 kB; prompt fields are free
/// text, so there is room, but not for what would only cost memory.
pub const MAX_BYTES: usize = 256 * 1024;

/// Longest event that ends a run, in bytes. It has what its escalate had and what came
/// since, and that one may have been as long as it could be: an access must not stay for
/// that. Next to nothing of it is decoded.
pub const MAX_ENDING_BYTES: usize = 1024 * 1024;

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

    /// Whether it can give nobody anything.
    pub fn only_ends(self) -> bool {
        matches!(self, Self::Deescalate | Self::Sweep)
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
        Self::strictly(json).or_else(|error| match Self::ending(json)? {
            Some(ending) => Ok(ending),
            None => Err(error),
        })
    }

    /// Whether it is the end of a run, be it one that [`parse`](Self::parse) refuses.
    pub fn is_ending(json: &str) -> bool {
        let kinds = found(json, &["event", "type"]);
        !kinds.is_empty()
            && kinds
                .iter()
                .all(|kind| text(kind).as_deref() == Some("deescalate"))
    }

    fn strictly(json: &str) -> Result<Self> {
        if json.len() > MAX_BYTES {
            return Err(too_long(json, MAX_BYTES));
        }
        let mut deserializer = serde_json::Deserializer::from_str(json);
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            let reason = error.into_inner();
            Error::new(Code::InvalidEvent, unreadable(json, &path, &reason)).with_source(reason)
        })
    }

    /// A deescalate, of which nothing but the run has to be as expected: an access must
    /// not stay because of what nobody needs. `None` where it is none, or
    /// its run's name is none.
    ///
    /// # Errors
    /// `invalid-event` where it is too long even for that, or names two runs.
    fn ending(json: &str) -> Result<Option<Self>> {
        if !Self::is_ending(json) {
            return Ok(None);
        }
        if json.len() > MAX_ENDING_BYTES {
            return Err(too_long(json, MAX_ENDING_BYTES));
        }
        let mut runs = found(json, &["run", "srn"]).into_iter().map(text);
        let srn = match runs.next() {
            Some(None) => return Ok(None),
            first => first.flatten(),
        };
        if runs.any(|other| other != srn) {
            return Err(Error::new(
                Code::InvalidEvent,
                "the event has the field `run.srn` more than once, and not the same each time",
            ));
        }
        // For the record, where it is said once.
        let said = |path: &[&str]| match found(json, path)[..] {
            [only] => text(only),
            _ => None,
        };
        let requester = Actor {
            username: said(&["run", "actors", "request", "username"]),
            ..Actor::default()
        };
        Ok(Some(Self {
            run: Run {
                srn,
                flow: None,
                actors: BTreeMap::from([("request".to_owned(), requester)]),
            },
            event: Spec {
                kind: Some("deescalate".to_owned()),
                ..Spec::default()
            },
            fields: Fields {
                target: Target {
                    name: said(&["fields", "target", "name"]),
                    ..Target::default()
                },
                ..Fields::default()
            },
            ..Self::default()
        }))
    }

    /// What the event asks us to do.
    ///
    /// # Errors
    /// `invalid-event` without a type, `unsupported-event` for a type that we
    /// don't serve.
    pub fn kind(&self) -> Result<Kind> {
        let is_of_schedule = matches!(self.source.as_deref(), Some("aws.events" | "aws.scheduler"))
            && self.detail_type.is_some();
        match self.event.kind.as_deref() {
            None if is_of_schedule => Ok(Kind::Sweep),
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

fn too_long(json: &str, limit: usize) -> Error {
    let length = json.len();
    Error::new(
        Code::InvalidEvent,
        format!("the event is {length} bytes long, at most {limit} are allowed"),
    )
}

/// Why an event can't be read, and where.
fn unreadable(json: &str, path: &str, reason: &serde_json::Error) -> String {
    if !reason.is_data() {
        return "the event is not valid JSON".to_owned();
    }
    if !json.trim_start().starts_with('{') {
        return "the event is no JSON object, expected one of Sym's events".to_owned();
    }
    // Its parts are the sender's: names of actors, for one.
    let path = printable(path, 200);
    let text = reason.to_string();
    let twice = text.strip_prefix("duplicate field `");
    if let Some((field, _)) = twice.and_then(|rest| rest.split_once('`')) {
        let field = match path.as_str() {
            "." => field.to_owned(),
            path => format!("{path}.{field}"),
        };
        return format!("the event has the field `{field}` more than once");
    }
    format!(
        "the event's field `{path}` is of the wrong type: {}",
        without_position(reason)
    )
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
        // A bus may wrap what it passes on: a sweep would not end this run.
        let both = r#"{"source":"aws.events","detail-type":"a","event":{"type":"deescalate"},"run":{"srn":"a:b"}}"#;
        assert_eq!(kind(both), Ok(Kind::Deescalate));
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
        // What can't be decoded, or is there twice.
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        for beside in [
            r#""meta":"\ud83d""#,
            r#""\ud83d":1"#,
            r#""meta":1e999"#,
            r#""fields":{},"fields":{}"#,
            r#""event":{"type":"deescalate"}"#,
            r#""run":{"srn":"a:b","\udead":[]}"#,
            r#""run":{"flow":null,"flow":null}"#,
            &format!(r#""meta":{deep}"#),
            &format!(r#""meta":"{}""#, "a".repeat(MAX_BYTES)),
        ] {
            let json = |kind: &str| {
                format!(
                    r#"{{"event":{{"type":"{kind}"}},"run":{{"srn":"a:b","actors":{{"approve":{{"name":"\ud83d"}}}}}},{beside}}}"#
                )
            };
            let event = Event::parse(&json("deescalate")).expect("is read");
            assert_eq!(event.kind().ok(), Some(Kind::Deescalate));
            assert_eq!(event.run.srn.as_deref(), Some("a:b"));
            assert!(Event::parse(&json("escalate")).is_err());
        }
        let event = r#"{"event":{"type":"deescalate"},"run":{"srn":7}}"#;
        assert_eq!(
            kind(event).expect_err("is refused"),
            "the event's field `run.srn` is of the wrong type: invalid type: integer '7', expected a string [invalid-event]"
        );
    }

    #[test]
    fn an_ending_that_says_two_things_is_refused() {
        #[track_caller]
        fn check(json: &str, is_ending: bool, expected: &str) {
            assert_eq!(Event::is_ending(json), is_ending);
            assert_eq!(kind(json).expect_err("is refused"), expected);
        }
        let twice = "the event has the field `run.srn` more than once, and not the same each time [invalid-event]";
        for runs in [
            r#""run":{"srn":"a"},"run":{"srn":"b"}"#,
            r#""run":{"srn":"a"},"run":{"srn":7}"#,
            r#""run":{"srn":"a","srn":"b"}"#,
        ] {
            check(
                &format!(r#"{{"event":{{"type":"deescalate"}},{runs}}}"#),
                true,
                twice,
            );
        }
        check(
            r#"{"event":{"type":"deescalate"},"event":{"type":"escalate"},"run":{"srn":"a"}}"#,
            false,
            "the event has the field `event` more than once [invalid-event]",
        );
        check(
            r#"{"event":{"type":"escalate"},"run":{"srn":"a"},"run":{"srn":"a"}}"#,
            false,
            "the event has the field `run` more than once [invalid-event]",
        );
        check(
            r#"{"event":{"type":"escalate"},"run":{"srn":"a","srn":"b"}}"#,
            false,
            "the event has the field `run.srn` more than once [invalid-event]",
        );
        let event = Event::parse(r#"{"event":{"type":"deescalate"},"meta":"\ud83d"}"#);
        assert_eq!(event.expect("is read").run.srn, None);
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

        let ending = |length: usize| {
            let event = r#"{"event":{"type":"deescalate"},"run":{"srn":"a"}}"#;
            kind(&format!("{event}{}", " ".repeat(length - event.len())))
        };
        assert_eq!(ending(MAX_ENDING_BYTES), Ok(Kind::Deescalate));
        assert_eq!(
            ending(MAX_ENDING_BYTES + 1),
            Err(
                "the event is 1048577 bytes long, at most 1048576 are allowed [invalid-event]"
                    .to_owned()
            )
        );
    }
}
