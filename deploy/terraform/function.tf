# The function, its log and its role.
resource "aws_cloudwatch_log_group" "function" {
  # checkov:skip=CKV_AWS_158:`kms_key_arn` is the operator's choice; without it the log is encrypted with AWS's key. It holds no secret and no event.
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_iam_role" "function" {
  name = "${var.name}-${local.region}"
  path = "/sym/"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "function" {
  name   = "what-the-function-does"
  role   = aws_iam_role.function.id
  policy = module.settings.function_policy
}

resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_116:Sym and the schedule read the answer; an event that is kept for later would give access later.
  # checkov:skip=CKV_AWS_50:One call of the database and of Secrets Manager; the log line has the durations.
  # checkov:skip=CKV_AWS_173:`kms_key_arn` is the operator's choice. No variable is a secret: `environment` refuses passwords.
  # checkov:skip=CKV_AWS_272:`code_signing_config_arn` is the operator's choice: who builds the zip signs it.
  function_name    = var.name
  description      = "Lends PostgreSQL access on Sym's word, and takes it back."
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  architectures    = [var.architecture]
  # The handler's name means nothing to a custom runtime, and must be there.
  handler                        = "bootstrap"
  runtime                        = "provided.al2023"
  role                           = aws_iam_role.function.arn
  timeout                        = var.timeout_seconds
  memory_size                    = var.memory_megabytes
  reserved_concurrent_executions = var.concurrency
  kms_key_arn                    = var.kms_key_arn
  code_signing_config_arn        = var.code_signing_config_arn

  environment {
    variables = module.settings.environment
  }

  vpc_config {
    subnet_ids         = local.subnet_ids
    security_group_ids = local.security_group_ids
  }

  tags = var.tags

  # With neither it could start without permissions, or make a log group that
  # keeps everything for ever.
  depends_on = [aws_cloudwatch_log_group.function, aws_iam_role_policy.function]
}

# Nobody but who is given the permission may invoke it: Sym's role gets it from
# the lambda connector, the schedule below. A failed event is not repeated by
# Lambda: an answer is an answer.
resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 300
}
