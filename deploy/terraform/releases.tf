# The bucket of releases, and who writes it.
resource "aws_s3_bucket" "releases" {
  # checkov:skip=CKV_AWS_18:CloudTrail's data events say who wrote what, and for all buckets of the account.
  # checkov:skip=CKV_AWS_144:Access can be ended without it, and a release is published again from its source.
  # checkov:skip=CKV_AWS_145:`kms_key_arn` is the operator's choice; releases are public to who may invoke the function.
  # checkov:skip=CKV2_AWS_62:The function looks by itself whether there is another release.
  bucket = local.bucket_name
  tags   = var.tags
}

resource "aws_s3_bucket_versioning" "releases" {
  bucket = aws_s3_bucket.releases.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "releases" {
  bucket = aws_s3_bucket.releases.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "releases" {
  bucket                  = aws_s3_bucket.releases.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "releases" {
  bucket = aws_s3_bucket.releases.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

# `symctl gc` deletes old releases; what it deletes is kept for a month.
resource "aws_s3_bucket_lifecycle_configuration" "releases" {
  bucket = aws_s3_bucket.releases.id

  rule {
    id     = "deleted-releases"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  depends_on = [aws_s3_bucket_versioning.releases]
}

resource "aws_s3_bucket_policy" "releases" {
  bucket     = aws_s3_bucket.releases.id
  policy     = module.settings.bucket_policy
  depends_on = [aws_s3_bucket_public_access_block.releases]
}

# Who publishes assumes this role. Without `publisher_principal_arns` nobody can.
resource "aws_iam_role" "publisher" {
  name        = module.settings.publisher_role_name
  path        = "/sym/"
  description = "Publishes releases of plugins for ${var.name}."
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [length(var.publisher_principal_arns) > 0 ? {
      Effect    = "Allow"
      Principal = { AWS = var.publisher_principal_arns }
      Action    = "sts:AssumeRole"
      } : {
      Effect    = "Deny"
      Principal = { AWS = ["*"] }
      Action    = "sts:AssumeRole"
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "publisher" {
  name   = "what-symctl-publish-does"
  role   = aws_iam_role.publisher.id
  policy = module.settings.publisher_policy
}
