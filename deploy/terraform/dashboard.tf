# One page of graphs. The first row is what must never go wrong.
locals {
  graphs = [
    {
      title = "Open, overdue and unexplained grants"
      stat  = "Maximum"
      metrics = [
        [local.metrics, "GrantsOpen", "Function", var.name],
        [local.metrics, "GrantsOverdue", "Function", var.name],
        [local.metrics, "GrantsUnexplained", "Function", var.name],
      ]
    },
    {
      title = "Sweeps: found, and not ended"
      stat  = "Sum"
      metrics = [
        [local.metrics, "SweepFound", "Function", var.name],
        [local.metrics, "SweepFailed", "Function", var.name],
      ]
    },
    {
      title = "Ends of access, by outcome"
      stat  = "Sum"
      metrics = [for outcome in ["done", "refused", "failed"] :
        [local.metrics, "Events", "Function", var.name, "Event", "deescalate", "Outcome", outcome]
      ]
    },
    {
      title = "Escalations, by outcome"
      stat  = "Sum"
      metrics = [for outcome in ["done", "denied", "refused", "failed"] :
        [local.metrics, "Events", "Function", var.name, "Event", "escalate", "Outcome", outcome]
      ]
    },
    {
      title = "Time of an event (ms)"
      stat  = "p95"
      metrics = [for event in ["escalate", "deescalate", "sweep"] :
        [local.metrics, "Duration", "Function", var.name, "Event", event]
      ]
    },
    {
      title = "Where it goes (ms)"
      stat  = "p95"
      metrics = [for metric in ["ReleaseTime", "ConnectTime", "PluginTime", "DatabaseTime", "SecretTime"] :
        [local.metrics, metric, "Function", var.name]
      ]
    },
    {
      title = "Releases"
      stat  = "Sum"
      metrics = [for metric in ["ReleaseLoaded", "ReleaseChanged", "ReleaseKept", "CompiledInPlace"] :
        [local.metrics, metric, "Function", var.name]
      ]
    },
    {
      title   = "Fuel of the plugins"
      stat    = "Maximum"
      metrics = [[local.metrics, "PluginFuel", "Function", var.name]]
    },
    {
      title = "Lambda"
      stat  = "Sum"
      metrics = [for metric in ["Invocations", "Errors", "Throttles"] :
        ["AWS/Lambda", metric, "FunctionName", var.name]
      ]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "${var.name}-${local.region}"
  dashboard_body = jsonencode({
    widgets = [for index, graph in local.graphs : {
      type   = "metric"
      x      = index % 3 * 8
      y      = floor(index / 3) * 6
      width  = 8
      height = 6
      properties = {
        title   = graph.title
        region  = local.region
        stat    = graph.stat
        period  = 300
        view    = "timeSeries"
        metrics = graph.metrics
      }
    }]
  })
}
