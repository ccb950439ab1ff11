//! A world for one test: a server with people and rows in it, a release of
//! plugins, and the real function between them.

mod agreement;
mod event;
mod everything;
mod guest;
mod more;
mod people;
mod world;

use serde_json::{Value, json};

pub(crate) use self::event::Event;
pub(crate) use self::everything::Everything;
pub(crate) use self::guest::{
    Behaviour, resolver, resolver_of_all, resolver_where, target, target_where,
};
pub(crate) use self::more::{Finished, SWEEP};
pub(crate) use self::people::Leaver;
pub(crate) use self::world::{BOT, Builder, ORDERS, PERSON, State, World, count_orders};

/// Makes schema `sym` look as an older host left it: without the function by which a
/// newer one finds its own version.
pub(crate) const OLD_SCHEMA: &str = "DO $$ DECLARE marker regprocedure; BEGIN
    FOR marker IN SELECT oid FROM pg_proc WHERE pronamespace = 'sym'::regnamespace AND proname ~ '^version_' LOOP
        EXECUTE format('DROP FUNCTION %s', marker);
    END LOOP; END $$; COMMENT ON SCHEMA sym IS 'sym-postgres 0';";

/// What a success answers.
pub(crate) fn success(body: Value) -> Value {
    json!({"body": body, "errors": []})
}

/// What a failure with one sentence answers.
pub(crate) fn refusal(sentence: &str) -> Value {
    json!({"body": {}, "errors": [sentence]})
}
