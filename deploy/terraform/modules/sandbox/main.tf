# A sandbox: a VPC without a way to the internet, a PostgreSQL on RDS, and a
# bastion that only AWS Session Manager reaches. Not for anybody's real data.
data "aws_availability_zones" "available" {
  # checkov:skip=CKV_AWS_394:The first two are taken; another one that appears changes nothing that stands.
  state = "available"
}

data "aws_partition" "current" {}

locals {
  zones = slice(data.aws_availability_zones.available.names, 0, 2)
}

resource "aws_vpc" "this" {
  # checkov:skip=CKV2_AWS_11:A sandbox's traffic needs no log.
  cidr_block           = var.cidr_block
  enable_dns_hostnames = true
  enable_dns_support   = true
  tags                 = merge(var.tags, { Name = var.name })
}

# The default group lets nothing in and nothing out.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-unused" })
}

resource "aws_subnet" "private" {
  count = length(local.zones)

  vpc_id            = aws_vpc.this.id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.cidr_block, 8, count.index)
  tags              = merge(var.tags, { Name = "${var.name}-${count.index}" })

  lifecycle {
    ignore_changes = [availability_zone]
  }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_route_table_association" "private" {
  count = length(local.zones)

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

########## The database ##########

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = aws_subnet.private[*].id
  tags       = var.tags
}

resource "aws_security_group" "db" {
  name        = "${var.name}-db"
  description = "The sandbox's database"
  vpc_id      = aws_vpc.this.id
  tags        = merge(var.tags, { Name = "${var.name}-db" })

  ingress {
    description     = "PostgreSQL from the function and the bastion"
    from_port       = 5432
    to_port         = 5432
    protocol        = "tcp"
    security_groups = [aws_security_group.function.id, aws_security_group.bastion.id]
  }
}

resource "aws_db_parameter_group" "this" {
  name   = var.name
  family = "postgres${split(".", var.engine_version)[0]}"
  tags   = var.tags

  # No connection without TLS.
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  # Who was lent what, and what they changed, is in the database's log.
  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }
}

resource "aws_db_instance" "this" {
  # checkov:skip=CKV_AWS_157:A sandbox needs no second zone.
  # checkov:skip=CKV_AWS_293:A sandbox is destroyed when it has served.
  # checkov:skip=CKV_AWS_118:A sandbox needs no monitoring of its own.
  # checkov:skip=CKV_AWS_353:A sandbox needs no monitoring of its own.
  # checkov:skip=CKV_AWS_354:A sandbox needs no monitoring of its own.
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = "db.t4g.micro"

  db_name  = "app"
  username = "sandbox_admin"
  # RDS makes the master user's password and keeps it: it is in no state.
  manage_master_user_password         = true
  iam_database_authentication_enabled = true

  allocated_storage               = 20
  storage_type                    = "gp3"
  storage_encrypted               = true
  auto_minor_version_upgrade      = true
  copy_tags_to_snapshot           = true
  backup_retention_period         = 1
  skip_final_snapshot             = true
  apply_immediately               = true
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]

  db_subnet_group_name   = aws_db_subnet_group.this.name
  parameter_group_name   = aws_db_parameter_group.this.name
  vpc_security_group_ids = [aws_security_group.db.id]
  publicly_accessible    = false
  tags                   = var.tags
}

########## The function's way ##########

resource "aws_security_group" "function" {
  # checkov:skip=CKV2_AWS_5:The module around this one gives it to the function.
  name        = "${var.name}-function"
  description = "The function, when it uses the sandbox"
  vpc_id      = aws_vpc.this.id
  tags        = merge(var.tags, { Name = "${var.name}-function" })
}

# The other end of a connection is named by the group there, and groups that
# name each other need rules of their own.
resource "aws_vpc_security_group_egress_rule" "function_to_db" {
  security_group_id            = aws_security_group.function.id
  description                  = "PostgreSQL"
  referenced_security_group_id = aws_security_group.db.id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

# Endpoints, S3's among them, whose addresses are Amazon's; the VPC has no other
# way out.
resource "aws_vpc_security_group_egress_rule" "function_to_endpoints" {
  security_group_id = aws_security_group.function.id
  description       = "TLS to the endpoints of AWS services"
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}
