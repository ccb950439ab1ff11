# Alarms: each has a page of the same name in docs/runbook.md.
#
# The function always answers, so Lambda's own `Errors` counts what it could not
# answer: a crash, a timeout. What it answered with an error is its own metric,
# by who has to act (docs/metrics.md).
locals {
  metrics = "SymPostgres"

  alarms = {
    "revocation-failed" = {
      description = "Access could not be ended. The sweep tries again what the database refused; repeat what never reached it."
      namespace   = local.metrics
      metric      = "Events"
      dimensions  = { Function = var.name, Event = "deescalate", Outcome = "failed" }
      statistic   = "Sum"
      threshold   = 1
      period      = 60
      periods     = 1
    }
    "sweep-failed" = {
      description = "A sweep found access whose time is over and could not end it."
      namespace   = local.metrics
      metric      = "SweepFailed"
      dimensions  = { Function = var.name }
      statistic   = "Maximum"
      threshold   = 1
      period      = 300
      periods     = 1
    }
    "grants-overdue" = {
      description = "Access is open whose time is over, after three sweeps."
      namespace   = local.metrics
      metric      = "GrantsOverdue"
      dimensions  = { Function = var.name }
      statistic   = "Minimum"
      threshold   = 1
      period      = 300
      periods     = 3
    }
    "escalation-failed" = {
      description = "Somebody who was approved did not get access."
      namespace   = local.metrics
      metric      = "Events"
      dimensions  = { Function = var.name, Event = "escalate", Outcome = "failed" }
      statistic   = "Sum"
      threshold   = 1
      period      = 60
      periods     = 1
    }
    "release-kept" = {
      description = "A published release can't be used; the last good one serves."
      namespace   = local.metrics
      metric      = "ReleaseKept"
      dimensions  = { Function = var.name }
      statistic   = "Sum"
      threshold   = 1
      period      = 300
      periods     = 1
    }
    "function-errors" = {
      description = "The function ended without an answer: a crash, a timeout, a start that failed."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = var.name }
      statistic   = "Sum"
      threshold   = 1
      period      = 60
      periods     = 1
    }
    "function-throttled" = {
      description = "Events were turned away, because more came at once than `concurrency` allows."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = var.name }
      statistic   = "Sum"
      threshold   = 1
      period      = 60
      periods     = 1
    }
    "function-slow" = {
      description = "An event took four fifths of the function's time."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = var.name }
      statistic   = "Maximum"
      threshold   = var.timeout_seconds * 800
      period      = 300
      periods     = 1
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  # Nothing happened: no event, no metric.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.alarm_actions
  ok_actions         = var.alarm_actions
  tags               = var.tags
}

# The alarm on what doesn't happen: nobody would notice a sweep that has
# stopped, before it is needed.
resource "aws_cloudwatch_metric_alarm" "sweep_missing" {
  alarm_name          = "${var.name}-sweep-missing"
  alarm_description   = "No sweep has succeeded for half an hour: access whose event is lost stays, unless pg_cron ends it. The database alone only refuses a temporary user's new logins."
  namespace           = local.metrics
  metric_name         = "Events"
  dimensions          = { Function = var.name, Event = "sweep", Outcome = "done" }
  statistic           = "Sum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 1800
  evaluation_periods  = 1
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}
