//! What the function says of each event: one line of JSON, which is the event's
//! log line and carries CloudWatch's metrics (Embedded Metric Format).
//!
//! Pure: the time of now and the measurements come in. `docs/metrics.md` is
//! generated from the one table of metrics. Never the event itself, never SQL,
//! never a secret.
//!
//! Source of the format: Amazon CloudWatch user guide, "Specification: Embedded
//! metric format".

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{Blame, Error};

/// Where CloudWatch shows the metrics.
pub const NAMESPACE: &str = "SymPostgres";

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// By what it is told apart. Each combination of values is paid for, so
    /// they are few.
    pub by: By,
    /// What it means, and when an event has it.
    pub meaning: &'static str,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Time.
    Milliseconds,
}

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
        }
    }
}

/// The dimensions of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The function alone.
    Function,
    /// And the kind of event.
    Event,
    /// And what became of it; and once more by its code.
    Outcome,
}

impl By {
    const ALL: [Self; 3] = [Self::Outcome, Self::Event, Self::Function];

    fn sets(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Function => &[&["Function"]],
            Self::Event => &[&["Function", "Event"]],
            Self::Outcome => &[&["Function", "Event", "Outcome"], &["Function", "Code"]],
        }
    }
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $unit:ident, $by:ident, $meaning:literal;)*) => {
        $(#[doc = $meaning]
        pub const $constant: &Metric =
            &Metric { name: $name, unit: Unit::$unit, by: By::$by, meaning: $meaning };)*

        /// All of them, in the order of the reference page.
        pub const METRICS: &[&Metric] = &[$($constant,)*];
    };
}

metrics! {
    EVENTS = "Events", Count, Outcome,
        "Events that were answered.";
    DURATION = "Duration", Milliseconds, Event,
        "From an event's receipt to its answer.";
    RELEASE_TIME = "ReleaseTime", Milliseconds, Function,
        "Loading the release at a cold start, which for a small one is done before the event and no part of its `Duration`, or looking whether there is another.";
    CONNECT_TIME = "ConnectTime", Milliseconds, Function,
        "Connecting to the database, where there was no connection: at a cold start before the event, beside the release.";
    PLUGIN_TIME = "PluginTime", Milliseconds, Function,
        "Asking the plugins, both calls together.";
    DATABASE_TIME = "DatabaseTime", Milliseconds, Function,
        "What the database did for the event, connecting not included.";
    SECRET_TIME = "SecretTime", Milliseconds, Function,
        "Creating or deleting secrets; part of `DatabaseTime` where that happens inside a transaction.";
    PLUGIN_FUEL = "PluginFuel", Count, Function,
        "Fuel that the plugins used for an answer.";
    COMPILED_IN_PLACE = "CompiledInPlace", Count, Function,
        "Plugins that the function compiled itself, because the release has no native code for it: publish with the `symctl` of the function's version.";
    RELEASE_LOADED = "ReleaseLoaded", Count, Function,
        "First releases of a sandbox: cold starts.";
    RELEASE_CHANGED = "ReleaseChanged", Count, Function,
        "Releases that took the place of another without a restart.";
    RELEASE_KEPT = "ReleaseKept", Count, Function,
        "Looks for another release that failed, so that the last good one stays: the log line `release kept` says why.";
    SWEEP_FOUND = "SweepFound", Count, Function,
        "Runs that a sweep found overdue. In each sweep's line, mostly 0.";
    SWEEP_FAILED = "SweepFailed", Count, Function,
        "Those of them that it couldn't end, and one where the function's user seems to have another ledger. In each sweep's line; one that can't ask the database has none.";
    GRANTS_OPEN = "GrantsOpen", Count, Function,
        "Grants that are open after a sweep.";
    GRANTS_OVERDUE = "GrantsOverdue", Count, Function,
        "Those of them that should have ended.";
    GRANTS_UNEXPLAINED = "GrantsUnexplained", Count, Function,
        "Temporary users, and memberships in roles, that the function's user has given and no open run explains: `symctl doctor` names them, up to 100 of each. In each sweep's line, mostly 0; memberships are not counted while Sym's template is at work (`MIGRATE_FROM`).";
}

/// What became of an event, for alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Done.
    Done,
    /// A plugin decided against it.
    Denied,
    /// The event itself was wrong, or too late.
    Refused,
    /// Something has to be mended.
    Failed,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Done, Self::Denied, Self::Refused, Self::Failed];

    fn of(error: &Error) -> Self {
        match error.code().blame() {
            Blame::Decision => Self::Denied,
            Blame::Caller => Self::Refused,
            Blame::Operator | Blame::Plugin | Blame::Upstream | Blame::Host => Self::Failed,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Done => "what was asked for is done",
            Self::Denied => "a plugin decided against it",
            Self::Refused => "the event itself was wrong, or came too late",
            Self::Failed => "something has to be mended: an alarm's business",
        }
    }
}

/// What was measured while an event was served.
#[derive(Clone, Debug, Default)]
pub struct Measured(BTreeMap<&'static str, f64>);

impl Measured {
    /// Adds to a metric that counts.
    pub fn count(&mut self, metric: &Metric, count: u64) {
        // Beyond 2^53 the last digits of a count are lost, and nobody misses them.
        #[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
        let count = count as f64;
        *self.0.entry(metric.name).or_default() += count;
    }

    /// Adds to a metric that is a time.
    pub fn time(&mut self, metric: &Metric, time: Duration) {
        let milliseconds = (time.as_secs_f64() * 1e6).round() / 1e3;
        *self.0.entry(metric.name).or_default() += milliseconds;
    }
}

/// One event, for its log line.
#[derive(Debug)]
pub struct Served<'a> {
    /// The function's name.
    pub function: &'a str,
    /// Lambda's id of the invocation.
    pub request_id: &'a str,
    /// `escalate`, …; `unknown` where the event didn't say.
    pub event: &'a str,
    /// The run's SRN.
    pub run: Option<&'a str>,
    /// The release of plugins that was asked.
    pub release: Option<&'a str>,
    /// What it was answered, if that wasn't success.
    pub errors: &'a [Error],
    /// What it took.
    pub measured: Measured,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: &'static [&'static [&'static str]],
    metrics: Vec<Value>,
}

impl Served<'_> {
    /// The line, without its end. `now` is in milliseconds since 1970.
    pub fn to_line(&self, now: u64) -> String {
        let worst = self.errors.iter().max_by_key(|error| Outcome::of(error));
        let outcome = worst.map_or(Outcome::Done, Outcome::of);
        let code = worst.map_or("ok", |error| error.code().as_str());
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| {
            line.insert(name.to_owned(), value);
        };
        put("level", json!("INFO"));
        put("message", json!("event"));
        put("request_id", json!(self.request_id));
        put("run", json!(self.run));
        put("release", json!(self.release));
        put("Function", json!(self.function));
        put("Event", json!(self.event));
        put("Outcome", json!(outcome.as_str()));
        put("Code", json!(code));
        for (name, value) in &self.measured.0 {
            put(name, json!(value));
        }
        let directives: Vec<Directive> = By::ALL
            .into_iter()
            .filter_map(|by| self.directive(by))
            .collect();
        put(
            "_aws",
            json!({"Timestamp": now, "CloudWatchMetrics": directives}),
        );
        Value::Object(line).to_string()
    }

    fn directive(&self, by: By) -> Option<Directive> {
        let is_measured = |metric: &&&Metric| self.measured.0.contains_key(metric.name);
        let metrics: Vec<Value> = METRICS
            .iter()
            .filter(|metric| metric.by == by)
            .filter(is_measured)
            .map(|metric| json!({"Name": metric.name, "Unit": metric.unit.as_str()}))
            .collect();
        (!metrics.is_empty()).then_some(Directive {
            namespace: NAMESPACE,
            dimensions: by.sets(),
            metrics,
        })
    }
}

/// The reference page, in Markdown.
pub fn reference() -> String {
    let mut page = format!(
        "# Metrics\n\n\
         Each event is one line of JSON in the function's log, `\"message\":\"event\"`, with its run, its release, its code and what it took.\n\
         CloudWatch makes metrics of these lines (Embedded Metric Format), in the namespace `{NAMESPACE}`; nothing has to be set up for it.\n\
         An event's line has a metric where that step took place.\n\
         This page is generated from `host/src/metrics.rs`.\n\n\
         | metric | unit | dimensions | meaning |\n|---|---|---|---|\n"
    );
    for metric in METRICS {
        let sets = metric.by.sets().iter().map(|set| {
            let names: Vec<String> = set.iter().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        });
        let sets = sets.collect::<Vec<_>>().join("; and ");
        page.push_str(&format!(
            "| `{}` | {} | {sets} | {} |\n",
            metric.name,
            metric.unit.as_str(),
            metric.meaning
        ));
    }
    page.push_str(
        "\n## Dimensions\n\n\
         `Function` is the function's name, and `Event` one of `escalate`, `deescalate`, `request` (a dry run), `sweep` and `unknown`.\n\
         `Code` is `ok` or one of [the error codes](errors.md).\n\
         `Outcome` says who has to act:\n\n\
         | outcome | meaning |\n|---|---|\n",
    );
    for outcome in Outcome::ALL {
        page.push_str(&format!(
            "| `{}` | {} |\n",
            outcome.as_str(),
            outcome.meaning()
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn line(errors: &[Error], measured: Measured) -> Value {
        let served = Served {
            function: "sym-postgres",
            request_id: "id",
            event: "escalate",
            run: Some("o:run:f:1.0.0:x"),
            release: Some("r1-0123"),
            errors,
            measured,
        };
        let line = served.to_line(1_700_000_000_000);
        assert!(!line.contains('\n'));
        serde_json::from_str(&line).expect("is JSON")
    }

    // What the specification demands: every dimension is a text beside the
    // metrics, and every metric that is named has a number.
    #[test]
    fn the_line_is_what_cloudwatch_reads() {
        let mut measured = Measured::default();
        for metric in METRICS {
            match metric.unit {
                Unit::Count => measured.count(metric, 2),
                Unit::Milliseconds => measured.time(metric, Duration::from_micros(1500)),
            }
        }
        let line = line(&[], measured);
        assert_eq!(line["_aws"]["Timestamp"], 1_700_000_000_000_u64);
        let directives = line["_aws"]["CloudWatchMetrics"].as_array();
        let mut named = 0;
        for directive in directives.expect("is a list") {
            assert_eq!(directive["Namespace"], NAMESPACE);
            let sets = directive["Dimensions"].as_array().expect("is a list");
            for name in sets.iter().flat_map(|set| set.as_array().expect("a set")) {
                assert!(line[name.as_str().expect("a name")].is_string(), "{name}");
            }
            for metric in directive["Metrics"].as_array().expect("is a list") {
                named += 1;
                let value = &line[metric["Name"].as_str().expect("a name")];
                let expected = match metric["Unit"].as_str() {
                    Some("Count") => 2.0,
                    Some("Milliseconds") => 1.5,
                    unit => panic!("{unit:?}"),
                };
                assert_eq!(value.as_f64(), Some(expected), "{metric}");
            }
        }
        assert_eq!(named, METRICS.len());
    }

    #[test]
    fn the_worst_of_several_errors_is_the_outcome() {
        let denied = Error::new(Code::Denied, "no");
        let wrong = Error::new(Code::InvalidEvent, "wrong");
        let broken = Error::new(Code::DatabaseUnavailable, "gone");
        let outcome = |errors: &[Error]| {
            let line = line(errors, Measured::default());
            (line["Outcome"].clone(), line["Code"].clone())
        };
        assert_eq!(outcome(&[]), (json!("done"), json!("ok")));
        let copy = |error: &Error| Error::new(error.code(), "");
        assert_eq!(
            outcome(&[copy(&denied)]),
            (json!("denied"), json!("denied"))
        );
        assert_eq!(
            outcome(&[wrong, broken, denied]),
            (json!("failed"), json!("database-unavailable"))
        );
    }

    #[test]
    fn what_was_not_measured_is_not_named() {
        let mut measured = Measured::default();
        measured.count(EVENTS, 1);
        let line = line(&[], measured);
        let directives = line["_aws"]["CloudWatchMetrics"].as_array();
        assert_eq!(directives.map(Vec::len), Some(1));
        assert!(line.get("Duration").is_none());
    }
}
