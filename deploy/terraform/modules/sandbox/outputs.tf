# What the function and people need of the sandbox.
output "db_config" {
  description = "How the function reaches the database: by IAM, so there is no password."
  value = {
    host        = aws_db_instance.this.address
    port        = aws_db_instance.this.port
    name        = aws_db_instance.this.db_name
    user        = "sym_bot"
    ledger      = aws_db_instance.this.db_name
    resource_id = aws_db_instance.this.resource_id
  }
}

output "admin_secret_arn" {
  description = "The master user's secret."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "private_subnet_ids" {
  description = "The function's subnets."
  value       = aws_subnet.private[*].id
}

output "function_security_group_id" {
  description = "The function's security group."
  value       = aws_security_group.function.id
}

output "bastion_id" {
  description = "The bastion's instance."
  value       = aws_instance.bastion.id
}

output "endpoints" {
  description = "Where the function's endpoints go."
  value = {
    vpc_id          = aws_vpc.this.id
    route_table_ids = [aws_route_table.private.id]
  }
}
