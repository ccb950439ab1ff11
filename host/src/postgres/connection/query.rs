//! One statement, and of which step of a target's setup it is.

use tokio_postgres::types::{ToSql, Type};

use crate::postgres::failure::Failure;

/// One statement with its arguments.
pub(crate) struct Query<'a> {
    pub(super) sql: &'a str,
    pub(super) arguments: Vec<(&'a (dyn ToSql + Sync), Type)>,
    step: Option<usize>,
    pub(super) is_foreign: bool,
}

impl<'a> Query<'a> {
    /// A statement without arguments.
    pub(crate) fn new(sql: &'a str) -> Self {
        Self {
            sql,
            arguments: Vec::new(),
            step: None,
            is_foreign: false,
        }
    }

    /// The same with one more argument.
    pub(crate) fn with(mut self, value: &'a (dyn ToSql + Sync), kind: Type) -> Self {
        self.arguments.push((value, kind));
        self
    }

    /// The same with one more argument, which is text.
    pub(crate) fn text(self, value: &'a (dyn ToSql + Sync)) -> Self {
        self.with(value, Type::TEXT)
    }

    /// Says that it is the step with this index of a target's setup.
    pub(crate) fn of_step(mut self, index: usize) -> Self {
        self.step = Some(index);
        self
    }

    /// Says that it is a target's own, so that what it raises is no word of ours.
    pub(crate) fn foreign(mut self) -> Self {
        self.is_foreign = true;
        self
    }

    /// Of this one, which failed.
    pub(super) fn failed(&self, error: tokio_postgres::Error) -> Failure {
        let failure = match self.is_foreign {
            true => Failure::of_foreign(error),
            false => error.into(),
        };
        match self.step {
            Some(index) => failure.at_step(index),
            None => failure,
        }
    }
}
