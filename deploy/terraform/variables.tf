# What the operator decides. `db_config`, `db_enabled`, `subnet_ids`,
# `security_group_ids` and `tags` are those of Sym's own module.

variable "name" {
  description = "Name of the function. Releases are signed for it (`symctl publish --audience`), and secrets carry it."
  type        = string
  default     = "sym-postgres"
}

variable "package" {
  description = "Path of the function's zip for `architecture`, with `bootstrap` in it."
  type        = string
}

variable "architecture" {
  description = "x86_64 or arm64: what the zip was built for."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "`architecture` is `x86_64` or `arm64`."
  }
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = { Vendor = "symops.com" }
}

########## The database ##########

variable "db_config" {
  description = "How to reach the database; required unless `db_enabled`. `user` is the function's own, not a superuser. `name` is the database that people get access to, `ledger` the one with schema `sym`: each is `user` and `name` where it isn't said. Without `pass` the password is not Terraform's: password.tf shows how to set it. `resource_id` is RDS's (db-… or cluster-…), for `db_auth = \"iam\"`."
  type = object({
    host        = string
    port        = optional(number, 5432)
    name        = optional(string)
    user        = string
    pass        = optional(string)
    ledger      = optional(string)
    resource_id = optional(string)
  })
  default   = null
  sensitive = true

  validation {
    condition     = var.db_enabled || var.db_config != null
    error_message = "Set `db_config` to your database, or `db_enabled = true` for a sandbox of its own."
  }
}

variable "db_enabled" {
  description = "Whether to make a VPC with a database and a bastion, to try everything out."
  type        = bool
  default     = false
}

variable "db_auth" {
  description = "`password`, or `iam`: RDS takes a token that the function's role signs, and there is no password. A sandbox always uses `iam`."
  type        = string
  default     = "password"

  validation {
    condition     = contains(["password", "iam"], var.db_auth)
    error_message = "`db_auth` is `password` or `iam`."
  }
}

variable "password_store" {
  description = "Where the bot's password is: `ssm` (the parameter that the output `password_parameter` names), `secrets-manager` (`password_secret`) or `vault` (`vault`)."
  type        = string
  default     = "ssm"

  validation {
    condition     = contains(["ssm", "secrets-manager", "vault"], var.password_store)
    error_message = "`password_store` is `ssm`, `secrets-manager` or `vault`."
  }
}

variable "password_secret" {
  description = "For `secrets-manager`: the secret's ARN, with `#key` for one field of a JSON secret, such as `#password` for those that RDS rotates."
  type        = string
  default     = null
}

variable "vault" {
  description = "For `vault`: address of Vault or OpenBao, the role of its AWS auth method, and the secret's path and field in a KV version 2 engine, such as `secret/data/sym-postgres#password`."
  type = object({
    address = string
    role    = string
    path    = string
  })
  default = null
}

variable "password_kms_key_arn" {
  description = "The KMS key of the password's parameter or secret. Null: AWS's own."
  type        = string
  default     = null
}

########## The network ##########

variable "subnet_ids" {
  description = "Private subnets from which the database can be reached; required unless `db_enabled`."
  type        = list(string)
  default     = []

  validation {
    condition     = var.db_enabled || length(var.subnet_ids) > 0
    error_message = "Set `subnet_ids` to private subnets from which the database can be reached, or `db_enabled = true`."
  }
}

variable "security_group_ids" {
  description = "The function's security groups; required unless `db_enabled`. They need to let out the database's port, and 443 to the endpoints."
  type        = list(string)
  default     = []

  validation {
    condition     = var.db_enabled || length(var.security_group_ids) > 0
    error_message = "Set `security_group_ids` to groups that may reach the database, or `db_enabled = true`."
  }
}

variable "endpoints" {
  description = "Makes VPC endpoints, so that no NAT gateway is needed: the VPC, and the route tables of its private subnets. A sandbox has its own."
  type = object({
    vpc_id          = string
    route_table_ids = list(string)
  })
  default = null
}

########## Plugins ##########

variable "release_bucket" {
  description = "Name of the bucket of releases. Null: made of the function's name, the account and the region, where that can be one."
  type        = string
  default     = null
}

variable "release_prefix" {
  description = "Where releases are in that bucket."
  type        = string
  default     = "sym-postgres"
}

variable "plugin_trust" {
  description = "The keys whose releases run, as `symctl keygen` prints them."
  type        = list(string)
}

variable "publisher_principal_arns" {
  description = "Who may become the publisher of releases: ARNs of roles, such as that of your CI."
  type        = list(string)
  default     = []
}

########## Access ##########

variable "strategy" {
  description = "For targets that don't say theirs in plugins.toml: `role` or `temporary-user`."
  type        = string
  default     = "role"
}

variable "targets" {
  description = "The targets that Sym offers, by their names in plugins.toml: label, and strategy where it isn't `strategy`."
  type = map(object({
    label    = string
    strategy = optional(string)
  }))
  default = { readonly = { label = "Read Only" } }
}

variable "grantable_roles" {
  description = "The roles that may be lent. Null: those on which the bot has the ADMIN option."
  type        = list(string)
  default     = null

  validation {
    condition     = var.grantable_roles == null ? true : length(var.grantable_roles) > 0
    error_message = "Name at least one role, or leave it out: then the bot's ADMIN option decides."
  }
}

variable "allowed_orgs" {
  description = "The Sym organisations that are served. Null: any that may invoke the function."
  type        = list(string)
  default     = null

  validation {
    condition     = var.allowed_orgs == null ? true : length(var.allowed_orgs) > 0
    error_message = "Name at least one organisation, or leave it out: then any that may invoke the function is served."
  }
}

variable "sql_policy" {
  description = "What a target's statements may be: `roles`, `grants` or `any`. Null: `grants`."
  type        = string
  default     = null
}

variable "duration_unit" {
  description = "What the event's duration counts: `minutes` or `seconds`. Null: `minutes`."
  type        = string
  default     = null
}

variable "max_duration_seconds" {
  description = "Longest time that access is given for. Null: 12 hours."
  type        = number
  default     = null
}

variable "expiry_grace_seconds" {
  description = "How long after that a sweep or pg_cron ends it, and the database alone refuses a temporary user's new logins. Null: 15 minutes."
  type        = number
  default     = null
}

variable "replay_window_seconds" {
  description = "For how long a run that has ended can't begin again. Null: 15 minutes."
  type        = number
  default     = null
}

variable "secret_prefix" {
  description = "Beginning of the names of temporary users' secrets."
  type        = string
  default     = "/symops.com"
}

variable "secret_kms_key_arn" {
  description = "The KMS key of those secrets. Null: AWS's own."
  type        = string
  default     = null
}

variable "environment" {
  description = "More variables of the function's: docs/configuration.md has all of them."
  type        = map(string)
  default     = {}
}

########## Operations ##########

variable "sweep_schedule" {
  description = "How often the function ends what nobody has ended. From half an hour on the alarm `sweep-missing` rings of it."
  type        = string
  default     = "rate(5 minutes)"
}

variable "timeout_seconds" {
  description = "How long one event may take."
  type        = number
  default     = 30

  validation {
    condition     = var.timeout_seconds >= 5 && var.timeout_seconds <= 55
    error_message = "`timeout_seconds` is from 5 to 55: Sym waits no longer than a minute."
  }
}

variable "memory_megabytes" {
  description = "The function's memory. It needs little; more memory is also more CPU."
  type        = number
  default     = 256
}

variable "concurrency" {
  description = "How many events are served at once; each holds one connection to the database. -1: no limit of its own."
  type        = number
  default     = 10

  # Of 0 nothing runs, ends of access neither.
  validation {
    condition     = var.concurrency == -1 || (var.concurrency >= 1 && floor(var.concurrency) == var.concurrency)
    error_message = "`concurrency` is a whole number from 1, or -1."
  }
}

variable "log_retention_days" {
  description = "How long the log is kept."
  type        = number
  default     = 365
}

variable "kms_key_arn" {
  description = "The KMS key of the log, the bucket and the function's variables. Null: AWS's own."
  type        = string
  default     = null
}

variable "code_signing_config_arn" {
  description = "Lambda's code signing configuration, where you sign the zip."
  type        = string
  default     = null
}

variable "alarm_actions" {
  description = "Whom alarms tell: ARNs of SNS topics."
  type        = list(string)
  default     = []
}
