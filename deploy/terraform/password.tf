# The bot's password, where it is an SSM parameter.
#
# With `pass` in `db_config` Terraform makes the parameter, and the value is in the
# state: keep that encrypted. Without it Terraform knows its name alone, and you make
# it: of a parameter that is Terraform's own, the provider writes the value into the
# state whenever it looks, whoever has set it. From standard input, as everybody on a
# machine sees the arguments of its programs:
#
#   read -rs PASSWORD
#   printf %s "$PASSWORD" | aws ssm put-parameter --overwrite --type SecureString \
#     --name /symops.com/sym-postgres/DB_PASSWORD --value file:///dev/stdin
#
# With `password_kms_key_arn` add `--key-id`. The function reads the parameter again
# when the database refuses the old password.
resource "aws_ssm_parameter" "password" {
  # checkov:skip=CKV_AWS_337:`password_kms_key_arn` is the operator's choice; without it the parameter is encrypted with AWS's key.
  count = local.password_store == "ssm" && local.has_pass ? 1 : 0

  name        = local.password_key
  description = "Password of ${var.name}'s own database user."
  type        = "SecureString"
  key_id      = var.password_kms_key_arn
  value       = var.db_config.pass
  tags        = var.tags
}

# Earlier this module made the other one, too: it stays, with the password in it.
removed {
  from = aws_ssm_parameter.password_outside_of_state

  lifecycle {
    destroy = false
  }
}
