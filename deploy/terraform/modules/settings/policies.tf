# The IAM policies, as documents. Each statement says in its comment what for.
locals {
  bucket_arn   = "arn:${var.partition}:s3:::${var.releases.bucket}"
  releases_arn = "${local.bucket_arn}/${var.releases.prefix}/*"
  function_arn = "arn:${var.partition}:lambda:${var.region}:${var.account_id}:function:${var.name}"

  # Secrets Manager writes the name after `secret:`; one that begins with `/` is
  # no different there.
  own_secrets_arn = "arn:${var.partition}:secretsmanager:${var.region}:${var.account_id}:secret:${var.secrets.prefix}/${var.name}/*"

  password_parameter_arn = "arn:${var.partition}:ssm:${var.region}:${var.account_id}:parameter/${trimprefix(coalesce(var.password.name, "none"), "/")}"
  # Without the field that may follow `#`. By its name alone, AWS adds six
  # characters to its ARN.
  password_secret     = split("#", coalesce(var.password.name, "none"))[0]
  password_secret_arn = startswith(local.password_secret, "arn:") ? local.password_secret : "arn:${var.partition}:secretsmanager:${var.region}:${var.account_id}:secret:${local.password_secret}-??????"

  # The log group is the module's own: the function may write to it, not make
  # others.
  log_statement = [{
    Sid      = "WriteItsLog"
    Effect   = "Allow"
    Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    Resource = "arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group:/aws/lambda/${var.name}:*"
  }]

  # Lambda itself, with the function's role, makes network interfaces in the
  # subnets. AWS knows no narrower resource for these actions.
  network_statements = [{
    Sid    = "LetLambdaConnectToTheVpc"
    Effect = "Allow"
    Action = [
      "ec2:AssignPrivateIpAddresses",
      "ec2:CreateNetworkInterface",
      "ec2:DeleteNetworkInterface",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSubnets",
      "ec2:UnassignPrivateIpAddresses",
    ]
    Resource = "*"
    },
    # The function's own code needs none of that.
    {
      Sid      = "ButNotTheFunctionsCode"
      Effect   = "Deny"
      Action   = "ec2:*"
      Resource = "*"
      Condition = {
        ArnEquals = { "lambda:SourceFunctionArn" = local.function_arn }
      }
  }]

  # Plugins come from here, and are believed by their signatures.
  release_statements = [{
    Sid      = "ReadReleases"
    Effect   = "Allow"
    Action   = "s3:GetObject"
    Resource = local.releases_arn
    },
    # Without it S3 answers for what is not there as for what is forbidden, and
    # the log couldn't say which it is. A condition on `s3:prefix` would undo
    # that, as reading an object has none. The bucket holds nothing but releases.
    {
      Sid      = "TellMissingFromForbidden"
      Effect   = "Allow"
      Action   = "s3:ListBucket"
      Resource = local.bucket_arn
  }]

  # An operator's key on the bucket: decrypting by way of S3 alone.
  release_key_statement = [{
    Sid       = "DecryptReleases"
    Effect    = "Allow"
    Action    = "kms:Decrypt"
    Resource  = coalesce(var.releases.kms_key_arn, "*")
    Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
  }]

  # One parameter, the bot's password.
  parameter_statement = [{
    Sid      = "ReadThePassword"
    Effect   = "Allow"
    Action   = "ssm:GetParameter"
    Resource = local.password_parameter_arn
  }]

  # One secret, the bot's password.
  password_secret_statement = [{
    Sid      = "ReadThePassword"
    Effect   = "Allow"
    Action   = "secretsmanager:GetSecretValue"
    Resource = local.password_secret_arn
  }]

  # An operator's key on the password. AWS's own keys need no permission.
  password_key_statement = [{
    Sid       = "DecryptThePassword"
    Effect    = "Allow"
    Action    = "kms:Decrypt"
    Resource  = coalesce(var.password.kms_key_arn, "*")
    Condition = { StringEquals = { "kms:ViaService" = var.password.store == "ssm" ? "ssm.${var.region}.amazonaws.com" : "secretsmanager.${var.region}.amazonaws.com" } }
  }]

  # Logging in with a token that the function's role signs.
  iam_login_statement = [{
    Sid      = "LogInAsTheBot"
    Effect   = "Allow"
    Action   = "rds-db:connect"
    Resource = "arn:${var.partition}:rds-db:${var.region}:${var.account_id}:dbuser:${coalesce(var.database.resource_id, "none")}/${var.database.user}"
  }]

  # Temporary users' credentials: made with their tag, read again where an event
  # comes twice (one run, one password), and deleted. Those of this function
  # alone.
  secret_statement = [{
    Sid    = "KeepTemporaryCredentials"
    Effect = "Allow"
    Action = [
      "secretsmanager:CreateSecret",
      "secretsmanager:DeleteSecret",
      "secretsmanager:GetSecretValue",
      "secretsmanager:TagResource",
    ]
    Resource = local.own_secrets_arn
  }]

  # An operator's key on those credentials.
  secret_key_statement = [{
    Sid       = "EncryptTemporaryCredentials"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource  = coalesce(var.secrets.kms_key_arn, "*")
    Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
  }]

  function_policy = {
    Version = "2012-10-17"
    Statement = concat(
      local.log_statement,
      local.network_statements,
      local.release_statements,
      [for statement in local.release_key_statement : statement if var.releases.kms_key_arn != null],
      [for statement in local.parameter_statement : statement if var.password.store == "ssm"],
      [for statement in local.password_secret_statement : statement if var.password.store == "secrets-manager"],
      [for statement in local.password_key_statement : statement if var.password.kms_key_arn != null],
      [for statement in local.iam_login_statement : statement if var.database.auth == "iam"],
      [for statement in local.secret_statement : statement if var.makes_users],
      [for statement in local.secret_key_statement : statement if var.makes_users && var.secrets.kms_key_arn != null],
    )
  }

  # What `symctl publish`, `rollback` and `gc` do: no more than the prefix.
  publisher_policy = {
    Version = "2012-10-17"
    Statement = concat([{
      Sid      = "WriteReleases"
      Effect   = "Allow"
      Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
      Resource = local.releases_arn
      },
      # Also for the first release, when there is none to read.
      {
        Sid      = "ListReleases"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = local.bucket_arn
      }],
      [for key in compact([var.releases.kms_key_arn]) : {
        Sid       = "EncryptReleases"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = key
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
      }],
    )
  }

  # The bucket: encrypted on the way, and written by the publisher alone,
  # whatever other policies of the account allow.
  bucket_policy = {
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "OnlyThePublisherWrites"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObject", "s3:PutObjectAcl", "s3:ReplicateObject", "s3:RestoreObject"]
        Resource  = "${local.bucket_arn}/*"
        # The role, whoever has assumed it.
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = local.publisher_arn } }
    }]
  }

  # Names in IAM are the account's, and not a region's.
  publisher_name = "${var.name}-publisher-${var.region}"
  publisher_arn  = "arn:${var.partition}:iam::${var.account_id}:role/sym/${local.publisher_name}"

  # End users, by a permission set of IAM Identity Center: a session's name there
  # is the person's user name, and comes after the `:` of `aws:userid`. A secret
  # without the tag is nobody's.
  users_policy = {
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "ReadTheirOwnCredentials"
      Effect    = "Allow"
      Action    = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
      Resource  = local.own_secrets_arn
      Condition = { StringLike = { "aws:userid" = "*:$${secretsmanager:ResourceTag/sym.user}" } }
      },
      # Names and descriptions, for the console's list. AWS knows no narrower
      # resource for it.
      {
        Sid      = "FindThemInTheConsole"
        Effect   = "Allow"
        Action   = "secretsmanager:ListSecrets"
        Resource = "*"
      }],
      [for key in compact([var.secrets.kms_key_arn]) : {
        Sid       = "DecryptTheirOwnCredentials"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = key
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
      }],
    )
  }
}
