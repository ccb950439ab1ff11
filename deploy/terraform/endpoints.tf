# Ways from the private subnets to the services that the function calls, so that
# it needs no NAT gateway. The log and Lambda itself need none.
locals {
  endpoints = var.db_enabled ? module.sandbox[0].endpoints : var.endpoints
  interface_endpoints = local.endpoints == null ? [] : concat(
    contains(local.strategies, "temporary-user") || local.password_store == "secrets-manager" ? ["secretsmanager"] : [],
    # Vault asks AWS by itself who the function is.
    local.password_store == "ssm" ? ["ssm"] : [],
  )
}

data "aws_vpc" "this" {
  count = local.endpoints == null ? 0 : 1
  id    = local.endpoints.vpc_id
}

resource "aws_security_group" "endpoints" {
  count = local.endpoints == null ? 0 : 1

  name        = "${var.name}-endpoints"
  description = "Lets ${var.name} reach AWS services"
  vpc_id      = local.endpoints.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-endpoints" })

  ingress {
    description = "TLS from the VPC"
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = [data.aws_vpc.this[0].cidr_block]
  }
}

resource "aws_vpc_endpoint" "interface" {
  for_each = toset(local.interface_endpoints)

  vpc_id              = local.endpoints.vpc_id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = local.subnet_ids
  security_group_ids  = [aws_security_group.endpoints[0].id]
  private_dns_enabled = true
  tags                = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

# S3's has no price.
resource "aws_vpc_endpoint" "s3" {
  count = local.endpoints == null ? 0 : 1

  vpc_id            = local.endpoints.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = local.endpoints.route_table_ids
  tags              = merge(var.tags, { Name = "${var.name}-s3" })
}
