# What the sandbox is made of.
variable "name" {
  description = "Name of everything in it."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "tags" {
  description = "Tags of everything in it."
  type        = map(string)
}

variable "cidr_block" {
  description = "Addresses of the VPC."
  type        = string
  default     = "10.74.0.0/16"
}

variable "engine_version" {
  description = "Version of PostgreSQL."
  type        = string
  default     = "17"
}
