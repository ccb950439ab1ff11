# The bot's password, where it is an SSM parameter.
#
# With `pass` in `db_config` Terraform manages the value, and it is in the state:
# keep that encrypted. Without it Terraform makes the parameter with a
# placeholder, never looks at the value again, and you set it:
#
#   aws ssm put-parameter --overwrite --type SecureString \
#     --name /symops.com/sym-postgres/DB_PASSWORD --value "$PASSWORD"
#
# The function reads it again when the database refuses the old one.
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

resource "aws_ssm_parameter" "password_outside_of_state" {
  # checkov:skip=CKV_AWS_337:`password_kms_key_arn` is the operator's choice; without it the parameter is encrypted with AWS's key.
  count = local.password_store == "ssm" && !local.has_pass ? 1 : 0

  name        = local.password_key
  description = "Password of ${var.name}'s own database user."
  type        = "SecureString"
  key_id      = var.password_kms_key_arn
  value       = "set-me"
  tags        = var.tags

  lifecycle {
    ignore_changes = [value, version]
  }
}
