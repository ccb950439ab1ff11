//! An event's JSON, up to the request that plugins get.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use sym_host::event::Event;
use sym_host::request::{DurationUnit, Ending, MAX_TARGET_BYTES, MAX_USERNAME_BYTES, Request, Run};

mod common;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(json) = std::str::from_utf8(bytes) else {
        return Corpus::Reject;
    };
    let event = match Event::parse(json) {
        Ok(event) => event,
        Err(error) => {
            common::check_error(&error);
            return Corpus::Keep;
        }
    };
    if let Err(error) = event.kind() {
        common::check_error(&error);
    }
    let ending = Ending::from_event(&event);
    match Request::from_event(&event, json, DurationUnit::Minutes) {
        Ok(request) => {
            check_request(&request, json);
            // Who gets access by an event can be made to lose it by one like it.
            let ending = ending.expect("what begins a run ends it");
            assert_eq!(ending.run, request.run);
            check_seconds(&event, json, &request);
            check_again(json, &request);
        }
        Err(error) => common::check_error(&error),
    }
    Corpus::Keep
});

fn check_request(request: &Request, json: &str) {
    let has_control = |text: &str| text.chars().any(char::is_control);
    assert_eq!(request.event_json, json);
    assert!(!request.requester.username.trim().is_empty());
    assert!(request.requester.username.len() <= MAX_USERNAME_BYTES);
    assert!(!has_control(&request.requester.username));
    assert!(!request.target.name.trim().is_empty());
    assert!(request.target.name.len() <= MAX_TARGET_BYTES);
    assert!(!has_control(&request.target.name));
    assert!(!has_control(&request.event_time));

    let run = &request.run;
    assert_eq!(Run::parse(run.srn()).expect("is an SRN"), *run);
    assert!(run.srn().starts_with(&format!("{}:run:", run.org())));
    assert!(run.srn().ends_with(&format!(":{}", run.id())));
    assert_eq!(run.srn().split(':').count(), 5);
}

/// The same number, whichever unit the operator says it has.
fn check_seconds(event: &Event, json: &str, request: &Request) {
    let seconds = Request::from_event(event, json, DurationUnit::Seconds);
    let seconds = seconds.expect("fewer seconds than minutes");
    assert_eq!(
        request.duration_seconds,
        seconds.duration_seconds.map(|seconds| seconds * 60)
    );
}

/// Neither white space nor the order of the keys means anything.
fn check_again(json: &str, request: &Request) {
    // Numbers that no f64 holds are nobody's, and ignored in an event.
    let Ok(value) = serde_json::from_str::<serde_json::Value>(json) else {
        return;
    };
    let json = value.to_string();
    let Ok(event) = Event::parse(&json) else {
        // Written out it is longer than it may be.
        assert!(json.len() > sym_host::event::MAX_BYTES);
        return;
    };
    let again = Request::from_event(&event, &json, DurationUnit::Minutes).expect("is a request");
    assert_eq!(again.run, request.run);
    assert_eq!(again.requester, request.requester);
    assert_eq!(again.approver, request.approver);
    assert_eq!(again.target, request.target);
    assert_eq!(again.flow, request.flow);
    assert_eq!(again.duration_seconds, request.duration_seconds);
    assert_eq!(again.event_time, request.event_time);
}
