# What differs from one customer to another.
variable "sym_org" {
  description = "Your organisation at Sym: the first part of every run's name."
  type        = string
}

variable "slack_workspace_id" {
  description = "Your Slack workspace (T…)."
  type        = string
}

variable "package" {
  description = "Path of the function's zip for `architecture`."
  type        = string
}

variable "architecture" {
  description = "x86_64 or arm64: what the zip was built for."
  type        = string
  default     = "x86_64"
}

variable "plugin_trust" {
  description = "The keys whose releases run, as `symctl keygen` prints them."
  type        = list(string)
}

variable "publisher_principal_arns" {
  description = "Who may publish plugins: ARNs of roles, such as that of your CI. Empty: nobody."
  type        = list(string)
  default     = []
}

variable "strategy" {
  description = "`role` or `temporary-user`."
  type        = string
  default     = "role"
}

variable "grantable_roles" {
  description = "The roles that may be lent. Null: those on which the bot has the ADMIN option."
  type        = list(string)
  default     = null
}

variable "environment" {
  description = "More variables of the function's: docs/configuration.md has all of them."
  type        = map(string)
  default     = {}
}

variable "alarm_actions" {
  description = "Whom alarms tell: ARNs of SNS topics."
  type        = list(string)
  default     = []
}

variable "db_enabled" {
  description = "Whether to make a sandbox with a database, to try everything out."
  type        = bool
  default     = false
}

variable "db_config" {
  description = "How to reach your database; required unless `db_enabled`. `ledger` is the database with schema `sym`, where it isn't `name`; `resource_id` is RDS's (db-… or cluster-…), for `db_auth = \"iam\"`."
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
}

variable "db_auth" {
  description = "`password`, or `iam`: RDS takes a token that the function's role signs. A sandbox always uses `iam`."
  type        = string
  default     = "password"
}

variable "subnet_ids" {
  description = "Private subnets from which the database can be reached."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "The function's security groups."
  type        = list(string)
  default     = []
}

variable "endpoints" {
  description = "Makes VPC endpoints, so that no NAT gateway is needed: the VPC, and the route tables of its private subnets. A sandbox has its own."
  type = object({
    vpc_id          = string
    route_table_ids = list(string)
  })
  default = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = { Vendor = "symops.com" }
}
