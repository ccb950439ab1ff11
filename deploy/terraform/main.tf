# Sym for PostgreSQL in an AWS account: the function, and all that it needs.
data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

# A database to try everything out.
module "sandbox" {
  source = "./modules/sandbox"
  count  = var.db_enabled ? 1 : 0

  name   = "${var.name}-sandbox"
  region = local.region
  tags   = var.tags
}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name

  # Only `pass` is a secret.
  has_pass = nonsensitive(var.db_config != null && try(var.db_config.pass, null) != null)
  db_config = var.db_enabled ? module.sandbox[0].db_config : {
    host        = nonsensitive(var.db_config.host)
    port        = nonsensitive(var.db_config.port)
    name        = nonsensitive(var.db_config.name)
    user        = nonsensitive(var.db_config.user)
    ledger      = nonsensitive(var.db_config.ledger)
    resource_id = nonsensitive(var.db_config.resource_id)
  }
  db_auth            = var.db_enabled ? "iam" : var.db_auth
  password_store     = local.db_auth == "iam" ? "none" : var.password_store
  subnet_ids         = var.db_enabled ? module.sandbox[0].private_subnet_ids : var.subnet_ids
  security_group_ids = var.db_enabled ? [module.sandbox[0].function_security_group_id] : var.security_group_ids

  password_key = "/symops.com/${var.name}/DB_PASSWORD"
  bucket_name  = coalesce(var.release_bucket, "${lower(var.name)}-releases-${local.account_id}-${local.region}")

  strategies = concat([var.strategy], [for target in values(var.targets) : target.strategy if target.strategy != null])
}

# Variables and permissions, as one module without a provider: what it makes is
# tested without AWS.
module "settings" {
  source = "./modules/settings"

  name        = var.name
  strategy    = var.strategy
  makes_users = contains(local.strategies, "temporary-user")
  partition   = local.partition
  region      = local.region
  account_id  = local.account_id

  database = {
    host        = local.db_config.host
    port        = local.db_config.port
    name        = local.db_config.name
    user        = local.db_config.user
    auth        = local.db_auth
    ledger      = local.db_config.ledger
    resource_id = local.db_config.resource_id
  }
  password = {
    store       = local.password_store
    name        = local.password_store == "ssm" ? local.password_key : var.password_secret
    kms_key_arn = local.password_store == "none" ? null : var.password_kms_key_arn
    vault       = local.password_store == "vault" ? var.vault : null
  }
  releases = {
    bucket      = local.bucket_name
    prefix      = var.release_prefix
    trust       = var.plugin_trust
    kms_key_arn = var.kms_key_arn
  }
  secrets = {
    prefix      = var.secret_prefix
    kms_key_arn = var.secret_kms_key_arn
  }
  limits = {
    grantable_roles       = var.grantable_roles
    allowed_orgs          = var.allowed_orgs
    sql_policy            = var.sql_policy
    duration_unit         = var.duration_unit
    max_duration_seconds  = var.max_duration_seconds
    expiry_grace_seconds  = var.expiry_grace_seconds
    replay_window_seconds = var.replay_window_seconds
  }
  environment = var.environment
}
