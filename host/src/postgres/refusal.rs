//! What our own SQL functions refuse, in sentences: what, and what to do.

use serde_json::Value;

use super::failure::Names;
use super::schema::AS_OWNER;
use crate::error::{Code, Error};
use crate::event::printable;
use crate::sql::identifier;

/// The error for a refusal with this code and DETAIL.
pub(super) fn sentence(code: &str, why: &Value, names: Names<'_>) -> Error {
    let text = |key: &str| printable(why[key].as_str().unwrap_or_default(), 80);
    let user = if why["user"].is_string() {
        text("user")
    } else {
        names.user.to_owned()
    };
    let role = if why["role"].is_string() {
        text("role")
    } else {
        names.role.to_owned()
    };
    let bot = names.bot;
    let (code, sentence) = match (code, why["why"].as_str().unwrap_or_default()) {
        ("user-missing", _) => (
            Code::UserMissing,
            format!(
                "database user `{user}` does not exist: create it, or have the resolver name another"
            ),
        ),
        ("user-refused", "no-login") => (
            Code::UserRefused,
            format!("database user `{user}` may not log in, so nothing can be lent to it"),
        ),
        ("user-refused", "privileged") => (
            Code::UserRefused,
            format!("database user `{user}` is privileged, so nothing is lent to it"),
        ),
        ("user-refused", "exists") => (
            Code::UserRefused,
            format!(
                "a database user `{user}` exists already and was not made for this run: the resolver has to name another for each run"
            ),
        ),
        ("user-refused", "ours") => (
            Code::UserRefused,
            format!("database user `{user}` belongs to this function, so nothing is lent to it"),
        ),
        ("role-missing", _) => (
            Code::RoleMissing,
            format!(
                "role `{role}` does not exist in the database: create it, or correct the target"
            ),
        ),
        ("role-refused", "no-admin") => (
            Code::RoleRefused,
            format!(
                "`{bot}` may not lend role `{role}`: an administrator has to run `{}`",
                printable(why["grant"].as_str().unwrap_or_default(), 300)
            ),
        ),
        ("role-refused", "no-effect") => (
            Code::RoleRefused,
            format!(
                "lending role `{role}` to `{user}` has no effect: an older membership of theirs hides it"
            ),
        ),
        ("role-refused", kind) => {
            let what = match kind {
                "privileged" => "is privileged",
                "system" => "belongs to the system",
                "owner" => "owns objects",
                "crowded" => {
                    "has so many privileges, a million or more, that nobody can tell whether it owns objects: look in \
                     pg_shdepend whose they are"
                }
                "gives-roles" => {
                    "has the ADMIN option on a role, which whoever it is lent to could keep"
                }
                "login" => {
                    "may log in, and whoever it is lent to could set its password (before PostgreSQL 16)"
                }
                "ours" => "belongs to this function",
                _ => return unknown(code, why),
            };
            let through = text("through");
            let sentence = if through == role {
                format!("role `{role}` is never lent: it {what}")
            } else {
                format!("role `{role}` is never lent: it is a member of `{through}`, which {what}")
            };
            (Code::RoleRefused, sentence)
        }
        ("run-ended", "replay") => (
            Code::RunEnded,
            format!(
                "this run has ended, and can't begin again for another {} seconds: send a new request; to try a saved \
                 event again, give it another run id (`symctl invoke --new-run`)",
                why["seconds"]
            ),
        ),
        ("run-ended", "elsewhere") => (
            Code::RunEnded,
            format!(
                "what this run lent to `{user}` was taken back in the database by somebody else: send a new request"
            ),
        ),
        ("run-ended", "user-gone") => (
            Code::RunEnded,
            format!(
                "temporary user `{user}` of this run was removed in the database by somebody else: send a new request"
            ),
        ),
        ("run-ended", "expired") => (
            Code::RunEnded,
            "this run's time is over: send a new request".to_owned(),
        ),
        ("run-ended", "ending" | "overtaken") => (
            Code::RunEnded,
            "this run is being ended: send a new request".to_owned(),
        ),
        ("release-refused", "same-serial") => (
            Code::InvalidPlugin,
            format!(
                "the release is refused: another one with its serial {serial} was accepted before: run `symctl publish … \
                 --after {serial}`",
                serial = why["serial"]
            ),
        ),
        ("release-refused", "") => (
            Code::InvalidPlugin,
            surpassed(&why["serial"], &why["highest"]),
        ),
        ("setup", "no-marker") => (
            Code::DatabaseSetup,
            "role `sym_managed` is missing: run what `symctl setup-sql --strategy temporary-user` prints".to_owned(),
        ),
        ("setup", "left-behind") => (
            Code::DatabaseRefused,
            format!(
                "the target's statements grant to `{user}` what a temporary user has made, and `{role}` owns: have them name what \
                 they mean, or look through what was left (docs/operations.md)"
            ),
        ),
        ("setup", "no-createrole") => (
            Code::DatabaseSetup,
            format!(
                "`{bot}` may not make users: an administrator has to run `ALTER ROLE {} CREATEROLE`",
                identifier(bot).unwrap_or_default()
            ),
        ),
        ("run-untold", _) => (
            Code::AccessRemains,
            "the ledger doesn't know this run, and Sym's role template may have begun it (`MIGRATE_FROM`): only a \
             deescalate event with its requester and target can end it"
                .to_owned(),
        ),
        ("run-conflict", "renamed") => (
            Code::RunConflict,
            format!(
                "this run began as `{user}`, and the resolver says `{}` now: end it, and send a new request",
                names.user
            ),
        ),
        ("run-conflict", "unknown") => (
            Code::RunConflict,
            "the ledger doesn't know this run: look at its name (`symctl grants`)".to_owned(),
        ),
        ("run-conflict", "secret") => (
            Code::RunConflict,
            "another run that is open has this one's id, and so its secret's name: end that (`symctl grants`), and send a \
             new request"
                .to_owned(),
        ),
        ("run-conflict", "") => (
            Code::RunConflict,
            "this run began with another strategy: end it, and send a new request".to_owned(),
        ),
        ("access-remains", "other-ledger") => (
            Code::AccessRemains,
            format!(
                "the ledger doesn't know this run, and the function's user seems to have another ledger, in database `{}`: \
                 look at `LEDGER_DB`; or, where nothing is open there, drop its schema `sym`, as its owner ({AS_OWNER})",
                text("database")
            ),
        ),
        ("access-remains", "other-user") => (
            Code::AccessRemains,
            format!(
                "database user `{user}` is not the one of this run any more (made anew, or restored from a backup), so \
                 nothing was taken from it: an administrator has to look, and to revoke by hand; then the run can end"
            ),
        ),
        ("access-remains", "other-role") => (
            Code::AccessRemains,
            format!(
                "role `{role}` is not the one of this run any more (made anew, or restored from a backup), so nothing \
                 was taken from `{user}`: an administrator has to look, and to revoke by hand; then the run can end"
            ),
        ),
        ("access-remains", "upgraded") => (
            Code::AccessRemains,
            format!(
                "`{user}` has role `{role}` by a grant that is not this function's, and may have been before the server was \
                 upgraded: a superuser has to run `REVOKE {role} FROM {user} GRANTED BY {}`",
                text("grantor")
            ),
        ),
        ("access-remains", "not-revoked") => (
            Code::AccessRemains,
            format!(
                "role `{role}` could not be taken back from `{user}`: an administrator has to run `REVOKE {role} FROM {user}`"
            ),
        ),
        ("access-remains", "sessions") => (
            Code::AccessRemains,
            format!(
                "the access of `{user}` was taken back, but an open session of theirs could not be ended: an \
                 administrator has to end it, or grant `pg_signal_backend` to the function's user"
            ),
        ),
        ("access-remains", "privileged") => (
            Code::AccessRemains,
            format!(
                "temporary user `{user}` is more privileged than the function's user, so it could not be disabled: an \
                 administrator has to run `ALTER ROLE {user} NOLOGIN NOSUPERUSER NOREPLICATION NOBYPASSRLS`"
            ),
        ),
        ("access-remains", "no-admin") => (
            Code::AccessRemains,
            format!(
                "temporary user `{user}` could not be disabled, and can still log in: `{}` has no ADMIN option on it, as after an \
                 upgrade of the server from 15 or older; a superuser has to run `GRANT {user} TO {} WITH ADMIN TRUE, INHERIT \
                 FALSE, SET FALSE`, and the next sweep ends it",
                text("owner"),
                identifier(why["owner"].as_str().unwrap_or_default()).unwrap_or_default()
            ),
        ),
        ("access-remains", "no-createrole") => (
            Code::AccessRemains,
            format!(
                "temporary user `{user}` could not be disabled, and can still log in: `{}` may not change users; an administrator \
                 has to run `ALTER ROLE {} CREATEROLE`, and the next sweep ends it",
                text("owner"),
                identifier(why["owner"].as_str().unwrap_or_default()).unwrap_or_default()
            ),
        ),
        ("access-remains", "worker") => (
            Code::AccessRemains,
            format!(
                "the access of `{user}` was taken back, but autovacuum is at a table of theirs, and may run \
                 functions of theirs with it: the sweep tries again, and a superuser can end that process ({})",
                text("pids")
            ),
        ),
        ("access-remains", "held") => (
            Code::AccessRemains,
            format!(
                "temporary user `{user}` can still log in: a transaction that could not be ended keeps it; an \
                 administrator has to end that (an open one of an administrator's, one of autovacuum's that runs the user's \
                 functions, or see pg_prepared_xacts, ROLLBACK PREPARED), and the next sweep tries again"
            ),
        ),
        ("access-remains", "membership") => (
            Code::AccessRemains,
            format!(
                "temporary user `{user}` can't log in any more, but an open transaction of somebody else's keeps a \
                 membership of its: the next sweep tries again"
            ),
        ),
        ("access-remains", "prepared") => (
            Code::AccessRemains,
            format!(
                "the access of `{user}` was taken back, but a prepared transaction may hold what was made with it: an \
                 administrator has to look, and to end it by ROLLBACK PREPARED; the function's log names it"
            ),
        ),
        ("access-remains", "blocked") => (
            Code::AccessRemains,
            format!(
                "temporary user `{user}` can't log in any more, but could not be dropped: something \
                 in the database still depends on it; the function's log names it"
            ),
        ),
        ("access-remains", "not-ours") => (
            Code::AccessRemains,
            format!(
                "database user `{user}` doesn't look like the one that was made for this run, so it was left alone: an administrator has to look"
            ),
        ),
        _ => return unknown(code, why),
    };
    let error = Error::new(code, sentence);
    match why["blockers"].as_str() {
        Some(blockers) => error.with_source(blockers.to_owned()),
        None => error,
    }
}

/// Of a ledger that is newer than this version.
fn unknown(code: &str, why: &Value) -> Error {
    let code = match code {
        "user-refused" => Code::UserRefused,
        "role-refused" => Code::RoleRefused,
        "run-ended" => Code::RunEnded,
        "run-conflict" => Code::RunConflict,
        "release-refused" => Code::InvalidPlugin,
        "access-remains" => Code::AccessRemains,
        "setup" => Code::DatabaseSetup,
        _ => return Error::internal(format!("unknown refusal {why}")),
    };
    Error::new(
        code,
        format!(
            "the ledger refuses this by a rule that this version doesn't know (`{}`): have each function and `symctl` of \
             the newest version that the ledger has seen",
            printable(why["why"].as_str().unwrap_or_default(), 40)
        ),
    )
}

/// Of a release that is older than one that was accepted.
fn surpassed(serial: &Value, highest: &Value) -> String {
    let after = match highest.as_i64() {
        // No release can have a higher one.
        Some(i64::MAX) => "docs/releases.md, `When a key was stolen`".to_owned(),
        _ => format!(
            "run `symctl publish … --after {highest}` or `symctl rollback … --after {highest}`"
        ),
    };
    format!(
        "the release is refused: its serial {serial} is lower than {highest}, which was accepted before: {after}"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Why `sym.check_role` refuses one.
    const ROLES: [&str; 7] = [
        "privileged",
        "system",
        "ours",
        "owner",
        "crowded",
        "gives-roles",
        "login",
    ];

    /// The reasons that a call of `sym.refuse` names.
    fn whys_of(statement: &str) -> Vec<&str> {
        let first = |rest: &str| rest.split(['"', '\'']).next().unwrap_or_default().len();
        for key in ["\"why\": \"", "'why', '"] {
            if let Some((_, rest)) = statement.split_once(key) {
                return vec![&rest[..first(rest)]];
            }
        }
        let Some((_, case)) = statement.split_once("'why', CASE ") else {
            return Vec::new();
        };
        let case = case.split(" END").next().unwrap_or_default();
        let branches = case
            .match_indices(" THEN '")
            .chain(case.match_indices(" ELSE '"));
        branches
            .map(|(at, word)| &case[at + word.len()..])
            .map(|rest| &rest[..first(rest)])
            .collect()
    }

    /// What the ledger's SQL refuses has a sentence of its own.
    #[test]
    fn each_refusal_of_the_ledger_is_known() {
        let sql = super::super::schema::to_sql();
        let mut seen = 0;
        for refusal in sql.split("sym.refuse('").skip(1) {
            let statement = refusal.split(';').next().unwrap_or_default();
            let code = statement.split('\'').next().unwrap_or_default();
            // These are never shown.
            if ["already-granted", "transaction-ended"].contains(&code) {
                continue;
            }
            // `check_role` has it in a variable.
            let whys = match whys_of(statement) {
                whys if !whys.is_empty() => whys,
                _ if code == "role-refused" => ROLES.to_vec(),
                _ => vec![""],
            };
            for why in whys {
                let error = sentence(code, &json!({"why": why}), Names::default());
                assert_ne!(error.code(), Code::Internal, "{code} {why}");
                assert!(!error.message().contains("doesn't know ("), "{code} {why}");
            }
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
        let newer = json!({"why": "of-tomorrow"});
        for code in ["access-remains", "role-refused", "setup"] {
            let error = sentence(code, &newer, Names::default());
            assert!(
                error.message().contains("doesn't know (`of-tomorrow`)"),
                "{}",
                error.message()
            );
        }
    }

    /// Without quotes they would fail, or mean others. Those of users and roles come as
    /// PostgreSQL writes them.
    #[test]
    fn names_are_quoted_in_what_is_to_be_run() {
        let names = Names {
            bot: "Sym Bot",
            ..Names::default()
        };
        for (code, why, expected) in [
            (
                "setup",
                json!({"why": "no-createrole"}),
                "`Sym Bot` may not make users: an administrator has to run `ALTER ROLE \"Sym Bot\" CREATEROLE`",
            ),
            (
                "access-remains",
                json!({"why": "not-revoked", "user": "\"ann-1\"", "role": "\"Read-Only\""}),
                "`REVOKE \"Read-Only\" FROM \"ann-1\"`",
            ),
        ] {
            let sentence = sentence(code, &why, names).message().to_owned();
            assert!(sentence.contains(expected), "{sentence}");
        }
    }
}
