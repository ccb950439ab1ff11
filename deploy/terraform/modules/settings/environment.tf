# The function's variables. One that is null is left out, and the function's own
# default holds: docs/configuration.md has all of them.
locals {
  variables = {
    PLUGINS      = "s3://${var.releases.bucket}/${var.releases.prefix}"
    PLUGIN_TRUST = join(",", var.releases.trust)
    STRATEGY     = var.strategy

    DB_HOST   = var.database.host
    DB_PORT   = tostring(var.database.port)
    DB_NAME   = var.database.name
    DB_USER   = var.database.user
    DB_AUTH   = var.database.auth
    LEDGER_DB = var.database.ledger

    DB_PASSWORD_KEY    = var.password.store == "ssm" ? var.password.name : null
    DB_PASSWORD_SECRET = var.password.store == "secrets-manager" ? var.password.name : null
    DB_PASSWORD_VAULT  = var.password.store == "vault" ? var.password.vault.path : null
    VAULT_ADDR         = var.password.store == "vault" ? var.password.vault.address : null
    VAULT_ROLE         = var.password.store == "vault" ? var.password.vault.role : null

    SECRET_PREFIX  = var.secrets.prefix
    SECRET_KMS_KEY = var.secrets.kms_key_arn

    GRANTABLE_ROLES       = var.limits.grantable_roles == null ? null : join(",", var.limits.grantable_roles)
    ALLOWED_ORGS          = var.limits.allowed_orgs == null ? null : join(",", var.limits.allowed_orgs)
    SQL_POLICY            = var.limits.sql_policy
    DURATION_UNIT         = var.limits.duration_unit
    MAX_DURATION_SECONDS  = var.limits.max_duration_seconds == null ? null : tostring(var.limits.max_duration_seconds)
    EXPIRY_GRACE_SECONDS  = var.limits.expiry_grace_seconds == null ? null : tostring(var.limits.expiry_grace_seconds)
    REPLAY_WINDOW_SECONDS = var.limits.replay_window_seconds == null ? null : tostring(var.limits.replay_window_seconds)
  }

  environment = merge({ for name, value in local.variables : name => value if value != null }, var.environment)
}
