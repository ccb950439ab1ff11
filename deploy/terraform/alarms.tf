# Alarms: each has a page of the same name in docs/runbook.md.
#
# The function always answers, so Lambda's own `Errors` counts what it could not
# answer: a crash, a timeout. What it answered with an error is its own metric,
# by who has to act (docs/metrics.md).
#
# What a sweep says holds until the next one says otherwise (`of_sweep`). The others
# are about single events: that no more of them came says nothing of the last, so
# nobody is told OK, and missing data is none.
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
      of_sweep    = false
    }
    "sweep-failed" = {
      description = "A sweep found access whose time is over and could not end it."
      namespace   = local.metrics
      metric      = "SweepFailed"
      dimensions  = { Function = var.name }
      statistic   = "Maximum"
      threshold   = 1
      period      = 300
      of_sweep    = true
    }
    # Not three periods of 300 s: where the schedule is slower there are never three of them
    # side by side that have a sweep.
    "grants-overdue" = {
      description = "Access is open whose time is over, after every sweep of a quarter of an hour."
      namespace   = local.metrics
      metric      = "GrantsOverdue"
      dimensions  = { Function = var.name }
      statistic   = "Minimum"
      threshold   = 1
      period      = 900
      of_sweep    = true
    }
    "grants-unexplained" = {
      description = "Somebody has access that the function's user gave and no open run explains: of it sweeps remove temporary users alone, when their time is over."
      namespace   = local.metrics
      metric      = "GrantsUnexplained"
      dimensions  = { Function = var.name }
      statistic   = "Maximum"
      threshold   = 1
      period      = 300
      of_sweep    = true
    }
    "escalation-failed" = {
      description = "Somebody who was approved did not get access."
      namespace   = local.metrics
      metric      = "Events"
      dimensions  = { Function = var.name, Event = "escalate", Outcome = "failed" }
      statistic   = "Sum"
      threshold   = 1
      period      = 60
      of_sweep    = false
    }
    "release-kept" = {
      description = "A published release can't be used; the last good one serves."
      namespace   = local.metrics
      metric      = "ReleaseKept"
      dimensions  = { Function = var.name }
      statistic   = "Sum"
      threshold   = 1
      period      = 300
      of_sweep    = false
    }
    "function-errors" = {
      description = "The function ended without an answer: a crash, a timeout, a start that failed."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = var.name }
      statistic   = "Sum"
      threshold   = 1
      period      = 60
      of_sweep    = false
    }
    "function-throttled" = {
      description = "Events were turned away, because more came at once than `concurrency` allows."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = var.name }
      statistic   = "Sum"
      threshold   = 1
      period      = 60
      of_sweep    = false
    }
    "function-slow" = {
      description = "An event took four fifths of the function's time."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = var.name }
      statistic   = "Maximum"
      threshold   = var.timeout_seconds * 800
      period      = 300
      of_sweep    = false
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
  evaluation_periods  = 1
  treat_missing_data  = each.value.of_sweep ? "ignore" : "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = each.value.of_sweep ? var.alarm_actions : []
  tags                = var.tags
}

# The alarm on what doesn't happen: nobody would notice a sweep that has
# stopped, before it is needed. One that ran counts, also where a run that nobody can
# end has it fail: that is `sweep-failed`, and would hide here that it stops.
#
# Filled with zeros, as CloudWatch looks back further than its periods: one sweep
# there would count for all that are missing since. Source: Amazon CloudWatch user
# guide, "Configuring how CloudWatch alarms treat missing data".
resource "aws_cloudwatch_metric_alarm" "sweep_missing" {
  alarm_name          = "${var.name}-sweep-missing"
  alarm_description   = "No sweep has asked the database for half an hour: access whose event is lost stays, unless pg_cron ends it. The database alone only refuses a temporary user's new logins."
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  evaluation_periods  = 6
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags

  metric_query {
    id          = "filled"
    label       = "Sweeps that asked the database"
    expression  = "FILL(sweeps, 0)"
    return_data = true
  }

  metric_query {
    id = "sweeps"

    metric {
      namespace   = local.metrics
      metric_name = "SweepFound"
      dimensions  = { Function = var.name }
      stat        = "SampleCount"
      period      = 300
    }
  }
}
