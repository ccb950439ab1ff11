# What decides the function's variables and permissions. What the function would refuse as
# `invalid-config`, with every event from then on, is refused here, apart from what
# `environment` puts in its place: of that `symctl doctor` tells, before the function has it.
variable "name" {
  description = "Name of the function, and the audience of its releases."
  type        = string

  validation {
    # A role's name has at most 64, and the publisher's is this one, `-publisher-` and the region.
    condition     = can(regex("^[A-Za-z0-9_-]{1,39}$", var.name))
    error_message = "The name is 1 to 39 letters, digits, `-` and `_`: the names of IAM roles carry it, with the region."
  }
}

variable "strategy" {
  description = "For targets that don't say theirs in plugins.toml: role or temporary-user."
  type        = string

  validation {
    condition     = contains(["role", "temporary-user"], var.strategy)
    error_message = "The strategy is `role` or `temporary-user`."
  }
}

variable "makes_users" {
  description = "Whether any target makes temporary users, and the function therefore needs Secrets Manager."
  type        = bool
}

variable "partition" {
  description = "AWS partition, such as aws."
  type        = string
}

variable "region" {
  description = "AWS region of the function."
  type        = string
}

variable "account_id" {
  description = "AWS account of the function."
  type        = string
}

variable "database" {
  description = "How to reach the database. resource_id is that of RDS (db-… or cluster-…), for auth = iam."
  type = object({
    host        = string
    port        = number
    name        = optional(string)
    user        = string
    auth        = string
    ledger      = optional(string)
    resource_id = optional(string)
  })

  validation {
    condition     = var.database.port >= 1 && var.database.port <= 65535 && floor(var.database.port) == var.database.port
    error_message = "The database's `port` is a whole number from 1 to 65535."
  }

  validation {
    condition     = !can(regex("^[^/:]*:[^:]*$|^[^/].*/|[[:space:]]", var.database.host))
    error_message = "The database's `host` is a host name or an address alone: of RDS the attribute `address`, and not `endpoint`, which has the port."
  }

  validation {
    condition     = contains(["password", "iam"], var.database.auth)
    error_message = "The database's `auth` is `password` or `iam`."
  }

  validation {
    condition     = var.database.auth == "password" || var.database.resource_id != null
    error_message = "`auth = \"iam\"` needs `resource_id`: the DbiResourceId (db-…) or DbClusterResourceId (cluster-…) that `aws rds describe-db-instances` shows."
  }
}

variable "password" {
  description = "Where the bot's password is: store ssm, secrets-manager, vault or none, and its name there."
  type = object({
    store       = string
    name        = optional(string)
    kms_key_arn = optional(string)
    vault = optional(object({
      address = string
      role    = string
      path    = string
    }))
  })

  validation {
    condition     = contains(["ssm", "secrets-manager", "vault", "none"], var.password.store)
    error_message = "The password's store is `ssm`, `secrets-manager`, `vault` or `none`."
  }

  validation {
    condition     = !contains(["ssm", "secrets-manager"], var.password.store) || var.password.name != null
    error_message = "The password needs a `name`: an SSM parameter's, or a secret's ARN with `#key` for one field."
  }

  validation {
    condition     = (var.password.store == "vault") == (var.password.vault != null)
    error_message = "The store `vault` needs `vault`: address, role and path; no other store has it."
  }

  validation {
    condition     = var.password.vault == null ? true : can(regex("^https://[^/?#]+/*$", var.password.vault.address))
    error_message = "Vault's `address` is `https://` with a host name and a port, and nothing behind them."
  }

  validation {
    condition     = var.password.vault == null ? true : can(regex("^/*[^/#]+(/[^/#]+)*/data/[^/#]+(/[^/#]+)*#.+$", var.password.vault.path))
    error_message = "Vault's `path` is path and field in a KV version 2 engine, such as `secret/data/sym-postgres#password`: `data/` comes after the engine's name."
  }
}

variable "releases" {
  description = "Where releases of plugins are, and the keys whose signatures count."
  type = object({
    bucket      = string
    prefix      = string
    trust       = list(string)
    kms_key_arn = optional(string)
  })

  # Source: Amazon S3 user guide, "General purpose bucket naming rules".
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.releases.bucket)) && !can(regex("[.]{2}|^[0-9]+([.][0-9]+){3}$", var.releases.bucket))
    error_message = "`${var.releases.bucket}` can't be the name of a bucket: 3 to 63 lower case letters, digits, `-` and `.`. Where it was made of the function's name, set `release_bucket`."
  }

  validation {
    condition     = length(var.releases.trust) > 0
    error_message = "Name at least one key in `plugin_trust`: the line that `symctl keygen` prints."
  }

  # The beginnings are those of an Ed25519 and of a P-256 public key, in DER.
  validation {
    condition = alltrue([for key in var.releases.trust : can(regex(
      "^(sha256:[0-9a-f]{64}|[A-Za-z0-9_.@/-]{1,64}:(MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=|MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==))$",
      trimspace(key)
    ))])
    error_message = "Each key in `plugin_trust` is `name:key`, the whole line that `symctl keygen` prints, or `sha256:` with 64 lower case hexadecimal digits for one release."
  }

  validation {
    condition     = length(var.releases.trust) <= 16 && (length(var.releases.trust) == 1 || length([for key in var.releases.trust : key if startswith(trimspace(key), "sha256:")]) == 0)
    error_message = "`plugin_trust` is at most 16 keys, or one `sha256:…` alone."
  }

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$", var.releases.prefix))
    error_message = "The prefix of releases is letters, digits, `_`, `.` and `-`, with `/` between its parts and none at its ends."
  }
}

variable "secrets" {
  description = "Where temporary users' credentials go."
  type = object({
    prefix      = string
    kms_key_arn = optional(string)
  })

  validation {
    condition     = can(regex("^/?[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*$", var.secrets.prefix)) && length(var.secrets.prefix) <= 100 && !can(regex("(^|/)[.]+(/|$)", var.secrets.prefix))
    error_message = "The prefix of secrets is letters, digits and `/_+=.@-`, at most 100, without a `/` at its end and without parts of dots alone."
  }
}

variable "limits" {
  description = "What plans may use, and for how long."
  type = object({
    grantable_roles       = optional(list(string))
    allowed_orgs          = optional(list(string))
    sql_policy            = optional(string)
    duration_unit         = optional(string)
    max_duration_seconds  = optional(number)
    expiry_grace_seconds  = optional(number)
    replay_window_seconds = optional(number)
  })

  validation {
    condition     = var.limits.grantable_roles == null ? true : length(var.limits.grantable_roles) > 0 && alltrue([for role in var.limits.grantable_roles : trimspace(role) != "" && !can(regex(",", role))])
    error_message = "`grantable_roles` names at least one role, and none of them is blank or has a comma, which would make it two."
  }

  validation {
    condition     = var.limits.allowed_orgs == null ? true : length(var.limits.allowed_orgs) > 0 && alltrue([for org in var.limits.allowed_orgs : trimspace(org) != ""])
    error_message = "`allowed_orgs` names at least one organisation, and none of them is blank."
  }

  validation {
    condition     = var.limits.sql_policy == null ? true : contains(["roles", "grants", "any"], var.limits.sql_policy)
    error_message = "`sql_policy` is `roles`, `grants` or `any`."
  }

  validation {
    condition     = var.limits.duration_unit == null ? true : contains(["minutes", "seconds"], var.limits.duration_unit)
    error_message = "`duration_unit` is `minutes` or `seconds`."
  }

  validation {
    condition     = var.limits.max_duration_seconds == null ? true : var.limits.max_duration_seconds >= 1 && var.limits.max_duration_seconds <= 31622400 && floor(var.limits.max_duration_seconds) == var.limits.max_duration_seconds
    error_message = "`max_duration_seconds` is a whole number from 1 to 31622400, which are 366 days."
  }

  validation {
    condition     = var.limits.expiry_grace_seconds == null ? true : var.limits.expiry_grace_seconds >= 0 && var.limits.expiry_grace_seconds <= 31622400 && floor(var.limits.expiry_grace_seconds) == var.limits.expiry_grace_seconds
    error_message = "`expiry_grace_seconds` is a whole number from 0 to 31622400, which are 366 days."
  }

  validation {
    condition     = var.limits.replay_window_seconds == null ? true : var.limits.replay_window_seconds >= 0 && var.limits.replay_window_seconds <= 31622400 && floor(var.limits.replay_window_seconds) == var.limits.replay_window_seconds
    error_message = "`replay_window_seconds` is a whole number from 0 to 31622400, which are 366 days."
  }
}

variable "environment" {
  description = "More variables of the function's. They win over those that the module makes."
  type        = map(string)

  validation {
    condition     = length(setintersection(keys(var.environment), ["DB_PASSWORD", "PG_PASSWORD"])) == 0
    error_message = "A password doesn't belong into the function's variables, which many may read: use `password_store`."
  }
}
