//! Between our types and those of `wit/`, field by field.

use super::bindings::sym::postgres::types;
use crate::plan::{Statement, Step, Strategy, Value};
use crate::request::{Actor, Request};

pub(super) fn request(request: &Request, strategy: Strategy) -> types::Request {
    types::Request {
        run_id: request.run.id().to_owned(),
        strategy: strategy.as_str().to_owned(),
        requester: actor(&request.requester),
        approver: request.approver.as_ref().map(actor),
        target: types::Target {
            name: request.target.name.clone(),
            label: request.target.label.clone(),
            settings: request.target.settings.clone(),
        },
        flow: request.flow.clone(),
        reason: request.reason.clone(),
        duration_seconds: request.duration_seconds,
        event_time: request.event_time.clone(),
        context: request.context.clone(),
        event_json: request.event_json.clone(),
    }
}

fn actor(actor: &Actor) -> types::Actor {
    types::Actor {
        username: actor.username.clone(),
        name: actor.name.clone(),
        identities: actor.identities.clone(),
    }
}

pub(super) fn step(step: types::Step) -> Step {
    match step {
        types::Step::GrantRole(role) => Step::GrantRole(role),
        types::Step::Sql(statement) => Step::Sql(Statement {
            sql: statement.sql,
            args: statement
                .args
                .into_iter()
                .map(|(name, plain)| (name, value(plain)))
                .collect(),
        }),
    }
}

fn value(value: types::Value) -> Value {
    match value {
        types::Value::Identifier(name) => Value::Identifier(name),
        types::Value::Literal(text) => Value::Literal(text),
    }
}
