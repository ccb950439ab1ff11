//! A rule for Markdown: SQL that computes anything begins with a pinned `search_path`.
//! Who runs it is an administrator, and up to PostgreSQL 14 everybody may create in
//! `public` what fits a call, or a comparison, better than PostgreSQL's own.

use super::Violation;

const PIN: &str = "SET search_path = pg_catalog, pg_temp;";

/// Statements that name nothing but objects, and so call nothing.
const PLAIN: &[&str] = &["DROP", "GRANT", "RESET", "REVOKE", "SET"];

pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.trim() != "```sql" {
            continue;
        }
        let code: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line.trim())
            .take_while(|line| *line != "```")
            .filter(|line| !line.starts_with("--"))
            .collect();
        if code.first() != Some(&PIN) && !is_plain(&code) {
            broken.push(Violation {
                path: path.to_owned(),
                line: index + 1,
                sentence: format!("has SQL that doesn't begin with `{PIN}`"),
            });
        }
    }
    broken
}

/// Whether nothing is in it but plain statements. A body with semicolons of its own falls
/// apart here, into parts of which one is none.
fn is_plain(code: &[&str]) -> bool {
    let code = code.join("\n");
    let mut words = code
        .split(';')
        .filter_map(|statement| statement.split_whitespace().next());
    words.all(|word| PLAIN.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_lines(text: &str) -> Vec<usize> {
        let broken = check("docs/a.md", text).into_iter();
        broken.map(|violation| violation.line).collect()
    }

    #[test]
    fn finds_sql_that_others_could_step_into() {
        let pinned =
            format!("1. It:\n\n   ```sql\n   -- Why.\n   {PIN}\n   SELECT f(1);\n   ```\n");
        for fine in [
            pinned.as_str(),
            "```sql\nGRANT a TO b; SET ROLE a;\n-- SELECT in a comment; and more.\nREVOKE SELECT ON t FROM b;\n```\n",
            "```sh\nSELECT 1;\n```\n",
        ] {
            assert!(broken_lines(fine).is_empty(), "{fine}");
        }
        for statement in [
            "SELECT 1;",
            "DO $$ BEGIN DROP ROLE a; END $$;",
            "CALL p();",
            "WITH a AS (SELECT 1) TABLE a;",
            "GRANT a TO b; SELECT 1;",
            &format!("SELECT 1; {PIN}"),
            "SET search_path = public, pg_catalog; SELECT 1;",
        ] {
            let text = format!("# A\n\n```sql\nDROP ROLE a;\n```\n```sql\n{statement}\n```\n");
            assert_eq!(broken_lines(&text), [6], "{statement}");
        }
    }
}
