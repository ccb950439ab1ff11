# The bastion: an instance that forwards to the database for who may start a
# session with it. No public address, no open port, no key.
resource "aws_security_group" "bastion" {
  name        = "${var.name}-bastion"
  description = "The sandbox's bastion"
  vpc_id      = aws_vpc.this.id
  tags        = merge(var.tags, { Name = "${var.name}-bastion" })
}

resource "aws_vpc_security_group_egress_rule" "bastion_to_db" {
  security_group_id            = aws_security_group.bastion.id
  description                  = "PostgreSQL"
  referenced_security_group_id = aws_security_group.db.id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "bastion_to_session_manager" {
  security_group_id = aws_security_group.bastion.id
  description       = "TLS to Session Manager's endpoints"
  cidr_ipv4         = var.cidr_block
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_security_group" "session_manager" {
  name        = "${var.name}-session-manager"
  description = "Session Manager's endpoints"
  vpc_id      = aws_vpc.this.id
  tags        = merge(var.tags, { Name = "${var.name}-session-manager" })

  ingress {
    description     = "TLS from the bastion"
    from_port       = 443
    to_port         = 443
    protocol        = "tcp"
    security_groups = [aws_security_group.bastion.id]
  }
}

# What Session Manager's agent talks to. `ssm` is the agent's registration; the
# function, which uses IAM to log in, needs none of them.
resource "aws_vpc_endpoint" "session_manager" {
  for_each = toset(["ec2messages", "ssm", "ssmmessages"])

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = [aws_subnet.private[0].id]
  security_group_ids  = [aws_security_group.session_manager.id]
  private_dns_enabled = true
  tags                = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
}

resource "aws_iam_role" "bastion" {
  name = "${var.name}-bastion-${var.region}"
  path = "/sym/"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
  tags = var.tags
}

# What Session Manager's agent may do, as AWS keeps it.
resource "aws_iam_role_policy_attachment" "bastion" {
  role       = aws_iam_role.bastion.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "bastion" {
  name = "${var.name}-bastion-${var.region}"
  path = "/sym/"
  role = aws_iam_role.bastion.name
  tags = var.tags
}

resource "aws_instance" "bastion" {
  # checkov:skip=CKV_AWS_126:A sandbox needs no monitoring of its own.
  ami                         = data.aws_ssm_parameter.image.insecure_value
  instance_type               = "t4g.nano"
  subnet_id                   = aws_subnet.private[0].id
  vpc_security_group_ids      = [aws_security_group.bastion.id]
  iam_instance_profile        = aws_iam_instance_profile.bastion.name
  associate_public_ip_address = false
  ebs_optimized               = true
  tags                        = merge(var.tags, { Name = "${var.name}-bastion" })

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  root_block_device {
    encrypted = true
  }

  # A newer image is no reason to lose a session.
  lifecycle {
    ignore_changes = [ami]
  }

  depends_on = [aws_vpc_endpoint.session_manager]
}
