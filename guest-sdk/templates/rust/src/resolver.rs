//! Who is which database user.

use sym_guest_sdk::prelude::*;

struct MyResolver;

export_resolver!(MyResolver);

impl Resolver for MyResolver {
    /// The part of the address before the `@`, for people of the domains that are
    /// configured.
    fn resolve_user(request: &Request) -> Result<String, Failure> {
        let email = request
            .requester
            .email()
            .ok_or_else(|| Failure::denied("Only people get access here, bots don't."))?;
        let domains = config::require_list("domains")?;
        if !domains.iter().any(|domain| email.is_in(domain)) {
            return Err(Failure::denied(format!(
                "Only people of {} get access here.",
                domains.join(", ")
            )));
        }
        Ok(match request.known_strategy()? {
            Strategy::Role => email.local_part().to_owned(),
            // Another name for each run: the end of its id, which may be short.
            Strategy::TemporaryUser => {
                let end = request.run_id.len().saturating_sub(8);
                format!("{}_{}", email.local_part(), &request.run_id[end..])
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_people_of_another_domain() {
        testing::with_config(&[("domains", r#"["a.example"]"#)], || {
            let request = testing::request().requester("ada@b.example").build();
            let failure = MyResolver::resolve_user(&request).expect_err("is somebody else's");
            assert!(failure.is_denied());
        });
    }
}
