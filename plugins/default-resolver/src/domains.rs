//! Who may ask at all: people whose address is in one of the operator's domains.
//!
//! The requester may have chosen the address, so whatever could be read in two
//! ways is refused rather than interpreted: a second `@`
//! (`a@evil.example@good.example`), a blank, a control character. Domains are
//! compared whole and without ASCII case. A dot at the end makes another domain,
//! and a subdomain is another domain.

use sym_guest_sdk::prelude::*;

/// How much of a username a refusal repeats. It ends up in a chat message.
const MAX_SHOWN_CHARACTERS: usize = 80;

/// Lets people of these domains pass, and no one else.
pub(crate) fn check(requester: &Actor, domains: &[String]) -> Result<(), Failure> {
    validate(domains)?;
    let is_accepted = requester
        .email()
        .is_some_and(|email| domains.iter().any(|domain| email.is_in(domain)));
    if is_accepted {
        return Ok(());
    }
    Err(Failure::denied(format!(
        "`{}` gets no database access here, only addresses of {} do: ask from such an address, \
         or ask the operator to add yours to `domains`",
        shown(&requester.username),
        domains.join(", "),
    )))
}

/// Refuses what can't be a domain, because it would match nobody, ever, and the
/// requester would be told that the fault is theirs.
fn validate(domains: &[String]) -> Result<(), Failure> {
    if domains.is_empty() {
        // Not "everybody": a list that lost its last domain must not open the door.
        return Err(config::invalid(
            "domains",
            "is empty, expected at least one domain: remove the key to accept every domain",
        ));
    }
    match domains.iter().find(|domain| !is_domain(domain)) {
        None => Ok(()),
        Some(domain) => Err(config::invalid(
            "domains",
            &format!("has `{domain}`, expected whole domains such as `a.example`"),
        )),
    }
}

fn is_domain(domain: &str) -> bool {
    !domain.is_empty()
        && domain
            .split('.')
            .all(|label| !label.is_empty() && !label.contains(is_never_in_a_label))
}

fn is_never_in_a_label(character: char) -> bool {
    character == '@' || character == '*' || character.is_whitespace() || character.is_control()
}

/// The start of a hostile name, without what would break out of a line or of
/// the backticks around it.
fn shown(username: &str) -> String {
    username
        .chars()
        .take(MAX_SHOWN_CHARACTERS)
        .map(|c| if c.is_control() || c == '`' { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(username: &str, domains: &[&str]) -> Result<(), Failure> {
        let request = testing::request().requester(username).build();
        let domains: Vec<_> = domains.iter().map(|domain| domain.to_string()).collect();
        check(&request.requester, &domains)
    }

    #[track_caller]
    fn passes(username: &str, domains: &[&str]) {
        assert_eq!(ask(username, domains), Ok(()));
    }

    #[track_caller]
    fn is_denied(username: &str, domains: &[&str]) {
        let failure = ask(username, domains).expect_err("has to be refused");
        assert!(failure.is_denied(), "{failure:?}");
    }

    #[test]
    fn accepts_each_domain_in_any_case() {
        passes("a@good.example", &["good.example"]);
        passes("a@Good.EXAMPLE", &["gOOD.example"]);
        passes("a@b.example", &["good.example", "b.example"]);
    }

    #[test]
    fn refuses_other_domains_and_near_ones() {
        is_denied("a@evil.example", &["good.example"]);
        is_denied("a@sub.good.example", &["good.example"]);
        is_denied("a@notgood.example", &["good.example"]);
        is_denied("a@good.example.evil.example", &["good.example"]);
        is_denied("a@good.example.", &["good.example"]);
        is_denied("a@.good.example", &["good.example"]);
    }

    #[test]
    fn refuses_a_bot_and_half_an_address() {
        is_denied("deploy-bot", &["good.example"]);
        is_denied("good.example", &["good.example"]);
        is_denied("@good.example", &["good.example"]);
        is_denied("", &["good.example"]);
    }

    #[test]
    fn refuses_two_at_signs_whichever_end_is_good() {
        is_denied("a@evil.example@good.example", &["good.example"]);
        is_denied("a@good.example@evil.example", &["good.example"]);
        is_denied("a@@good.example", &["good.example"]);
        is_denied("\"a@good.example\"@good.example", &["good.example"]);
    }

    #[test]
    fn refuses_blanks_line_ends_and_nul() {
        is_denied("a@good.example ", &["good.example"]);
        is_denied("a@ good.example", &["good.example"]);
        is_denied("a b@good.example", &["good.example"]);
        is_denied("a@good.example\n", &["good.example"]);
        is_denied("a@good.example\0.evil.example", &["good.example"]);
    }

    #[test]
    fn refuses_letters_that_only_look_like_the_domain() {
        is_denied("a@ban\u{212a}.example", &["bank.example"]);
        is_denied("a@g\u{43e}od.example", &["good.example"]);
    }

    #[test]
    fn says_who_and_which_domains_and_what_to_do() {
        let failure = ask("eve@evil.example", &["a.example", "b.example"]).expect_err("refused");
        assert_eq!(
            failure.message,
            "`eve@evil.example` gets no database access here, only addresses of a.example, \
             b.example do: ask from such an address, or ask the operator to add yours to `domains`"
        );
    }

    #[test]
    fn a_hostile_name_stays_in_its_backticks() {
        let name = format!("`\n{}", "x".repeat(1000));
        let failure = ask(&name, &["a.example"]).expect_err("refused");
        assert!(failure.message.starts_with("`??xxx"));
        assert!(failure.message.len() < 300);
    }

    #[test]
    fn a_list_of_nothing_is_a_fault_and_lets_nobody_in() {
        let failure = ask("a@good.example", &[]).expect_err("refused");
        assert_eq!(failure.code, Failure::INVALID_CONFIG);
    }

    #[test]
    fn what_is_no_domain_is_the_operators_fault() {
        for domain in [
            "",
            "@a.example",
            "*.a.example",
            "a.example.",
            ".a.example",
            "a b.example",
        ] {
            let failure = ask("a@good.example", &["good.example", domain]).expect_err("refused");
            assert_eq!(failure.code, Failure::INVALID_CONFIG, "{domain}");
            assert!(failure.message.contains(&format!("`{domain}`")));
        }
    }

    proptest! {
        /// However the name is split at its `@`s, the part after must be good.
        #[test]
        fn whoever_passes_is_in_the_domain_for_every_reader(
            name in "[a@.]{0,6}(@good\\.example|@evil\\.example|[ \n@.]){0,3}",
        ) {
            if ask(&name, &["good.example"]).is_ok() {
                prop_assert_eq!(name.matches('@').count(), 1);
                prop_assert_eq!(name.split_once('@').map(|pair| pair.1), Some("good.example"));
            }
        }
    }
}
