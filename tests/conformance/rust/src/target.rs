//! What a target means.

use sym_guest_sdk::prelude::*;

use crate::orders::{FLOOD, floods, obey};

struct Conformance;

export_target!(Conformance);

impl Target for Conformance {
    fn setup(request: &Request, _: &str) -> Result<Vec<Step>, Failure> {
        obey(request)?;
        if floods() {
            return Ok(vec![Step::grant_role("x".repeat(FLOOD))]);
        }
        let setting = |key| request.target.setting(key);
        if let Some(count) = setting("roles") {
            let count: u32 = count.parse().map_err(|_| "`roles` is no number")?;
            let role = |number| Step::grant_role(format!("role_{number}"));
            return Ok((1..=count).map(role).collect());
        }
        let mut steps = vec![Step::grant_role(setting("role").unwrap_or("readonly"))];
        if request.known_strategy()? == Strategy::TemporaryUser {
            for table in setting("tables").iter().flat_map(|names| names.split(',')) {
                let statement = Statement::new("GRANT SELECT ON TABLE {table} TO {username}");
                steps.push(statement.identifier("table", table).into());
            }
            if let Some(note) = setting("note") {
                let statement = Statement::new("INSERT INTO notes VALUES ({note})");
                steps.push(statement.literal("note", note).into());
            }
        }
        Ok(steps)
    }
}
