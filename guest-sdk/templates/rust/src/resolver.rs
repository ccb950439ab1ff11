//! Who is which database user.

use sym_guest_sdk::prelude::*;

struct MyResolver;

export_resolver!(MyResolver);

impl Resolver for MyResolver {
    /// The part of the address before the `@`, for people of the domain that is
    /// configured.
    fn resolve_user(request: &Request) -> Result<String, Failure> {
        let email = request
            .requester
            .email()
            .ok_or_else(|| Failure::denied("Only people get access here, bots don't."))?;
        let domain = config::require("domain")?;
        if !email.is_in(&domain) {
            return Err(Failure::denied(format!(
                "Only people of {domain} get access here."
            )));
        }
        Ok(match request.known_strategy()? {
            Strategy::Role => email.local_part().to_owned(),
            // Another name for each run.
            Strategy::TemporaryUser => format!("{}_{}", email.local_part(), &request.run_id[..8]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_people_of_another_domain() {
        testing::with_config(&[("domain", "a.example")], || {
            let request = testing::request().requester("ada@b.example").build();
            let failure = MyResolver::resolve_user(&request).expect_err("is somebody else's");
            assert!(failure.is_denied());
        });
    }
}
