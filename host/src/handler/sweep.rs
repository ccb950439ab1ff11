//! Ending what nobody has ended: runs whose event never came, users half
//! removed, grants that somebody else took back.

use serde_json::json;

use super::{Body, Errors, Ready, Selection};
use crate::error::Result;
use crate::metrics::{self, Measured};
use crate::postgres::sweep::{OpenGrant, Overdue};
use crate::postgres::{Connection, Names, sweep};
use crate::request::{Ending, Run};

/// What became of one run.
#[derive(Debug)]
pub struct Swept {
    /// The run.
    pub run: String,
    /// Why it was looked at; `None` where a person asked for it.
    pub why: Option<String>,
    /// The error that kept it from ending.
    pub result: Result<Body>,
}

impl Ready {
    /// What the sweep would end.
    pub(super) async fn overdue(&self) -> Result<Vec<Overdue>> {
        let look = async |connection: &mut Connection| sweep::overdue(connection).await;
        self.database
            .with_ledger(&self.aws, Names::default(), look)
            .await
    }

    /// Ends all that is overdue. One that fails doesn't keep the others.
    pub(super) async fn sweep(&self) -> Result<Vec<Swept>> {
        let mut swept = Vec::new();
        for overdue in self.overdue().await? {
            let result = self.end_by_name(&overdue.run, "sweep").await;
            swept.push(Swept {
                run: overdue.run,
                why: Some(overdue.why),
                result,
            });
        }
        Ok(swept)
    }

    /// The answer to the schedule's event. What failed is an error of its own,
    /// so that the alarm on errors rings.
    pub(super) async fn sweep_for_event(&self, measured: &mut Measured) -> Result<Body, Errors> {
        let swept = self.sweep().await?;
        let failed = swept.iter().filter(|swept| swept.result.is_err()).count();
        measured.count(metrics::SWEEP_FOUND, swept.len() as u64);
        measured.count(metrics::SWEEP_FAILED, failed as u64);
        let count = async |connection: &mut Connection| sweep::count(connection).await;
        let names = Names::default();
        match self.database.with_ledger(&self.aws, names, count).await {
            Ok(counts) => {
                measured.count(metrics::GRANTS_OPEN, counts.open);
                measured.count(metrics::GRANTS_OVERDUE, counts.overdue);
            }
            // What was swept is swept.
            Err(error) => tracing::warn!(cause = error.to_log(), "grants could not be counted"),
        }
        let mut body = Body::new();
        body.insert(
            "swept".to_owned(),
            json!(swept.iter().filter(|swept| swept.result.is_ok()).count()),
        );
        for entry in &swept {
            let (run, why) = (&entry.run, entry.why.as_deref().unwrap_or_default());
            tracing::info!(run, why, is_ended = entry.result.is_ok(), "sweep");
        }
        let errors: Vec<_> = swept
            .into_iter()
            .filter_map(|swept| swept.result.err())
            .collect();
        if errors.is_empty() {
            Ok(body)
        } else {
            Err(Errors(errors))
        }
    }

    /// Who has what until when.
    pub(super) async fn open_grants(&self) -> Result<Vec<OpenGrant>> {
        let look = async |connection: &mut Connection| sweep::open_grants(connection).await;
        self.database
            .with_ledger(&self.aws, Names::default(), look)
            .await
    }

    /// Ends runs by hand.
    pub(super) async fn revoke(&self, selection: &Selection) -> Result<Vec<Swept>> {
        let runs = match selection {
            Selection::Run(run) => vec![run.clone()],
            Selection::User(user) => self.open_runs(Some(user)).await?,
            Selection::All => self.open_runs(None).await?,
        };
        let mut ended = Vec::new();
        for run in runs {
            let result = self.end_by_name(&run, "revoke").await;
            ended.push(Swept {
                run,
                why: None,
                result,
            });
        }
        Ok(ended)
    }

    async fn open_runs(&self, user: Option<&str>) -> Result<Vec<String>> {
        let look = async |connection: &mut Connection| sweep::open_runs(connection, user).await;
        self.database
            .with_ledger(&self.aws, Names::default(), look)
            .await
    }

    async fn end_by_name(&self, run: &str, by: &str) -> Result<Body> {
        Box::pin(self.end(Ending::of(Run::parse(run)?), by)).await
    }
}
