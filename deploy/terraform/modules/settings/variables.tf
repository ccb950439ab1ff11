# What decides the function's variables and permissions.
variable "name" {
  description = "Name of the function, and the audience of its releases."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "The name is 1 to 64 letters, digits, `-` and `_`, as Lambda's function names are."
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
}

variable "releases" {
  description = "Where releases of plugins are, and the keys whose signatures count."
  type = object({
    bucket      = string
    prefix      = string
    trust       = list(string)
    kms_key_arn = optional(string)
  })

  validation {
    condition     = length(var.releases.trust) > 0
    error_message = "Name at least one key in `plugin_trust`: the line that `symctl keygen` prints."
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
    condition     = can(regex("^/?[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*$", var.secrets.prefix))
    error_message = "The prefix of secrets is letters, digits and `/_+=.@-`, without a `/` at its end."
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
}

variable "environment" {
  description = "More variables of the function's. They win over those that the module makes."
  type        = map(string)

  validation {
    condition     = length(setintersection(keys(var.environment), ["DB_PASSWORD", "PG_PASSWORD"])) == 0
    error_message = "A password doesn't belong into the function's variables, which many may read: use `password_store`."
  }
}
