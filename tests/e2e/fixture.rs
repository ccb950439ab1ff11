//! A world for one test: a server with people and rows in it, a release of
//! plugins, and the real function between them.

mod agreement;
mod event;
mod guest;
mod more;
mod world;

use serde_json::{Value, json};

pub(crate) use self::event::Event;
pub(crate) use self::guest::{Behaviour, resolver, target};
pub(crate) use self::more::{Finished, SWEEP};
pub(crate) use self::world::{BOT, Builder, ORDERS, PERSON, State, World, count_orders};

/// What a success answers.
pub(crate) fn success(body: Value) -> Value {
    json!({"body": body, "errors": []})
}

/// What a failure with one sentence answers.
pub(crate) fn refusal(sentence: &str) -> Value {
    json!({"body": {}, "errors": [sentence]})
}
