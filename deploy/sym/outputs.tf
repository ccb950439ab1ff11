# What to do next with.
output "postgres" {
  description = "Where releases go, and who may publish them and read credentials."
  value = {
    release_store      = module.postgres.release_store
    publisher_role_arn = module.postgres.publisher_role_arn
    user_policy_arn    = module.postgres.user_policy_arn
    bastion_id         = module.postgres.bastion_id
  }
}
