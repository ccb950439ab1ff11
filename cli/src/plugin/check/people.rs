//! People that no company has all of, and each has some of: made, not drawn, so
//! that each run of a check asks for the same ones.

use std::collections::BTreeSet;

/// Parts of names, and what people put between them.
const WORDS: &[&str] = &["ada", "Ada", "lovelace", "bo", "zoë", "李"];
const BETWEEN: &[&str] = &["", ".", "-", "_", "+", " ", "..", "'"];

/// Local parts that something goes wrong with.
const ODD: &[&str] = &[
    // Nothing, and next to nothing.
    "",
    " ",
    ".",
    "-",
    "_",
    "+tag",
    "0",
    // The same letters in another form, and letters that look the same.
    "zoe\u{308}",
    "zoe",
    "\u{430}da",
    "stra\u{df}e",
    "strasse",
    "\u{130}stanbul",
    "istanbul",
    "ﬁn",
    "fin",
    "\u{212a}im",
    "kim",
    // Other scripts, right to left, outside of the first plane.
    "محمد",
    "Ωμέγα",
    "ада",
    "👩‍💻",
    // What can't be seen.
    "a\u{200b}da",
    "a\u{202e}da",
    "\u{feff}ada",
    // What has a meaning in SQL or in a template.
    "a\"da",
    "a'da",
    "a\\da",
    "a;da",
    "--",
    "ada/*",
    "{username}",
    "%s",
    "$1",
    // Names that belong to somebody.
    "postgres",
    "root",
    "public",
    "none",
    "current_user",
    "pg_monitor",
    "rds_superuser",
    "sym_bot",
    "select",
    // Several addresses in one.
    "ada@a.example",
    "\"ada@x\"",
    "ada%b",
    // Numbers that are alike once something is cut off.
    "007",
    "7",
];

/// Names without a domain: bots.
const BOTS: &[&str] = &["deploy-bot", "deploy_bot", "ada", "Deploy Bot"];

/// Usernames as Sym sends them, at each of these domains. No two are the same.
pub(super) fn people(domains: &[String]) -> Vec<String> {
    let mut locals: Vec<String> = Vec::new();
    for first in WORDS {
        locals.push((*first).to_owned());
        for second in WORDS {
            for between in BETWEEN {
                locals.push(format!("{first}{between}{second}"));
            }
        }
    }
    // Alike as far as a name is kept: 12 characters in Sym's templates, 63 bytes
    // in PostgreSQL, 64 in an address's local part.
    for kept in [11, 12, 31, 62, 63, 64, 128] {
        for last in ["a", "b", "é"] {
            locals.push(format!("{}{last}", "x".repeat(kept)));
        }
    }
    locals.extend(ODD.iter().map(|odd| (*odd).to_owned()));
    let mut people: Vec<String> = BOTS.iter().map(|bot| (*bot).to_owned()).collect();
    for domain in domains {
        people.extend(locals.iter().map(|local| format!("{local}@{domain}")));
    }
    let mut seen = BTreeSet::new();
    people.retain(|person| !person.trim().is_empty() && seen.insert(person.clone()));
    people
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_somebody_else_and_the_same_each_time() {
        let domains = ["a.example".to_owned(), "b.example".to_owned()];
        let everybody = people(&domains);
        assert_eq!(everybody, people(&domains));
        let different: BTreeSet<&String> = everybody.iter().collect();
        assert_eq!(different.len(), everybody.len());
        assert!(everybody.len() > 500, "{}", everybody.len());
    }
}
