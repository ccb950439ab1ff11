//! Reading variables of any kind: found, parsed, or named as wrong.

use std::collections::BTreeSet;

use crate::env::Variable;
use crate::error::{Code, Error};
use crate::event::printable;

/// The variables, and all that is wrong with them so far.
pub(super) struct Reader<'a> {
    pub(super) lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(super) errors: Vec<Error>,
}

impl Reader<'_> {
    /// The value, and the name under which it was found. An empty value counts
    /// as none: that is how Terraform and the console leave one out.
    pub(super) fn named(&self, variable: Variable) -> Option<(&'static str, String)> {
        [Some(variable.name), variable.alias]
            .into_iter()
            .flatten()
            .find_map(|name| Some((name, (self.lookup)(name).filter(|value| !value.is_empty())?)))
    }

    pub(super) fn text(&self, variable: Variable) -> Option<String> {
        self.named(variable).map(|(_, value)| value)
    }

    pub(super) fn wrong(&mut self, name: &str, why: &str) {
        self.errors.push(Error::new(
            Code::InvalidConfig,
            format!("the function's variable `{name}` {why}"),
        ));
    }

    pub(super) fn required(&mut self, variable: Variable) -> String {
        self.text(variable).unwrap_or_else(|| {
            self.wrong(variable.name, "is not set");
            String::new()
        })
    }

    pub(super) fn number(
        &mut self,
        variable: Variable,
        range: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let Some((name, value)) = self.named(variable) else {
            return default;
        };
        match value.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = (range.start(), range.end());
                self.wrong(
                    name,
                    &format!(
                        "is `{}`, expected a whole number from {low} to {high}",
                        printable(&value, 40)
                    ),
                );
                default
            }
        }
    }

    /// One of several words; the first is the default.
    pub(super) fn choice<T: Copy>(&mut self, variable: Variable, choices: &[(&str, T)]) -> T {
        let default = choices[0].1;
        let Some((name, value)) = self.named(variable) else {
            return default;
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == value) {
            return *choice;
        }
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect();
        self.wrong(
            name,
            &format!(
                "is `{}`, expected one of {}",
                printable(&value, 40),
                words.join(", ")
            ),
        );
        default
    }

    /// What a list restricts to. Without the variable there is no restriction, which
    /// is not what somebody means who set an empty one.
    pub(super) fn list(&mut self, variable: Variable) -> Option<BTreeSet<String>> {
        let text = (self.lookup)(variable.name)?;
        let items: BTreeSet<String> = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect();
        if items.is_empty() {
            self.wrong(
                variable.name,
                "names nothing: name at least one, or take the variable away, which is no restriction",
            );
        }
        Some(items)
    }
}
