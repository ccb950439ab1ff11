# What the module computes, without a provider: `terraform test`.
variables {
  name        = "sym-postgres"
  strategy    = "role"
  makes_users = false
  partition   = "aws"
  region      = "eu-central-1"
  account_id  = "123456789012"
  database    = { host = "db.example", port = 5432, user = "sym_bot", auth = "password" }
  password    = { store = "ssm", name = "/symops.com/sym-postgres/DB_PASSWORD" }
  releases    = { bucket = "releases", prefix = "sym-postgres", trust = ["team:MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] }
  secrets     = { prefix = "/symops.com" }
  limits      = {}
  environment = {}
}

run "lends_roles_and_reads_no_secret" {
  command = plan

  assert {
    condition = output.environment == {
      PLUGINS         = "s3://releases/sym-postgres"
      PLUGIN_TRUST    = "team:MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
      STRATEGY        = "role"
      DB_HOST         = "db.example"
      DB_PORT         = "5432"
      DB_USER         = "sym_bot"
      DB_AUTH         = "password"
      DB_PASSWORD_KEY = "/symops.com/sym-postgres/DB_PASSWORD"
      SECRET_PREFIX   = "/symops.com"
    }
    error_message = "The variables are others: ${jsonencode(output.environment)}"
  }

  assert {
    condition     = [for s in jsondecode(output.function_policy).Statement : s.Sid] == ["WriteItsLog", "LetLambdaConnectToTheVpc", "ButNotTheFunctionsCode", "ReadReleases", "TellMissingFromForbidden", "ReadThePassword"]
    error_message = "The function may do something else: ${output.function_policy}"
  }

  assert {
    condition     = [for s in jsondecode(output.function_policy).Statement : s.Resource if s.Sid == "ReadThePassword"] == ["arn:aws:ssm:eu-central-1:123456789012:parameter/symops.com/sym-postgres/DB_PASSWORD"]
    error_message = "It reads another parameter: ${output.function_policy}"
  }
}

# Names in IAM are the account's: a function of the same name in another region has
# a publisher of its own.
run "names_the_publisher_after_the_region" {
  command = plan

  assert {
    condition     = output.publisher_role_name == "sym-postgres-publisher-eu-central-1"
    error_message = "The role has another name: ${output.publisher_role_name}"
  }

  assert {
    condition     = [for s in jsondecode(output.bucket_policy).Statement : s.Condition.ArnNotEquals["aws:PrincipalArn"] if s.Sid == "OnlyThePublisherWrites"] == ["arn:aws:iam::123456789012:role/sym/${output.publisher_role_name}"]
    error_message = "Somebody else writes the bucket: ${output.bucket_policy}"
  }
}

run "makes_users_and_keeps_their_secrets_alone" {
  command = plan
  variables {
    makes_users = true
    secrets     = { prefix = "/symops.com", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/k" }
  }

  assert {
    condition     = [for s in jsondecode(output.function_policy).Statement : s.Resource if s.Sid == "KeepTemporaryCredentials"] == ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:/symops.com/sym-postgres/*"]
    error_message = "It reaches other secrets: ${output.function_policy}"
  }

  assert {
    condition     = [for s in jsondecode(output.function_policy).Statement : s.Resource if s.Sid == "EncryptTemporaryCredentials"] == ["arn:aws:kms:eu-central-1:123456789012:key/k"]
    error_message = "It uses another key: ${output.function_policy}"
  }

  # IAM's own variable, which Terraform must leave as it is.
  assert {
    condition     = jsondecode(output.users_policy).Statement[0].Condition.StringLike["aws:userid"] == "*:$${secretsmanager:ResourceTag/sym.user}"
    error_message = "People would read others' secrets: ${output.users_policy}"
  }
}

run "has_no_password_with_iam" {
  command = plan
  variables {
    database = { host = "db.example", port = 5432, user = "sym_bot", auth = "iam", resource_id = "db-ABC" }
    password = { store = "none" }
  }

  assert {
    condition     = [for s in jsondecode(output.function_policy).Statement : s.Resource if s.Sid == "LogInAsTheBot"] == ["arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-ABC/sym_bot"]
    error_message = "It logs in as somebody else: ${output.function_policy}"
  }

  assert {
    condition     = !contains([for s in jsondecode(output.function_policy).Statement : s.Sid], "ReadThePassword")
    error_message = "There is no password to read."
  }
}

run "reads_a_secret_by_its_arn_without_the_field" {
  command = plan
  variables {
    password = { store = "secrets-manager", name = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:bot-AbCdEf#password" }
  }

  assert {
    condition     = [for s in jsondecode(output.function_policy).Statement : s.Resource if s.Sid == "ReadThePassword"] == ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:bot-AbCdEf"]
    error_message = "It reads another secret: ${output.function_policy}"
  }
}

run "refuses_a_password_among_the_variables" {
  command = plan
  variables {
    environment = { DB_PASSWORD = "hunter2" }
  }
  expect_failures = [var.environment]
}

run "refuses_iam_without_the_databases_id" {
  command = plan
  variables {
    database = { host = "db.example", port = 5432, user = "sym_bot", auth = "iam" }
  }
  expect_failures = [var.database]
}

run "refuses_a_name_that_makes_no_name_of_a_role" {
  command = plan
  variables {
    name = "sym-postgres-for-all-of-the-sandboxes-01"
  }
  expect_failures = [var.name]
}

# As made of the function's name.
run "refuses_a_bucket_of_a_name_with_an_underscore" {
  command = plan
  variables {
    releases = { bucket = "my_fn-releases-123456789012-eu-central-1", prefix = "sym-postgres", trust = ["team:MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] }
  }
  expect_failures = [var.releases]
}

run "refuses_a_bucket_of_a_name_that_is_too_long" {
  command = plan
  variables {
    releases = { bucket = "sym-postgres-of-the-sandboxes-releases-123456789012-eu-central-1", prefix = "sym-postgres", trust = ["team:MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] }
  }
  expect_failures = [var.releases]
}

run "refuses_plugins_that_nobody_signs" {
  command = plan
  variables {
    releases = { bucket = "releases", prefix = "sym-postgres", trust = [] }
  }
  expect_failures = [var.releases]
}

# At the ends of what the function takes. The line of a file ends.
run "takes_what_the_function_takes" {
  command = plan
  variables {
    database = { host = "db.example", port = 65535, user = "sym_bot", auth = "password" }
    releases = { bucket = "sym-postgres-for-a-sandbox01-releases-123456789012-eu-central-1", prefix = "sym-postgres", trust = ["team:MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "kms:MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB=="] }
    limits = {
      grantable_roles       = ["readonly"]
      allowed_orgs          = ["healthy-health"]
      sql_policy            = "any"
      duration_unit         = "seconds"
      max_duration_seconds  = 31622400
      expiry_grace_seconds  = 0
      replay_window_seconds = 0
    }
  }

  assert {
    condition     = output.environment["MAX_DURATION_SECONDS"] == "31622400"
    error_message = "The function reads it otherwise: ${jsonencode(output.environment)}"
  }
}

run "takes_one_release_by_its_digest" {
  command = plan
  variables {
    releases = { bucket = "releases", prefix = "sym-postgres", trust = ["sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"] }
  }

  assert {
    condition     = startswith(output.environment["PLUGIN_TRUST"], "sha256:")
    error_message = "It trusts another: ${jsonencode(output.environment)}"
  }
}

run "takes_a_host_by_its_address" {
  command = plan
  variables {
    database = { host = "2001:db8::1", port = 5432, user = "sym_bot", auth = "password" }
  }

  assert {
    condition     = output.environment["DB_HOST"] == "2001:db8::1"
    error_message = "The function reads it otherwise: ${jsonencode(output.environment)}"
  }
}

run "refuses_a_host_with_its_port" {
  command = plan
  variables {
    database = { host = "db.example:5432", port = 5432, user = "sym_bot", auth = "password" }
  }
  expect_failures = [var.database]
}

run "refuses_a_host_that_is_a_url" {
  command = plan
  variables {
    database = { host = "postgres://db.example", port = 5432, user = "sym_bot", auth = "password" }
  }
  expect_failures = [var.database]
}

run "refuses_a_host_with_a_space" {
  command = plan
  variables {
    database = { host = "db.example ", port = 5432, user = "sym_bot", auth = "password" }
  }
  expect_failures = [var.database]
}

run "refuses_the_port_0" {
  command = plan
  variables {
    database = { host = "db.example", port = 0, user = "sym_bot", auth = "password" }
  }
  expect_failures = [var.database]
}

run "refuses_a_port_that_is_too_high" {
  command = plan
  variables {
    database = { host = "db.example", port = 65536, user = "sym_bot", auth = "password" }
  }
  expect_failures = [var.database]
}

run "refuses_a_port_that_is_not_whole" {
  command = plan
  variables {
    database = { host = "db.example", port = 5432.5, user = "sym_bot", auth = "password" }
  }
  expect_failures = [var.database]
}

run "refuses_a_key_without_its_name" {
  command = plan
  variables {
    releases = { bucket = "releases", prefix = "sym-postgres", trust = ["MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] }
  }
  expect_failures = [var.releases]
}

run "refuses_a_key_that_was_cut" {
  command = plan
  variables {
    releases = { bucket = "releases", prefix = "sym-postgres", trust = ["team:MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] }
  }
  expect_failures = [var.releases]
}

run "refuses_a_digest_that_is_none" {
  command = plan
  variables {
    releases = { bucket = "releases", prefix = "sym-postgres", trust = ["sha256:0a"] }
  }
  expect_failures = [var.releases]
}

run "refuses_a_digest_beside_a_key" {
  command = plan
  variables {
    releases = { bucket = "releases", prefix = "sym-postgres", trust = ["sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", "team:MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] }
  }
  expect_failures = [var.releases]
}

run "refuses_more_keys_than_the_function_tries" {
  command = plan
  variables {
    releases = { bucket = "releases", prefix = "sym-postgres", trust = [for i in range(17) : "k${i}:MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] }
  }
  expect_failures = [var.releases]
}

run "refuses_no_role_at_all" {
  command = plan
  variables {
    limits = { grantable_roles = [] }
  }
  expect_failures = [var.limits]
}

run "refuses_a_blank_role" {
  command = plan
  variables {
    limits = { grantable_roles = ["readonly", " "] }
  }
  expect_failures = [var.limits]
}

run "refuses_no_organisation_at_all" {
  command = plan
  variables {
    limits = { allowed_orgs = [] }
  }
  expect_failures = [var.limits]
}

run "refuses_a_blank_organisation" {
  command = plan
  variables {
    limits = { allowed_orgs = [" "] }
  }
  expect_failures = [var.limits]
}

run "refuses_a_policy_that_there_is_not" {
  command = plan
  variables {
    limits = { sql_policy = "grantz" }
  }
  expect_failures = [var.limits]
}

run "refuses_a_unit_that_there_is_not" {
  command = plan
  variables {
    limits = { duration_unit = "hours" }
  }
  expect_failures = [var.limits]
}

run "refuses_a_longest_time_of_nothing" {
  command = plan
  variables {
    limits = { max_duration_seconds = 0 }
  }
  expect_failures = [var.limits]
}

run "refuses_a_longest_time_that_is_not_whole" {
  command = plan
  variables {
    limits = { max_duration_seconds = 1.5 }
  }
  expect_failures = [var.limits]
}

run "refuses_a_longest_time_beyond_a_year" {
  command = plan
  variables {
    limits = { max_duration_seconds = 31622401 }
  }
  expect_failures = [var.limits]
}

run "refuses_a_grace_below_nothing" {
  command = plan
  variables {
    limits = { expiry_grace_seconds = -1 }
  }
  expect_failures = [var.limits]
}

run "refuses_a_grace_that_is_not_whole" {
  command = plan
  variables {
    limits = { expiry_grace_seconds = 0.5 }
  }
  expect_failures = [var.limits]
}

run "refuses_a_window_below_nothing" {
  command = plan
  variables {
    limits = { replay_window_seconds = -1 }
  }
  expect_failures = [var.limits]
}

run "refuses_a_role_that_would_be_two" {
  command = plan
  variables {
    limits = { grantable_roles = ["read,write"] }
  }
  expect_failures = [var.limits]
}

run "refuses_a_prefix_of_secrets_of_dots" {
  command = plan
  variables {
    secrets = { prefix = "/." }
  }
  expect_failures = [var.secrets]
}

run "refuses_a_vault_that_anybody_could_read" {
  command = plan
  variables {
    password = { store = "vault", vault = { address = "http://vault.example:8200", role = "sym", path = "secret/data/sym#password" } }
  }
  expect_failures = [var.password]
}

run "refuses_a_place_in_vault_without_a_field" {
  command = plan
  variables {
    password = { store = "vault", vault = { address = "https://vault.example:8200", role = "sym", path = "secret/data/sym" } }
  }
  expect_failures = [var.password]
}
