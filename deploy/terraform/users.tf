# What the people need who are given temporary users. Name it as a
# customer-managed policy in their permission set of IAM Identity Center.
resource "aws_iam_policy" "users" {
  name        = "${var.name}-credentials-${local.region}"
  path        = "/sym/"
  description = "Read one's own credentials of ${var.name}."
  policy      = module.settings.users_policy
  tags        = var.tags
}
