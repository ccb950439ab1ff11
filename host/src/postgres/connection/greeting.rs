//! What a new connection to the ledger's database meets: whose ledger it is, whether it is
//! at this version, and who brings it there.

use futures_util::future;
use tokio_postgres::error::SqlState;

use super::{ANSWER_TIMEOUT, Connection, answer_in, session};
use crate::config::Database;
use crate::error::Error;
use crate::postgres::failure::{Failure, Result};
use crate::postgres::schema::{self, AS_OWNER};
use crate::secret::Password;
use crate::sql::{identifier, quote_identifier};

/// Who logs in to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The function's user. A superuser is refused: its grants can't be told
    /// from a DBA's, and nothing would hold it.
    Function,
    /// A person with `symctl`, who may be a DBA. The functions of schema `sym`
    /// run as the function's user all the same.
    Person,
}

/// What is asked at once with the session's settings.
struct Greeting {
    version: i32,
    is_superuser: bool,
    is_read_only: bool,
    /// Whose schema `sym` is, where there is one.
    owner: Option<String>,
    is_schema_current: bool,
}

/// A ledger that another function has to bring up to date.
pub(super) struct Behind {
    database: String,
    owner: String,
}

impl Connection {
    /// Connects to the ledger's database. Where that is the function's own, its function brings
    /// schema `sym` up to date.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn to_ledger(config: &Database, password: &Password, who: Who) -> Result<Self> {
        let mut connection = Self::open(config, &config.ledger, password).await?;
        let greeting = connection.greet().await?;
        if greeting.is_superuser && who == Who::Function {
            return Err(Failure::setup(format!(
                "the function logs in as `{}`, which is a superuser: give it a user of its own, see `symctl setup-sql`",
                config.user
            )));
        }
        if greeting.version < 130_000 {
            return Err(Failure::setup(
                "the database is older than PostgreSQL 13, the oldest that is served",
            ));
        }
        if greeting.is_read_only {
            return Err(Failure::gone("the server is read-only: a standby"));
        }
        let ledger = &config.ledger;
        let Some(owner) = greeting.owner else {
            if who == Who::Function && config.ledger_owner == config.user {
                schema::migrate(&connection, ledger).await?;
                return Ok(connection);
            }
            // What another made would not be the function's.
            return Err(Failure::setup(format!(
                "there is no ledger in database `{ledger}`: check `LEDGER_DB` and `DB_NAME`; where they are right, run what \
                 `symctl setup-sql` prints"
            )));
        };
        let is_own = owner == config.user;
        if !is_own && owner != config.ledger_owner {
            return Err(match who {
                // Its functions would run as us.
                Who::Function => schema::belongs_to(&owner, ledger),
                // No SET ROLE would hold what somebody has put there for a superuser to run.
                Who::Person => Failure::setup(format!(
                    "schema `sym` in database `{ledger}` belongs to `{owner}`: if that is the function's user, name it in \
                     `LEDGER_OWNER`, and in no case otherwise"
                )),
            });
        }
        match who {
            Who::Function if greeting.is_schema_current => {}
            Who::Function if is_own => schema::migrate(&connection, ledger).await?,
            Who::Function => {
                let standing = schema::standing(&connection).await?;
                if !standing.may_use {
                    return Err(may_not_use(&owner, config));
                }
                connection.behind = (!standing.is_current).then(|| Behind {
                    database: ledger.clone(),
                    owner,
                });
            }
            Who::Person => {
                if !is_own {
                    connection.act_as_or_alone(&owner, config).await?;
                }
                // What a person made or changed would not be the function's.
                schema::check(&connection, ledger).await?;
            }
        }
        Ok(connection)
    }

    /// Acts as the ledger's owner, or goes on without: who may call all of the ledger's functions,
    /// as another function's user, needs no more.
    async fn act_as_or_alone(&mut self, owner: &str, config: &Database) -> Result<()> {
        let Err(refused) = self.act_as(owner, config).await else {
            return Ok(());
        };
        let standing = schema::standing(self).await?;
        if standing.may_call_all {
            return Ok(());
        }
        if standing.may_use {
            return Err(Failure::setup(format!(
                "`{}` may call some of the ledger's functions, and not all: log in as `{owner}`, whose ledger it is",
                config.user
            )));
        }
        Err(refused)
    }

    /// Does all that follows with the rights of the ledger's owner.
    pub(super) async fn act_as(&mut self, owner: &str, config: &Database) -> Result<()> {
        let role = quote_identifier(owner)
            .map_err(|error| Error::internal("a role's name can't be quoted").with_source(error))?;
        let acting = self.run(&format!("SET ROLE {role}")).await;
        acting.map_err(|failure| {
            if !failure.is_state(&SqlState::INSUFFICIENT_PRIVILEGE) {
                return failure;
            }
            Failure::setup(format!(
                "`{}` may not act as `{owner}`, whose ledger it is: where it is a function's user, have an administrator run {}; \
                 a person logs in as `{owner}`, or has `GRANT {} TO {}` run (since PostgreSQL 16 with `WITH SET TRUE`), which \
                 gives all that `{owner}` may",
                config.user,
                grants(owner, config),
                identifier(owner).unwrap_or_default(),
                identifier(&config.user).unwrap_or_default()
            ))
        })?;
        self.acts_as = Some(owner.to_owned());
        Ok(())
    }

    /// Refuses to begin access by a ledger that is older than this version, and another's to bring
    /// up to date. What ends access goes on with it.
    ///
    /// # Errors
    /// `database-setup`, or what the connection ran into.
    pub(crate) async fn check_begins(&self) -> Result<()> {
        match &self.behind {
            // It may have been brought up to date since we connected.
            Some(behind) if !schema::standing(self).await?.is_current => Err(behind.refusal()),
            _ => Ok(()),
        }
    }

    async fn greet(&self) -> Result<Greeting> {
        let session = session();
        let settings = self.client.batch_execute(&session);
        // Of catalogs as little as can be: what a new session looks at first, it has
        // to read. The schema's comment would be one more, so a function's name it is.
        let facts = format!(
            "SELECT current_setting('server_version_num')::int4, \
                    current_setting('is_superuser')::bool, \
                    pg_is_in_recovery() OR current_setting('transaction_read_only')::bool, \
                    (SELECT pg_get_userbyid(n.nspowner)::text FROM pg_namespace n WHERE n.nspname = 'sym'), \
                    {}",
            schema::is_current()
        );
        let facts = self.client.query_typed(&facts, &[]);
        let both = future::join(settings, facts);
        let (settings, rows) = answer_in(ANSWER_TIMEOUT, both).await?;
        settings?;
        let rows = rows?;
        let row = rows.first();
        let row = row.ok_or_else(|| Failure::gone("the server's first answer has no row"))?;
        Ok(Greeting {
            version: row.try_get(0)?,
            is_superuser: row.try_get(1)?,
            is_read_only: row.try_get(2)?,
            owner: row.try_get(3)?,
            is_schema_current: row.try_get::<_, Option<bool>>(4)?.unwrap_or_default(),
        })
    }
}

impl Behind {
    pub(super) fn sentence(&self, so: &str) -> String {
        let Self { database, owner } = self;
        format!(
            "the ledger in database `{database}` is older than this function, {so}: the function of `{owner}`, of the same \
             release, brings it up to date with its next event"
        )
    }

    fn refusal(&self) -> Failure {
        Failure::setup(self.sentence("so no access begins"))
    }
}

/// Of a function with a user of its own.
fn may_not_use(owner: &str, config: &Database) -> Failure {
    Failure::setup(format!(
        "`{}` may not call the functions of `{owner}`'s ledger: have an administrator run {}",
        config.user,
        grants(owner, config)
    ))
}

/// What a function with a user of its own needs, and as whom and where it is run: an administrator
/// who is no superuser may grant nothing of the owner's.
fn grants(owner: &str, config: &Database) -> String {
    let user = identifier(&config.user).unwrap_or_default();
    format!(
        "as `{owner}` ({AS_OWNER}), in database `{}`, `GRANT USAGE ON SCHEMA sym TO {user}; GRANT EXECUTE ON ALL FUNCTIONS \
         IN SCHEMA sym TO {user}`",
        config.ledger
    )
}
