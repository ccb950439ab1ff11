//! When a name is an email address that a decision may stand on.

/// An email address with exactly one `@`.
///
/// Parsing is strict because plugins decide by the domain, and the requester may
/// have chosen the address: `a@evil.example@good.example` has a different domain
/// before and after, depending on who reads it, so it is no address here at all.
/// The rules of RFC 5321 for quoted local parts and comments are left out for
/// the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Email<'a> {
    local_part: &'a str,
    domain: &'a str,
}

impl<'a> Email<'a> {
    /// The address in `text`.
    ///
    /// `None` where there is not exactly one `@`, where nothing is before or
    /// after it, or where there is a blank or a control character anywhere.
    ///
    /// ```
    /// use sym_guest_sdk::Email;
    ///
    /// let email = Email::parse("ada@a.example").unwrap();
    /// assert_eq!((email.local_part(), email.domain()), ("ada", "a.example"));
    /// assert_eq!(Email::parse("ada@evil.example@a.example"), None);
    /// assert_eq!(Email::parse("deploy-bot"), None);
    /// ```
    pub fn parse(text: &'a str) -> Option<Self> {
        let (local_part, domain) = text.split_once('@')?;
        let is_unclear = |c: char| c == '@' || c.is_whitespace() || c.is_control();
        let is_empty = local_part.is_empty() || domain.is_empty();
        if is_empty || local_part.contains(is_unclear) || domain.contains(is_unclear) {
            return None;
        }
        Some(Self { local_part, domain })
    }

    /// What is before the `@`, as it was written.
    pub fn local_part(&self) -> &'a str {
        self.local_part
    }

    /// What is after the `@`, as it was written. Compare it with
    /// [`Email::is_in`]: domains have no case.
    pub fn domain(&self) -> &'a str {
        self.domain
    }

    /// Whether the address is in this very domain. A subdomain is another domain.
    ///
    /// Only ASCII letters are compared without case: beyond them, letters that
    /// look alike become the same one (`K`, the Kelvin sign, and `k`), and
    /// internationalised domains arrive in ASCII anyway.
    pub fn is_in(&self, domain: &str) -> bool {
        self.domain.eq_ignore_ascii_case(domain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let parts = Email::parse(text).map(|email| (email.local_part, email.domain));
        assert_eq!(parts, expected);
    }

    #[test]
    fn splits_an_address() {
        check("a@b.example", Some(("a", "b.example")));
        check(
            "Zoë.o'Neil+x@B.Example",
            Some(("Zoë.o'Neil+x", "B.Example")),
        );
    }

    #[test]
    fn refuses_a_second_at_sign() {
        check("a@evil.example@good.example", None);
        check("\"a@evil.example\"@good.example", None);
        check("a@@good.example", None);
    }

    #[test]
    fn refuses_half_an_address() {
        check("", None);
        check("@", None);
        check("bot", None);
        check("@b.example", None);
        check("a@", None);
    }

    #[test]
    fn refuses_blanks_and_control_characters() {
        check(" a@b.example", None);
        check("a@b.example ", None);
        check("a@b.example\n", None);
        check("a@b.example\0", None);
        check("a@b.example\u{a0}", None);
        check("a\u{3000}@b.example", None);
    }

    #[test]
    fn compares_domains_without_ascii_case_and_nothing_looser() {
        let email = Email::parse("a@Bank.Example").expect("an address");
        assert!(email.is_in("bank.example"));
        assert!(!email.is_in("ank.example"));
        assert!(!email.is_in("example"));
        assert!(!email.is_in("bank.example."));
        let kelvin = Email::parse("a@ban\u{212a}.example").expect("an address");
        assert!(!kelvin.is_in("bank.example"));
        let dot = Email::parse("a@bank.example.").expect("an address");
        assert!(!dot.is_in("bank.example"));
    }

    proptest! {
        #[test]
        fn what_it_parses_reads_the_same_from_both_ends(text in "[a@. ]{0,12}|\\PC*") {
            if let Some(email) = Email::parse(&text) {
                prop_assert_eq!(Some((email.local_part, email.domain)), text.rsplit_once('@'));
            }
        }
    }
}
