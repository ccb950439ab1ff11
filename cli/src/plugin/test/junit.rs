//! The report that CI systems read: JUnit XML.
//!
//! There is no standard; what is written here is the part of it that Jenkins,
//! GitLab and GitHub's actions all read.

use super::{FileVerdict, NEEDS_DATABASE, Verdict, shown};

pub(super) fn report(results: &[FileVerdict], seconds: f64) -> String {
    let all = || results.iter().flat_map(|result| &result.verdicts);
    let in_part = |verdicts: &[Verdict]| {
        let skipped = verdicts
            .iter()
            .filter(|verdict| verdict.is_passed_in_part());
        skipped.count()
    };
    let skipped: usize = results.iter().map(|result| in_part(&result.verdicts)).sum();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"symctl plugin test\" tests=\"{}\" failures=\"{}\" skipped=\"{skipped}\" time=\"{seconds:.3}\">\n",
        all().count(),
        all().filter(|verdict| !verdict.passed).count()
    );
    for result in results {
        let path = escape(&shown(&result.file.path));
        let failures = result.verdicts.iter().filter(|verdict| !verdict.passed);
        xml.push_str(&format!(
            "  <testsuite name=\"{path}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">\n",
            result.verdicts.len(),
            failures.count(),
            in_part(&result.verdicts)
        ));
        for verdict in &result.verdicts {
            xml.push_str(&format!(
                "    <testcase classname=\"{path}\" name=\"{}\" time=\"{:.3}\"",
                escape(&verdict.name),
                verdict.milliseconds / 1000.0
            ));
            if verdict.is_passed_in_part() {
                xml.push_str(&format!(
                    ">\n      <skipped message=\"{}: {}\"/>\n    </testcase>\n",
                    escape(&verdict.skipped.join(", ")),
                    escape(NEEDS_DATABASE)
                ));
                continue;
            }
            if verdict.passed {
                xml.push_str("/>\n");
                continue;
            }
            let lines = verdict.differences.iter().map(|difference| {
                format!(
                    "{}: expected {}, found {}",
                    difference.what, difference.expected, difference.found
                )
            });
            let lines: Vec<String> = lines.chain(verdict.outcome.log.iter().cloned()).collect();
            let what: Vec<&str> = verdict.differences.iter().map(|one| one.what).collect();
            xml.push_str(&format!(
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                escape(&what.join(", ")),
                escape(&lines.join("\n"))
            ));
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Text for an attribute or an element. What XML has no place for, most control
/// characters, is replaced.
///
/// Source: XML 1.0, 2.2 "Characters" and 2.4 "Character Data and Markup".
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' => escaped.push(character),
            '\u{0}'..'\u{20}' | '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_says_can_not_break_the_report() {
        assert_eq!(
            escape("</failure>&\"\u{1b}[31m\n"),
            "&lt;/failure&gt;&amp;&quot;\u{FFFD}[31m\n"
        );
    }
}
