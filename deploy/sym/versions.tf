# What this example needs.
terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40, < 7.0"
    }
    sym = {
      source  = "symopsio/sym"
      version = ">= 3.0, < 4.0"
    }
  }
}
