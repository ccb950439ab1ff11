//! A row of the ledger, as the SQL functions take and return it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Result;
use crate::error::Error;
use crate::request::Request;

/// What a new row needs to know.
#[derive(Clone, Copy, Debug)]
pub struct NewGrant<'a> {
    /// The request.
    pub request: &'a Request,
    /// The release of plugins that decided.
    pub release: &'a str,
    /// From now until the database ends it by itself, in seconds.
    pub lease_seconds: u64,
    /// For how long an ended run can't begin again, in seconds.
    pub replay_window_seconds: u32,
}

impl NewGrant<'_> {
    pub(crate) fn to_json(self) -> Value {
        json!({
            "run": self.request.run.srn(),
            "requester": self.request.requester.username,
            "approver": self.request.approver.as_ref().map(|approver| approver.username.as_str()),
            "target": self.request.target.name,
            "release": self.release,
            "lease_seconds": self.lease_seconds,
            "replay_window_seconds": self.replay_window_seconds,
        })
    }
}

/// A row of the ledger.
#[derive(Clone, Debug, Deserialize)]
pub struct Grant {
    /// `pending`, `granted`, `ending` or `ended`.
    pub state: String,
    /// The OID of the user, while there is one.
    #[serde(deserialize_with = "oid")]
    pub user_oid: Option<u32>,
    /// The user's name at that time. `None` for a run that never began.
    pub user_name: Option<String>,
    /// The role that was lent.
    pub role_name: Option<String>,
    /// Whether the membership was there before us.
    pub standing: bool,
    /// The secret's name.
    pub secret: Option<String>,
    /// When the database ends it by itself: RFC 3339.
    pub expires_at: Option<String>,
    /// Whether the user was a member before, by anybody's grant.
    #[serde(default)]
    pub already: bool,
    /// Whether the event had been served before.
    #[serde(default)]
    pub repeated: bool,
}

impl Grant {
    pub(crate) fn from_json(value: &Value) -> Result<Self> {
        let grant = Self::deserialize(value);
        grant.map_err(|error| {
            Error::internal("a row of the ledger is not as expected")
                .with_source(error)
                .into()
        })
    }
}

/// The texts of a list, as an SQL function returns it; none where there is no list.
pub(crate) fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// `to_jsonb` writes an OID as text.
fn oid<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<u32>, D::Error> {
    let text: Option<String> = Deserialize::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom))
        .transpose()
}
