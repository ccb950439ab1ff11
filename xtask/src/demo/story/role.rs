//! An existing user is lent a role, and it is taken back.

use anyhow::Result;
use serde_json::json;
use sym_test_support::postgres::Postgres;

use super::{Parts, REFUSED, read_as_the_person};
use crate::demo::narrator::{Check, Failed, Narrator};
use crate::demo::stage::{self, PERSON, ROLE, ROWS};

pub(super) async fn lend(narrator: &mut Narrator, parts: &Parts) -> Result<(), Failed> {
    narrator.chapter(
        "Strategy `role`: an existing user is lent a role",
        "sym-user@healthy-health.co asks for the target `readonly`; a plugin says that they are the database user `sym_user`.",
    );
    let escalate = "events/v6/escalate-role.json";
    let deescalate = "events/v6/deescalate-role.json";
    let answer = json!({"body": {"username": PERSON}, "errors": []}).to_string();
    let rows = format!("{ROWS} rows");

    read_as_the_person(narrator, parts, "before: may they read?", REFUSED).await?;
    answer_is(narrator, parts, "Sym sends the approval", escalate, &answer).await?;
    read_as_the_person(narrator, parts, "during: may they read?", &rows).await?;
    answer_is(narrator, parts, "Sym sends it again", escalate, &answer).await?;
    answer_is(narrator, parts, "Sym sends the end", deescalate, &answer).await?;
    read_as_the_person(narrator, parts, "after: may they read?", REFUSED).await?;

    let check = Check {
        title: "who is a member of the role now?",
        detail: "SELECT … FROM pg_auth_members WHERE roleid = 'readonly'::regrole",
        expected: "nobody but the function’s own user",
    };
    narrator
        .check(check, members_of_the_role(&parts.postgres))
        .await
}

/// Sends a sample event and expects the very answer.
async fn answer_is(
    narrator: &mut Narrator,
    parts: &Parts,
    title: &str,
    event: &str,
    expected: &str,
) -> Result<(), Failed> {
    let check = Check {
        title,
        detail: event,
        expected,
    };
    narrator
        .check(check, async {
            let answer = parts.function.send(&stage::sample_event(event)?).await?;
            Ok(answer.to_string())
        })
        .await
}

async fn members_of_the_role(postgres: &Postgres) -> Result<String> {
    let members: Vec<String> = postgres
        .admin()
        .await?
        .query(
            "SELECT DISTINCT member::regrole::text FROM pg_auth_members \
             WHERE roleid = $1::text::regrole AND member::regrole::text <> 'sym_bot' ORDER BY 1",
            &[&ROLE],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    if members.is_empty() {
        return Ok("nobody but the function’s own user".to_owned());
    }
    Ok(members.join(", "))
}
