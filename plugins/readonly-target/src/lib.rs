//! The target `readonly`: whoever is let in becomes a member of one role.
//!
//! Setting `role`: the role's name, `readonly` where there is none. Both
//! strategies are served alike, since both know the step.

use sym_guest_sdk::prelude::*;

/// The role without the setting `role`.
const DEFAULT_ROLE: &str = "readonly";

struct ReadonlyTarget;

impl Target for ReadonlyTarget {
    fn setup(request: &Request, _username: &str) -> Result<Vec<Step>, Failure> {
        // A strategy that is new to this plugin may mean something else by the step.
        match request.known_strategy()? {
            Strategy::Role | Strategy::TemporaryUser => {}
        }
        config::refuse_all_but(&["role"])?;
        let role = config::get("role").unwrap_or_else(|| DEFAULT_ROLE.to_owned());
        if role.is_empty() {
            return Err(config::invalid(
                "role",
                "is empty, expected the name of a role",
            ));
        }
        Ok(vec![Step::grant_role(role)])
    }
}

export_target!(ReadonlyTarget);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(strategy: &str, config: &[(&str, &str)], expected: Result<&str, &str>) {
        let request = testing::request().strategy(strategy).build();
        let steps = testing::with_config(config, || ReadonlyTarget::setup(&request, "sym_user"));
        assert_eq!(
            steps.map_err(|failure| failure.code),
            expected
                .map(|role| vec![Step::grant_role(role)])
                .map_err(str::to_owned)
        );
    }

    #[test]
    fn grants_readonly_for_both_strategies() {
        check("role", &[], Ok("readonly"));
        check("temporary-user", &[], Ok("readonly"));
    }

    #[test]
    fn grants_the_configured_role() {
        check("role", &[("role", "auditor")], Ok("auditor"));
        check(
            "temporary-user",
            &[("role", "Read-Only \"x\"")],
            Ok("Read-Only \"x\""),
        );
    }

    #[test]
    fn refuses_an_empty_role() {
        check("role", &[("role", "")], Err("invalid-config"));
    }

    // Passed over, it would be another role that is lent.
    #[test]
    fn refuses_a_setting_it_does_not_know() {
        check("role", &[("roles", "auditor")], Err("invalid-config"));
        check(
            "role",
            &[("role", "auditor"), ("Role", "x")],
            Err("invalid-config"),
        );
    }

    #[test]
    fn refuses_a_strategy_it_does_not_know() {
        check("superuser", &[], Err("unknown-strategy"));
    }
}
