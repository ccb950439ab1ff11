//! Who is which database user.

use sym_guest_sdk::prelude::*;

use crate::orders::{FLOOD, floods, obey};

struct Conformance;

export_resolver!(Conformance);

impl Resolver for Conformance {
    fn resolve_user(request: &Request) -> Result<String, Failure> {
        obey(request)?;
        if floods() {
            return Ok("x".repeat(FLOOD));
        }
        if let Some(what) = config::get("show") {
            let shown = match what.strip_prefix("list.") {
                Some(key) => show_list(key)?,
                None => show(request, &what),
            };
            return Ok(shown.unwrap_or_else(|| "absent".to_owned()));
        }
        let username = &request.requester.username;
        let email = request
            .requester
            .email()
            .ok_or_else(|| Failure::denied(format!("Not a person: {username}")))?;
        if let Some(domain) = config::get("domain")
            && !email.is_in(&domain)
        {
            return Err(Failure::denied(format!("Not of {domain}")));
        }
        Ok(match request.known_strategy()? {
            Strategy::Role => email.local_part().to_owned(),
            Strategy::TemporaryUser => format!("{}_{}", email.local_part(), &request.run_id[..8]),
        })
    }
}

fn show_list(key: &str) -> Result<Option<String>, Failure> {
    let list = config::list(key)?;
    Ok(list.map(|items| format!("{}:{}", items.len(), items.join("|"))))
}

fn show(request: &Request, what: &str) -> Option<String> {
    if let Some(key) = what.strip_prefix("config.") {
        return config::get(key);
    }
    if let Some(key) = what.strip_prefix("setting.") {
        return request.target.setting(key).map(str::to_owned);
    }
    if let Some(key) = what.strip_prefix("identity.") {
        return request.requester.identity(key).map(str::to_owned);
    }
    if let Some(key) = what.strip_prefix("context.") {
        return request.context(key).map(str::to_owned);
    }
    match what {
        "run-id" => Some(request.run_id.clone()),
        "strategy" => Some(request.strategy.clone()),
        "username" => Some(request.requester.username.clone()),
        "name" => request.requester.name.clone(),
        "approver" => request.approver.as_ref().map(|by| by.username.clone()),
        "target" => Some(request.target.name.clone()),
        "label" => request.target.label.clone(),
        "flow" => Some(request.flow.clone()),
        "reason" => request.reason.clone(),
        "duration" => request.duration_seconds.map(|seconds| seconds.to_string()),
        "event-time" => Some(request.event_time.clone()),
        "quotes" => Some(request.event_json.matches('"').count().to_string()),
        "config" => Some(config::all().len().to_string()),
        _ => None,
    }
}
