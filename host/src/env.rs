//! Every environment variable that the function reads, in one table.
//!
//! `docs/configuration.md` is generated from it. What a value means is
//! [`config`](crate::config)'s; nobody else reads the environment, but the AWS
//! SDK and the runtime, which read Lambda's own `AWS_…`.

/// One variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Another name that is taken too: that of Sym's role template.
    pub alias: Option<&'static str>,
    /// What it means.
    pub meaning: &'static str,
    /// What holds where it isn't set.
    pub default: &'static str,
}

macro_rules! variables {
    ($($constant:ident = $name:literal $(or $alias:literal)?, $meaning:literal, $default:literal;)*) => {
        $(#[doc = $meaning]
        pub const $constant: Variable = Variable {
            name: $name,
            alias: variables!(@alias $($alias)?),
            meaning: $meaning,
            default: $default,
        };)*

        /// All of them, in the order of the reference page.
        pub const VARIABLES: &[Variable] = &[$($constant,)*];
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
}

variables! {
    PLUGINS = "PLUGINS",
        "Where the plugins come from: `s3://bucket/prefix` or `file:///path` hold releases that `symctl publish` made; `dir:///path` holds `plugins.toml` and the files that it names.",
        "required";
    PLUGIN_TRUST = "PLUGIN_TRUST",
        "Whose releases run: public keys as `symctl keygen` prints them (`name:base64`, comma separated), or `sha256:…` for one release alone. For `s3://` and `file://`.",
        "required there";
    PLUGIN_REFRESH_SECONDS = "PLUGIN_REFRESH_SECONDS",
        "How long a release is used before the function looks whether there is another.",
        "`60`";
    PLUGIN_STACK_BYTES = "PLUGIN_STACK_BYTES",
        "Stack of a plugin's call, in bytes, 65536 to 8388608: how deeply a plugin may call itself. All other limits are in `plugins.toml`, see [limits.md](limits.md).",
        "`524288`";
    STRATEGY = "STRATEGY",
        "How access is given for targets that don't say it in `plugins.toml`: `role` or `temporary-user`.",
        "`role`";
    DB_HOST = "DB_HOST" or "PG_HOST",
        "Host name of the database's writer, without a port.",
        "required";
    DB_PORT = "DB_PORT" or "PG_PORT",
        "Its port.",
        "`5432`";
    DB_NAME = "DB_NAME" or "PG_NAME",
        "The database in which targets' statements run, and which a temporary user's credentials name.",
        "the user's name, as libpq";
    DB_USER = "DB_USER" or "PG_USER",
        "The user that the function logs in as. Not a superuser.",
        "required";
    DB_AUTH = "DB_AUTH",
        "`password`, or `iam`: Amazon RDS takes a token that the function's role signs, and there is no password at all; `DB_TLS` has to be `verify-full`.",
        "`password`";
    DB_PASSWORD = "DB_PASSWORD" or "PG_PASSWORD",
        "Its password.",
        "read from the next";
    DB_PASSWORD_KEY = "DB_PASSWORD_KEY" or "PG_PASSWORD_KEY",
        "Name of the SSM parameter (`SecureString`) that holds its password.",
        "`/symops.com/DB_PASSWORD`, or `/symops.com/PG_PASSWORD` where `PG_HOST` is used";
    DB_PASSWORD_SECRET = "DB_PASSWORD_SECRET",
        "ARN or name of the Secrets Manager secret that holds its password, with `#key` for one field of a JSON secret. Read where `DB_PASSWORD_KEY` isn't set.",
        "none";
    DB_PASSWORD_VAULT = "DB_PASSWORD_VAULT",
        "Path and field of its password in a KV version 2 engine of HashiCorp Vault or OpenBao, such as `secret/data/sym-postgres#password`. Read where neither of the two before is set.",
        "none";
    VAULT_ADDR = "VAULT_ADDR",
        "Address of Vault: `https://…`.",
        "required with `DB_PASSWORD_VAULT`";
    VAULT_ROLE = "VAULT_ROLE",
        "The role of Vault's AWS auth method that the function's IAM role is bound to.",
        "required with `DB_PASSWORD_VAULT`";
    VAULT_AUTH_MOUNT = "VAULT_AUTH_MOUNT",
        "Where that auth method is mounted.",
        "`aws`";
    VAULT_NAMESPACE = "VAULT_NAMESPACE",
        "Vault's namespace.",
        "none";
    VAULT_SERVER_ID = "VAULT_SERVER_ID",
        "The auth method's `iam_server_id_header_value`, where it has one.",
        "none";
    VAULT_STS_REGION = "VAULT_STS_REGION",
        "The region of the auth method's `sts_endpoint`, where it has one.",
        "the global endpoint";
    VAULT_CACERT = "VAULT_CACERT",
        "A file of certificates in PEM to trust for Vault instead of the system's.",
        "the system's";
    DB_TLS = "DB_TLS",
        "`verify-full` (certificate and host name are checked), `require` (encrypted, not checked) or `disable`.",
        "`verify-full`";
    DB_CA = "DB_CA",
        "A file of certificates in PEM to trust instead of those of Amazon RDS.",
        "the roots of Amazon RDS";
    LEDGER_DB = "LEDGER_DB",
        "The database that holds schema `sym`. All functions of a cluster name the same one.",
        "`DB_NAME`";
    LEDGER_OWNER = "LEDGER_OWNER",
        "Whose schema `sym` is, where `DB_USER` is not that user: of another function that shares the ledger, or of a person with `symctl`. Nobody else's functions are called.",
        "`DB_USER`";
    SECRETS = "SECRETS",
        "Where temporary users' credentials go: `aws` (Secrets Manager), or `file:///dir` for local work.",
        "`aws`";
    SECRET_PREFIX = "SECRET_PREFIX",
        "Beginning of a secret's name: `{prefix}/{function}/{username}/{run id}`.",
        "`/symops.com`";
    SECRET_KMS_KEY = "SECRET_KMS_KEY",
        "The KMS key that encrypts the secrets.",
        "`aws/secretsmanager`";
    DURATION_UNIT = "DURATION_UNIT",
        "What `fields.duration` counts: `minutes` or `seconds`.",
        "`minutes`";
    MAX_DURATION_SECONDS = "MAX_DURATION_SECONDS",
        "Longest time that access is given for, also where the event names none: 1 to 31622400.",
        "`43200`";
    EXPIRY_GRACE_SECONDS = "EXPIRY_GRACE_SECONDS",
        "How long after that a sweep or pg_cron ends the access, if no deescalate event came, and the database alone refuses a temporary user's new logins: 0 to 31622400.",
        "`900`";
    REPLAY_WINDOW_SECONDS = "REPLAY_WINDOW_SECONDS",
        "For how long a run that has ended can't begin again, at most 31622400. `0` turns it off.",
        "`900`";
    CONNECTION_LIMIT = "CONNECTION_LIMIT",
        "How many connections a temporary user may have at once, 1 to 1000.",
        "`10`";
    SESSIONS = "SESSIONS",
        "What happens to open sessions when access ends: `auto` (a temporary user's end, and those that could keep a lent role), `terminate` (all of that user's), `keep` (only a temporary user's end).",
        "`auto`";
    GRANTABLE_ROLES = "GRANTABLE_ROLES",
        "The roles that may be lent, comma separated. Privileged roles and ours never may.",
        "those on which the function's user has the ADMIN option";
    SQL_POLICY = "SQL_POLICY",
        "What a target's statements may be: `roles` (lend roles), `grants` (that, privileges for the run's user, its settings), `any`.",
        "`grants`";
    RECORD = "RECORD",
        "Whether the log gets a line for each request that `symctl replay` can ask again: `off`, `masked` (pseudonyms for people, no free text, no statements) or `full` (the whole event).",
        "`off`";
    ALLOWED_ORGS = "ALLOWED_ORGS",
        "The organisations (first part of `run.srn`) that are served, comma separated.",
        "any";
    MODE = "MODE",
        "`live`, or `shadow`: nobody's access changes, and each event is answered with what would differ from Sym's template, which serves the same events.",
        "`live`";
    MIGRATE_FROM = "MIGRATE_FROM",
        "`template`: a deescalate event whose run the ledger doesn't know takes back what Sym's role template has lent, by that template's own rule.",
        "nothing";
    FUNCTION_NAME = "AWS_LAMBDA_FUNCTION_NAME",
        "Set by Lambda. Part of secrets' names, and the audience of releases.",
        "`sym-postgres`";
}

/// The reference page, in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         The function reads these environment variables.\n\
         This page is generated from `host/src/env.rs`.\n\n\
         | variable | meaning | default |\n|---|---|---|\n",
    );
    for variable in VARIABLES {
        let alias = variable
            .alias
            .map(|alias| format!(", or `{alias}`"))
            .unwrap_or_default();
        page.push_str(&format!(
            "| `{}`{alias} | {} | {} |\n",
            variable.name, variable.meaning, variable.default
        ));
    }
    page
}
