//! What a target means.

use sym_guest_sdk::prelude::*;

struct MyTarget;

export_target!(MyTarget);

impl Target for MyTarget {
    /// The role of the target's setting `role`; a temporary user may also read
    /// the table of its setting `table`.
    fn setup(request: &Request, username: &str) -> Result<Vec<Step>, Failure> {
        let role = request.target.setting("role").unwrap_or("readonly");
        let mut steps = vec![Step::grant_role(role)];
        if let Some(table) = request.target.setting("table")
            && request.known_strategy()? == Strategy::TemporaryUser
        {
            log::info!("{username} may read {table}");
            let sql = "GRANT SELECT ON TABLE {table} TO {username}";
            steps.push(Statement::new(sql).identifier("table", table).into());
        }
        Ok(steps)
    }
}
