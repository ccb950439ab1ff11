//! `symctl setup-sql`: the SQL that an administrator runs once.

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use sym_host::plan::Strategy;
use sym_host::postgres::setup::Setup;
use sym_host::sql::quote_identifier;

use crate::output::{self, Status};

/// Print the SQL that an administrator runs once, before the first event.
#[derive(Args)]
#[command(
    after_help = "Example:\n  symctl setup-sql --pg 16 --database app --roles readonly,support --strategy role | psql -h HOST -U MASTER app"
)]
pub(crate) struct SetupSqlArgs {
    /// The server's major version.
    #[arg(long, value_name = "MAJOR", value_parser = clap::value_parser!(u32).range(13..=99))]
    pg: u32,
    /// The database that people want access to.
    #[arg(long, value_name = "NAME")]
    database: String,
    /// The database of the ledger, where it is another one.
    #[arg(long, value_name = "NAME")]
    ledger: Option<String>,
    /// The roles that people may get.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    roles: Vec<String>,
    /// The function's user.
    #[arg(long, value_name = "NAME", default_value = "sym_bot")]
    user: String,
    /// What STRATEGY and the targets will be. `temporary-user` includes `role`, and
    /// gives the function's user CREATEROLE.
    // No default: the smaller one would be too little for who needs the other, and
    // the larger more than anybody should give unasked.
    #[arg(long, value_enum)]
    strategy: StrategyArg,
    /// Have pg_cron end what is overdue, every minute. It is in this database
    /// (cron.database_name), or in `postgres`.
    #[arg(
        long,
        value_name = "DATABASE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "postgres"
    )]
    pg_cron: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum StrategyArg {
    Role,
    TemporaryUser,
}

pub(crate) fn run(args: &SetupSqlArgs) -> anyhow::Result<Status> {
    let roles: Vec<String> = args
        .roles
        .iter()
        .map(|role| role.trim().to_owned())
        .collect();
    if roles.iter().any(String::is_empty) {
        bail!("a role in `--roles` has no name: separate the names by one comma each");
    }
    let names = [
        ("--database", Some(&args.database)),
        ("--ledger", args.ledger.as_ref()),
        ("--user", Some(&args.user)),
        ("--pg-cron", args.pg_cron.as_ref()),
    ];
    let names = names
        .into_iter()
        .filter_map(|(option, name)| Some((option, name?)))
        .chain(roles.iter().map(|role| ("--roles", role)));
    for (option, name) in names {
        quote_identifier(name).map_err(|error| anyhow!("`{option}` {error}"))?;
        // psql's own commands end with the line.
        if name.contains(char::is_control) {
            bail!("`{option}` has a control character, such as the end of a line, in a name");
        }
    }
    let setup = Setup {
        major: args.pg,
        database: args.database.clone(),
        ledger: args.ledger.clone(),
        bot: args.user.clone(),
        roles,
        strategy: match args.strategy {
            StrategyArg::Role => Strategy::Role,
            StrategyArg::TemporaryUser => Strategy::TemporaryUser,
        },
        pg_cron: args.pg_cron.clone(),
    };
    output::raw(&setup.to_sql()?);
    Ok(Status::Done)
}
