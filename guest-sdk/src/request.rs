//! Reading a request.

use serde::de::DeserializeOwned;

use crate::{Actor, Email, Failure, Request, RequestedTarget};

/// The two ways of giving access.
///
/// An SDK that knows more of them has more here: then the compiler names each `match`
/// that has to say what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// `role`: a user that exists is lent a role.
    Role,
    /// `temporary-user`: a user is made, and removed later.
    TemporaryUser,
}

impl Request {
    /// The strategy, if it is one that this SDK knows.
    ///
    /// # Errors
    ///
    /// A [`Failure`] that names the strategy. The host may learn more of them:
    /// what a plugin doesn't know, it has to refuse.
    ///
    /// ```
    /// use sym_guest_sdk::{Strategy, testing};
    ///
    /// let request = testing::request().strategy("role").build();
    /// assert_eq!(request.known_strategy(), Ok(Strategy::Role));
    /// let request = testing::request().strategy("teleport").build();
    /// assert!(request.known_strategy().is_err());
    /// ```
    pub fn known_strategy(&self) -> Result<Strategy, Failure> {
        match self.strategy.as_str() {
            "role" => Ok(Strategy::Role),
            "temporary-user" => Ok(Strategy::TemporaryUser),
            other => Err(Failure::new(
                "unknown-strategy",
                format!(
                    "strategy is `{other}`, this plugin knows `role` and `temporary-user`: \
                     update the plugin"
                ),
            )),
        }
    }

    /// One value of [`Request::context`], such as `org`.
    pub fn context(&self, key: &str) -> Option<&str> {
        find(&self.context, key)
    }

    /// The whole event as Sym sent it, read into a type of your own: for what
    /// is not in the request, such as the flow's own prompt fields.
    ///
    /// # Errors
    ///
    /// A [`Failure`] where the event doesn't have the type's fields.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use sym_guest_sdk::testing;
    ///
    /// let request = testing::request().event_json(r#"{"type":"event"}"#).build();
    /// let event: BTreeMap<String, String> = request.event()?;
    /// assert_eq!(event["type"], "event");
    /// # Ok::<(), sym_guest_sdk::Failure>(())
    /// ```
    pub fn event<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        Ok(serde_json::from_str(&self.event_json)?)
    }
}

impl Actor {
    /// The name as an email address. `None` for a bot, and for anything that
    /// could be read in two ways: see [`Email::parse`].
    pub fn email(&self) -> Option<Email<'_>> {
        Email::parse(&self.username)
    }

    /// One part of their identity in another service, such as `user_id`.
    ///
    /// Good for display. Not for decisions: it differs between the events of
    /// one run.
    pub fn identity(&self, key: &str) -> Option<&str> {
        find(&self.identities, key)
    }
}

impl RequestedTarget {
    /// One of the target's `settings` in Sym's Terraform.
    pub fn setting(&self, key: &str) -> Option<&str> {
        find(&self.settings, key)
    }
}

fn find<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn finds_values_by_their_exact_key() {
        let request = testing::request()
            .context("org", "healthy-health")
            .setting("table", "orders")
            .build();
        assert_eq!(request.context("org"), Some("healthy-health"));
        assert_eq!(request.context("Org"), None);
        assert_eq!(request.target.setting("table"), Some("orders"));
        assert_eq!(request.target.setting("tabl"), None);
        assert_eq!(request.requester.identity("user_id"), None);
    }

    #[test]
    fn knows_strategies_by_their_exact_name() {
        for (name, expected) in [
            ("role", Some(Strategy::Role)),
            ("temporary-user", Some(Strategy::TemporaryUser)),
            ("temporary_user", None),
            ("Role", None),
            ("", None),
        ] {
            let request = testing::request().strategy(name).build();
            assert_eq!(request.known_strategy().ok(), expected, "{name}");
        }
    }

    #[test]
    fn an_event_of_another_shape_is_a_fault() {
        let request = testing::request().event_json("{}").build();
        let failure = request
            .event::<Vec<u8>>()
            .expect_err("an object is no list");
        assert_eq!(failure.code, Failure::FAILED);
    }
}
