//! How outcomes look to a person: what came out, and what it took of what there
//! is.

use super::outcome::{Call, Outcome, Used};

/// A number in groups of three.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that fits.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Microseconds as milliseconds.
pub(crate) fn milliseconds(microseconds: u64) -> String {
    format!("{:.1} ms", microseconds as f64 / 1e3)
}

/// The costs of calls, each against its limit: the rows of a table.
pub(crate) fn costs(calls: &[Call]) -> Vec<[String; 6]> {
    let heading = ["", "fuel", "memory", "time", "log lines", "log bytes"];
    let mut rows = vec![heading.map(str::to_owned)];
    let of = |used: Used, words: fn(u64) -> String| {
        format!(
            "{} of {} ({})",
            words(used.used),
            words(used.limit),
            percent(used)
        )
    };
    for call in calls {
        rows.push([
            call.part.to_owned(),
            of(call.fuel, number),
            of(call.memory_bytes, bytes),
            of(call.microseconds, milliseconds),
            of(call.log_lines, number),
            of(call.log_bytes, bytes),
        ]);
    }
    rows
}

fn percent(used: Used) -> String {
    let percent = used.used as f64 * 100.0 / used.limit.max(1) as f64;
    match percent {
        0.0 => "0 %".to_owned(),
        ..1.0 => "< 1 %".to_owned(),
        _ => format!("{percent:.0} %"),
    }
}

/// What a call took, in short: for a line of a list.
pub(crate) fn cost_in_short(outcome: &Outcome) -> String {
    if outcome.calls.is_empty() {
        return String::new();
    }
    format!(
        "{} fuel, {}, {}",
        number(outcome.total(|call| call.fuel)),
        bytes(
            outcome
                .calls
                .iter()
                .map(|call| call.memory_bytes.used)
                .max()
                .unwrap_or(0)
        ),
        milliseconds(outcome.total(|call| call.microseconds)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_000), "1 000");
        assert_eq!(number(100_000_000), "100 000 000");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_114_112), "1.1 MB");
        assert_eq!(
            percent(Used {
                used: 1,
                limit: 1000
            }),
            "< 1 %"
        );
        assert_eq!(
            percent(Used {
                used: 12,
                limit: 100
            }),
            "12 %"
        );
    }
}
