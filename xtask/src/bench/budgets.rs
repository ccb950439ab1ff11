//! `xtask/budgets.toml`: what the function may cost.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::figures::{Figure, Figures};

const BUDGETS: &str = include_str!("../../budgets.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    budget: Vec<Budget>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    title: String,
    figure: String,
    at_most: Option<f64>,
    than: Option<String>,
    factor: Option<f64>,
    more: Option<f64>,
}

/// A budget beside its figure.
pub(super) struct Verdict {
    pub(super) title: String,
    /// `None` where this run has not measured it.
    pub(super) figure: Option<Figure>,
    /// `None` where this run has not measured what it is compared with.
    pub(super) limit: Option<Figure>,
}

impl Verdict {
    /// Measured, and too much.
    pub(super) fn is_broken(&self) -> bool {
        match (&self.figure, &self.limit) {
            (Some(figure), Some(limit)) => figure.value > limit.value,
            _ => false,
        }
    }

    pub(super) fn word(&self) -> &'static str {
        match (&self.figure, &self.limit) {
            (Some(_), Some(_)) if self.is_broken() => "too much",
            (Some(_), Some(_)) => "kept",
            _ => "not measured",
        }
    }
}

pub(super) fn check(figures: &Figures) -> Result<Vec<Verdict>> {
    verdicts(BUDGETS, figures)
}

fn verdicts(text: &str, figures: &Figures) -> Result<Vec<Verdict>> {
    let file: File = toml::from_str(text).context("xtask/budgets.toml is wrong")?;
    let verdict = |budget: Budget| {
        let figure = figures.get(&budget.figure).copied();
        let other = budget
            .than
            .as_deref()
            .map(|name| figures.get(name).copied());
        let limit = match (budget.at_most, other, budget.factor, budget.more) {
            (Some(at_most), None, None, None) => {
                figure.map(|figure| Figure::single(at_most, figure.unit))
            }
            (None, Some(other), Some(factor), None) => {
                other.map(|other| Figure::single(other.value * factor, other.unit))
            }
            (None, Some(other), None, Some(more)) => {
                other.map(|other| Figure::single(other.value + more, other.unit))
            }
            _ => bail!(
                "the budget `{}` in xtask/budgets.toml wants `at_most`, or `than` with `factor` or `more`",
                budget.title
            ),
        };
        Ok(Verdict {
            title: budget.title,
            figure,
            limit,
        })
    };
    file.budget.into_iter().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::super::figures::Unit;
    use super::*;

    #[test]
    fn budgets_are_kept_broken_or_not_measured() -> Result<()> {
        let mut figures = Figures::default();
        for (name, value) in [("ours", 10.0), ("theirs", 100.0)] {
            figures.set(name, Figure::single(value, Unit::Milliseconds));
        }
        for (limit, expected) in [
            ("at_most = 10.0", "kept"),
            ("at_most = 9.9", "too much"),
            ("than = \"theirs\"\nfactor = 0.1", "kept"),
            ("than = \"theirs\"\nfactor = 0.05", "too much"),
            ("than = \"ours\"\nmore = 1.0", "kept"),
            ("than = \"nobody\"\nmore = 1.0", "not measured"),
        ] {
            let text = format!("[[budget]]\ntitle = \"t\"\nfigure = \"ours\"\n{limit}");
            assert_eq!(verdicts(&text, &figures)?[0].word(), expected, "{limit}");
        }
        Ok(())
    }

    #[test]
    fn the_file_is_right() -> Result<()> {
        let verdicts = check(&Figures::default())?;
        assert!(
            verdicts
                .iter()
                .all(|verdict| verdict.word() == "not measured")
        );
        Ok(())
    }
}
