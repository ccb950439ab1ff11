# What Sym, and people, need to know.
output "lambda_function_arn" {
  description = "The function: `settings.arn` of Sym's targets, and `lambda_arns` of the lambda connector."
  value       = aws_lambda_function.this.arn
}

output "sym_targets" {
  description = "Name, label and settings of each `sym_target`."
  value = {
    for name, target in var.targets : name => {
      name     = name
      label    = target.label
      settings = { arn = aws_lambda_function.this.arn }
    }
  }
}

output "function_role_arn" {
  description = "The function's role: for Vault's AWS auth, or the policy of a KMS key."
  value       = aws_iam_role.function.arn
}

output "release_store" {
  description = "Where `symctl publish --to` puts releases."
  value       = module.settings.environment["PLUGINS"]
}

output "publisher_role_arn" {
  description = "Who publishes assumes it."
  value       = aws_iam_role.publisher.arn
}

output "password_parameter" {
  description = "The SSM parameter with the bot's password. Null where there is none."
  value       = local.password_store == "ssm" ? local.password_key : null
}

output "user_policy_arn" {
  description = "The policy for end users' permission sets."
  value       = aws_iam_policy.users.arn
}

output "environment" {
  description = "The function's variables, with those that Lambda sets: `symctl` takes the same."
  value       = merge(module.settings.environment, { AWS_LAMBDA_FUNCTION_NAME = var.name, AWS_REGION = local.region })
}

output "bastion_id" {
  description = "The sandbox's bastion, for tunnel.sh. Empty without a sandbox."
  value       = var.db_enabled ? module.sandbox[0].bastion_id : ""
}

output "db_config" {
  description = "The sandbox's database. Null without a sandbox."
  value       = var.db_enabled ? module.sandbox[0].db_config : null
}

output "db_admin_secret_arn" {
  description = "The secret with the master user of the sandbox's database. Null without a sandbox."
  value       = var.db_enabled ? module.sandbox[0].admin_secret_arn : null
}
