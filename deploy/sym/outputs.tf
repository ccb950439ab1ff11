# What to do next with.
output "release_store" {
  description = "Where `symctl publish --to` puts releases."
  value       = module.postgres.release_store
}

output "publisher_role_arn" {
  description = "Who publishes assumes it."
  value       = module.postgres.publisher_role_arn
}

output "password_parameter" {
  description = "The SSM parameter with the bot's password. Null where there is none."
  value       = module.postgres.password_parameter
}

output "user_policy_arn" {
  description = "The policy for end users' permission sets."
  value       = module.postgres.user_policy_arn
}

output "environment" {
  description = "The function's variables: `symctl` takes the same."
  value       = module.postgres.environment
}

output "bastion_id" {
  description = "The sandbox's bastion, for tunnel.sh. Empty without a sandbox."
  value       = module.postgres.bastion_id
}

output "db_config" {
  description = "The sandbox's database. Null without a sandbox."
  value       = module.postgres.db_config
}

output "db_admin_secret_arn" {
  description = "The secret with the master user of the sandbox's database. Null without a sandbox."
  value       = module.postgres.db_admin_secret_arn
}
