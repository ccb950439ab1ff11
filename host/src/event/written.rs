//! What stands somewhere in a JSON text, without a look at what stands beside it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What stands at a path in JSON, as it is written: more than once where a name is there
/// more than once. Nothing on the way is decoded but names, so nothing that stands beside
/// it can be wrong.
pub(super) fn found<'a>(json: &'a str, path: &[&str]) -> Vec<&'a str> {
    let Some((first, rest)) = path.split_first() else {
        return vec![json];
    };
    let Ok(Members(members)) = serde_json::from_str(json) else {
        return Vec::new();
    };
    let values = members
        .into_iter()
        .filter(|(name, _)| text(name.get()).as_deref() == Some(first));
    values
        .flat_map(|(_, value)| found(value.get(), rest))
        .collect()
}

/// A string of JSON; `None` where it is something else.
pub(super) fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// The members of a JSON object, in their order and as they are written.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsWritten;

        impl<'de> Visitor<'de> for AsWritten {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(AsWritten)
    }
}
