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
  description = "Path of the function's zip."
  type        = string
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

variable "db_enabled" {
  description = "Whether to make a sandbox with a database, to try everything out."
  type        = bool
  default     = false
}

variable "db_config" {
  description = "How to reach your database; required unless `db_enabled`."
  type = object({
    host = string
    port = optional(number, 5432)
    name = optional(string)
    user = string
    pass = optional(string)
  })
  default   = null
  sensitive = true
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

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = { Vendor = "symops.com" }
}
