//! What a run found: medians and spreads by name, as JSON.
//!
//! A name is a path: `host/role/cold`, `template/role/cold`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Megabytes,
    Count,
    PerSecond,
}

impl Unit {
    const ALL: [(Unit, &'static str); 4] = [
        (Unit::Milliseconds, "ms"),
        (Unit::Megabytes, "MB"),
        (Unit::Count, ""),
        (Unit::PerSecond, "/s"),
    ];

    pub(super) fn name(self) -> &'static str {
        Unit::ALL
            .iter()
            .find_map(|(unit, name)| (*unit == self).then_some(*name))
            .unwrap_or_default()
    }

    fn parse(name: &str) -> Option<Unit> {
        Unit::ALL
            .iter()
            .find_map(|(unit, other)| (*other == name).then_some(*unit))
    }
}

/// One number, with how much its samples differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    pub(super) value: f64,
    /// Median of the samples' distances from the median: half of them are
    /// nearer.
    pub(super) spread: f64,
    pub(super) unit: Unit,
}

impl Figure {
    pub(super) fn single(value: f64, unit: Unit) -> Figure {
        Figure {
            value,
            spread: 0.0,
            unit,
        }
    }

    /// The median of samples, or `None` where there are none.
    pub(super) fn median(samples: &[f64], unit: Unit) -> Option<Figure> {
        let value = quantile(samples, 0.5)?;
        let distances: Vec<f64> = samples.iter().map(|s| (s - value).abs()).collect();
        Some(Figure {
            value,
            spread: quantile(&distances, 0.5)?,
            unit,
        })
    }

    /// Whether this one differs from an earlier one by more than their samples
    /// do.
    pub(super) fn moved_from(&self, before: &Figure) -> bool {
        let difference = (self.value - before.value).abs();
        // Three spreads each: for normal noise a chance of one in twenty.
        let noise = 3.0 * (self.spread + before.spread);
        difference > noise && difference > 0.03 * before.value.abs()
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = match self.value.abs() {
            value if value.fract() == 0.0 => 0,
            value if value < 10.0 => 2,
            value if value < 100.0 => 1,
            _ => 0,
        };
        let unit = self.unit.name();
        let space = if unit.is_empty() || unit.starts_with('/') {
            ""
        } else {
            " "
        };
        write!(f, "{:.digits$}{space}{unit}", self.value)
    }
}

/// The value below which a part of the samples is: nearest rank.
pub(super) fn quantile(samples: &[f64], part: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

pub(super) fn milliseconds(durations: &[Duration]) -> Vec<f64> {
    durations.iter().map(|d| d.as_secs_f64() * 1e3).collect()
}

/// Everything that a run found.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<String, Figure>);

impl Figures {
    pub(super) fn set(&mut self, name: impl Into<String>, figure: Figure) {
        self.0.insert(name.into(), figure);
    }

    /// The median of samples; no samples, no figure.
    pub(super) fn set_median(&mut self, name: impl Into<String>, samples: &[f64], unit: Unit) {
        if let Some(figure) = Figure::median(samples, unit) {
            self.set(name, figure);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Figure> {
        self.0.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Figure)> {
        self.0.iter().map(|(name, figure)| (name.as_str(), figure))
    }

    /// Those below `prefix`, by the rest of their names.
    pub(super) fn below<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Figure)> {
        self.iter()
            .filter_map(move |(name, figure)| Some((name.strip_prefix(prefix)?, figure)))
    }

    pub(super) fn read(path: &Path) -> Result<Figures> {
        let context = || {
            format!(
                "`{}` is no file of `cargo xtask bench --json`",
                path.display()
            )
        };
        let text = std::fs::read(path).with_context(context)?;
        let value: Value = serde_json::from_slice(&text).with_context(context)?;
        let figures = value["figures"].as_object().with_context(context)?;
        let mut read = BTreeMap::new();
        for (name, figure) in figures {
            let figure = Figure {
                value: figure["value"].as_f64().with_context(context)?,
                spread: figure["spread"].as_f64().with_context(context)?,
                unit: Unit::parse(figure["unit"].as_str().with_context(context)?)
                    .with_context(context)?,
            };
            read.insert(name.clone(), figure);
        }
        Ok(Figures(read))
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let figures: serde_json::Map<String, Value> = self
            .iter()
            .map(|(name, figure)| {
                let unit = figure.unit.name();
                let figure = json!({"value": figure.value, "spread": figure.spread, "unit": unit});
                (name.to_owned(), figure)
            })
            .collect();
        let text = serde_json::to_string_pretty(&json!({"schema": 1, "figures": figures}))?;
        std::fs::write(path, text + "\n")
            .with_context(|| format!("can't write `{}`", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let samples = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!(quantile(&samples, 0.5), Some(3.0));
        assert_eq!(quantile(&samples, 0.99), Some(5.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn noise_has_not_moved_and_a_change_has() {
        let figure = |value| Figure {
            value,
            spread: 0.1,
            unit: Unit::Milliseconds,
        };
        assert!(!figure(10.5).moved_from(&figure(10.0)));
        assert!(figure(10.7).moved_from(&figure(10.0)));
        // Beyond the noise, and too small to matter.
        let still = |value| Figure::single(value, Unit::Milliseconds);
        assert!(!still(10.2).moved_from(&still(10.0)));
    }

    #[test]
    fn what_was_written_is_read_again() -> Result<()> {
        let mut figures = Figures::default();
        figures.set_median("host/role/cold", &[1.5, 2.5, 2.0], Unit::Milliseconds);
        figures.set("host/zip", Figure::single(9.5, Unit::Megabytes));
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("figures.json");
        figures.write(&path)?;
        assert_eq!(Figures::read(&path)?.0, figures.0);
        Ok(())
    }
}
