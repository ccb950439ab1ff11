//! Rules for `wit/`: everything says what it is, and since when it is there.
//!
//! Reads lines, one item each, as the files are written.

use super::Violation;

pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut documented = false;
    let mut dated = false;
    // What an item that goes on over several lines has opened and not closed.
    let mut rest: Option<usize> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(open) = rest {
            rest = what_is_open(open, line);
        } else if line.starts_with("///") {
            documented = true;
        } else if line.starts_with('@') {
            dated |= line.starts_with("@since(");
        } else if let Some(item) = Item::of(line) {
            let name = line.trim_end_matches(['{', ' ', ',', ';']);
            let mut report = |sentence: &str| {
                broken.push(Violation {
                    path: path.to_owned(),
                    line: index + 1,
                    sentence: format!("`{name}` {sentence}"),
                });
            };
            if !documented {
                report("has no `///` that says what it is");
            }
            if item == Item::Declaration && !dated {
                report("has no `@since`");
            }
            (documented, dated) = (false, false);
            rest = what_is_open(0, line);
        } else {
            (documented, dated) = (false, false);
        }
    }
    broken
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// What the grammar lets carry `@since`.
    Declaration,
    /// A field or a case, which it doesn't.
    Part,
}

impl Item {
    fn of(line: &str) -> Option<Item> {
        const NO_ITEMS: [&str; 6] = ["package ", "import ", "export ", "use ", "include ", "//"];
        const DECLARATIONS: [&str; 8] = [
            "interface ",
            "world ",
            "record ",
            "variant ",
            "enum ",
            "flags ",
            "resource ",
            "type ",
        ];
        if line.is_empty()
            || line.starts_with('}')
            || NO_ITEMS.iter().any(|word| line.starts_with(word))
        {
            None
        } else if DECLARATIONS.iter().any(|word| line.starts_with(word)) || is_function(line) {
            Some(Item::Declaration)
        } else {
            Some(Item::Part)
        }
    }
}

fn is_function(line: &str) -> bool {
    line.split_once(": ")
        .is_some_and(|(_, kind)| kind.starts_with("func(") || kind.starts_with("async func("))
}

/// How many parentheses are open after `line`, or `None` where the item ends.
fn what_is_open(before: usize, line: &str) -> Option<usize> {
    let open = (before + line.matches('(').count()).saturating_sub(line.matches(')').count());
    let ends = open == 0 && line.ends_with(['{', '}', ',', ';']);
    (!ends).then_some(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(text: &str, expected: &[(usize, &str)]) {
        let found: Vec<(usize, String)> = check("wit/a.wit", text)
            .into_iter()
            .map(|violation| (violation.line, violation.sentence))
            .collect();
        let found: Vec<(usize, &str)> = found.iter().map(|(l, s)| (*l, s.as_str())).collect();
        assert_eq!(found, expected);
    }

    const GOOD: &str = "package a:b@0.1.0;

/// An interface.
@since(version = 0.1.0)
interface types {
  use other.{thing};

  /// A record,
  /// in two lines.
  @since(version = 0.1.0)
  record actor {
    /// A field.
    username: string,
  }

  /// A function.
  @since(version = 0.1.0)
  write: func(
    level: level,
    message: string
  ) -> string;
}
";

    #[test]
    fn a_documented_file_passes() {
        check_text(GOOD, &[]);
    }

    #[test]
    fn what_lacks_documentation_or_date_is_found() {
        check_text(
            &GOOD.replace("    /// A field.\n", ""),
            &[(12, "`username: string` has no `///` that says what it is")],
        );
        check_text(
            &GOOD.replace("  /// A function.\n  @since(version = 0.1.0)\n", ""),
            &[
                (16, "`write: func(` has no `///` that says what it is"),
                (16, "`write: func(` has no `@since`"),
            ],
        );
        check_text(
            &GOOD.replacen("@since(version = 0.1.0)\n", "", 1),
            &[(4, "`interface types` has no `@since`")],
        );
    }
}
