//! Real parts for the end-to-end tests, the demo and the benchmarks: private
//! PostgreSQL servers, a Lambda runtime API, the AWS protocols, and the tools
//! that a clean machine lacks.
//!
//! | module | what it gives |
//! |---|---|
//! | [`tools`] | libclang, moto and PostgreSQL, found or fetched into `target/tools` |
//! | [`postgres`] | a private PostgreSQL server, gone when dropped |
//! | [`lambda`] | Lambda's runtime API, running the real `bootstrap` |
//! | [`emulator`] | the same by AWS's own emulator, as confined as in Lambda |
//! | [`aws`] | Secrets Manager, SSM and S3, as moto speaks them |
//! | [`answers`] | an HTTP server that answers as told, for what moto never would |
//! | [`clock`] | a wall clock that a test can set |
//! | [`guest`] | plugins by hand, as text, with or without good manners |
//! | [`padding`] | components of any size |
//! | [`vault`] | HashiCorp Vault, as far as one secret needs it |
//! | [`terraform`] | what the Terraform modules compute |
//! | [`proxy`] | a wire that counts round trips, and breaks when told to |
//! | [`throttle`] | a share of a CPU, as a small function has it |
//!
//! **Invariant:** this crate depends neither on the host nor on anything that
//! needs libclang, because `xtask` is built from it and gets libclang for the
//! rest. Everything here listens on 127.0.0.1 alone, and everything that it
//! starts ends with the value that stands for it, or with this process.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use sym_test_support::{lambda::Lambda, postgres::Postgres, tools};
//!
//! let postgres = Postgres::start(&tools::postgres_install(tools::Major::from_env()?)?)?;
//! postgres.create_database("app").await?;
//! let env = [("DB_PORT".to_owned(), postgres.port().to_string())];
//! let lambda = Lambda::start(&tools::binary("bootstrap")?, env).await?;
//! let answer = lambda.invoke(r#"{"event": {}}"#).await?.response()?;
//! # Ok(())
//! # }
//! ```

pub mod answers;
pub mod aws;
mod background;
pub mod clock;
pub mod emulator;
pub mod guest;
mod http;
pub mod lambda;
pub mod padding;
pub mod postgres;
mod process;
pub mod proxy;
pub mod terraform;
pub mod throttle;
pub mod tools;
pub mod vault;
