# What the module computes.
output "environment" {
  description = "The function's variables."
  value       = local.environment
}

output "function_policy" {
  description = "What the function may do."
  value       = jsonencode(local.function_policy)
}

output "publisher_policy" {
  description = "What the publisher of releases may do."
  value       = jsonencode(local.publisher_policy)
}

output "publisher_role_name" {
  description = "Name of the publisher's role, in the path /sym/."
  value       = local.publisher_name
}

output "bucket_policy" {
  description = "Who may do what with the bucket of releases."
  value       = jsonencode(local.bucket_policy)
}

output "users_policy" {
  description = "What the people may do who are given temporary users."
  value       = jsonencode(local.users_policy)
}
