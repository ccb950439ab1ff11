# A Sym flow whose targets are PostgreSQL roles: the function in your account, and
# everything on Sym's side.
#
# The provider takes the login of `symflow login`; in CI, the token of a bot of
# Sym's (`symflow tokens issue`) in the environment variable SYM_JWT.
provider "sym" {
  org = var.sym_org
}

# Sym's environment, not the function's variables.
locals {
  environment = "main"
}

module "postgres" {
  source = "../terraform"

  package                  = var.package
  architecture             = var.architecture
  strategy                 = var.strategy
  plugin_trust             = var.plugin_trust
  publisher_principal_arns = var.publisher_principal_arns
  allowed_orgs             = [var.sym_org]
  grantable_roles          = var.grantable_roles
  environment              = var.environment
  alarm_actions            = var.alarm_actions
  db_enabled               = var.db_enabled
  db_config                = var.db_config
  db_auth                  = var.db_auth
  subnet_ids               = var.subnet_ids
  security_group_ids       = var.security_group_ids
  endpoints                = var.endpoints
  tags                     = var.tags

  # By their names in plugins.toml.
  targets = {
    readonly = { label = "Read Only" }
  }
}

########## Who may invoke the function ##########

# Sym's runtime, as a role in your account.
module "runtime_connector" {
  # checkov:skip=CKV_TF_1:Sym's own module, from the registry, by its version.
  source  = "symopsio/runtime-connector/aws"
  version = "~> 2.0"

  environment = local.environment
  tags        = var.tags
}

# That role may invoke this function, and no other.
module "lambda_connector" {
  # checkov:skip=CKV_TF_1:Sym's own module, from the registry, by its version.
  source  = "symopsio/lambda-connector/aws"
  version = "~> 1.0"

  environment       = local.environment
  lambda_arns       = [module.postgres.lambda_function_arn]
  runtime_role_arns = [module.runtime_connector.sym_runtime_connector_role.arn]
  tags              = var.tags
}

resource "sym_integration" "lambda" {
  type        = "permission_context"
  name        = "postgres-lambda-${local.environment}"
  external_id = module.lambda_connector.settings.account_id
  settings    = module.lambda_connector.settings
}

########## What people can ask for ##########

resource "sym_target" "postgres" {
  for_each = module.postgres.sym_targets

  type     = "aws_lambda_function"
  name     = each.value.name
  label    = each.value.label
  settings = each.value.settings
}

resource "sym_strategy" "postgres" {
  type           = "aws_lambda"
  name           = "postgres-${local.environment}"
  integration_id = sym_integration.lambda.id
  targets        = [for target in sym_target.postgres : target.id]
}

resource "sym_flow" "postgres" {
  name           = "postgres"
  label          = "PostgreSQL Access"
  environment_id = sym_environment.this.id
  implementation = file("${path.module}/impl.py")

  # impl.py asks the function for a dry run: which function that is, and by which
  # integration.
  vars = {
    lambda_arn = module.postgres.lambda_function_arn
  }

  params {
    strategy_id = sym_strategy.postgres.id

    # The function counts minutes, unless `duration_unit` says otherwise.
    prompt_field {
      name           = "duration"
      type           = "duration"
      allowed_values = ["30m", "1h"]
      required       = true
    }

    prompt_field {
      name     = "reason"
      label    = "Why do you need access?"
      type     = "string"
      required = true
    }
  }
}

########## Sym's environment ##########

resource "sym_environment" "this" {
  name            = local.environment
  runtime_id      = module.runtime_connector.sym_runtime.id
  error_logger_id = sym_error_logger.slack.id

  integrations = {
    slack_id      = sym_integration.slack.id
    aws_lambda_id = sym_integration.lambda.id
  }
}

resource "sym_integration" "slack" {
  type        = "slack"
  name        = "slack-${local.environment}"
  external_id = var.slack_workspace_id
}

# The function's sentences, where something went wrong.
resource "sym_error_logger" "slack" {
  integration_id = sym_integration.slack.id
  destination    = "#sym-errors"
}
