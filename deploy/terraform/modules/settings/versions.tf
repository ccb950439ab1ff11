# What this module needs: Terraform alone, no provider.
terraform {
  required_version = ">= 1.9"
}
