//! Database users named as Sym's own templates name them, byte for byte, so
//! that this host can take over where a template ran.
//!
//! - `role`: what is before the first `@` of the requester's username (all of it
//!   where there is none), with `-` turned into `_`.
//! - `temporary-user`: its letters, digits and `_`, twelve at most, and 24
//!   hexadecimal digits of the run's hash.
//!
//! Setting `domains`, a list of mail domains: everybody else is refused. Set it,
//! to one domain where you can: the templates' rule looks at nothing but the
//! local part, so `ada@a.example` and `ada@b.example` are one database user.
//! `sym-user` and `sym_user` are one too, whatever is set. Another setting is refused:
//! a mistyped one must not let everybody in.

mod domains;
mod temporary;

use sym_guest_sdk::prelude::*;

struct DefaultResolver;

impl Resolver for DefaultResolver {
    fn resolve_user(request: &Request) -> Result<String, Failure> {
        // First, so that a wrong setting is seen at the first request, whoever asks.
        config::refuse_all_but(&["domains"])?;
        if let Some(domains) = config::list("domains")? {
            domains::check(&request.requester, &domains)?;
        }
        let username = &request.requester.username;
        let local_part = username
            .split_once('@')
            .map_or(username.as_str(), |(local_part, _)| local_part);
        match request.known_strategy()? {
            Strategy::Role => role(local_part),
            Strategy::TemporaryUser => Ok(temporary::name(local_part, &request.run_id)),
        }
    }
}

export_resolver!(DefaultResolver);

fn role(local_part: &str) -> Result<String, Failure> {
    if local_part.is_empty() {
        return Err(Failure::new(
            "invalid-username",
            "the requester's username has nothing before the `@`, so there is no database user \
             to name: write a resolver that maps this person",
        ));
    }
    Ok(local_part.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn resolve(strategy: &str, username: &str) -> Result<String, Failure> {
        let request = testing::request()
            .strategy(strategy)
            .requester(username)
            .build();
        DefaultResolver::resolve_user(&request)
    }

    /// Expected values: Python 3.11, `username.split("@")[0].replace("-", "_")`.
    #[test]
    fn names_an_existing_user_as_the_template_does() {
        for (username, expected) in [
            ("sym-user@healthy-health.co", "sym_user"),
            ("a-b-c@x@y", "a_b_c"),
            ("deploy-bot", "deploy_bot"),
            ("First.Last+tag@a.example", "First.Last+tag"),
            ("zoë-å@a.example", "zoë_å"),
            (" ada @a.example", " ada "),
            ("en\u{2013}dash@a.example", "en\u{2013}dash"),
        ] {
            assert_eq!(resolve("role", username).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn names_a_temporary_user_as_the_template_does() {
        assert_eq!(
            resolve("temporary-user", "sym-user@healthy-health.co").as_deref(),
            Ok("symuser75c471289bca6deb6cd22ed7")
        );
    }

    #[test]
    fn refuses_a_role_user_without_a_name() {
        for username in ["", "@a.example", "@"] {
            let failure = resolve("role", username).expect_err("there is no name");
            assert_eq!(failure.code, "invalid-username");
        }
    }

    #[test]
    fn refuses_a_strategy_it_does_not_know() {
        let failure = resolve("superuser", "ada@a.example").expect_err("no such strategy");
        assert_eq!(failure.code, "unknown-strategy");
        assert!(failure.message.contains("`superuser`"));
    }

    // `domain` for `domains` would let everybody in.
    #[test]
    fn refuses_a_setting_it_does_not_know() {
        let request = testing::request().build();
        for key in ["domain", "Domains", "domains ", "role"] {
            let failure = testing::with_config(&[(key, "healthy-health.co")], || {
                DefaultResolver::resolve_user(&request).expect_err("is no setting")
            });
            assert_eq!(failure.code, Failure::INVALID_CONFIG, "{key}");
            assert!(failure.message.contains(&format!("`{key}`")), "{failure:?}");
        }
    }

    #[test]
    fn looks_at_domains_before_anything_else() {
        let request = testing::request().strategy("superuser").build();
        let resolve = |domains| {
            testing::with_config(&[("domains", domains)], || {
                DefaultResolver::resolve_user(&request).expect_err("refused either way")
            })
        };
        assert_eq!(resolve("evil.example").code, Failure::DENIED);
        assert_eq!(resolve("healthy-health.co").code, "unknown-strategy");
        assert_eq!(resolve("[1]").code, Failure::INVALID_CONFIG);
    }
}
