"""The Sym flow: who approves, what the approver sees, and what the requester is told.

The function serves both strategies, and so does this file.
"""

from sym.sdk.annotations import hook, reducer
from sym.sdk.integrations import aws_lambda, slack
from sym.sdk.notifications import Notification
from sym.sdk.request_permission import PermissionLevel, RequestPermission
from sym.sdk.templates import get_step_output

REQUESTS = "#sym-requests"


@reducer
def get_permissions(event):
    """Members approve; nobody approves their own request."""
    return RequestPermission(
        webapp_view=PermissionLevel.ADMIN,
        approve_deny=PermissionLevel.MEMBER,
        allow_self_approval=False,
    )


@reducer
def get_request_notifications(event):
    """Where the request is shown."""
    return [Notification(destinations=[slack.channel(REQUESTS)])]


@hook
def after_request(event):
    """Shows the approver what an approval would do, below the request.

    The function is sent this very event, of the type `request`: a dry run, which
    changes nothing. Whatever stands in the way shows now, and not when somebody
    needs the access.
    """
    try:
        answer = aws_lambda.invoke(event.flow.vars["lambda_arn"], event)
        errors, plan = answer["errors"], answer["body"].get("plan")
    except Exception as error:  # It is no reason against the request.
        message = f"No dry run: the function can't be asked ({type(error).__name__})."
    else:
        if errors:
            lines = "\n".join(f"• {error}" for error in errors)
            message = f"An approval would fail now:\n{lines}"
        else:
            message = f"An approval would give: {plan}"
    slack.send_message(slack.channel(REQUESTS), message)


@hook
def after_escalate(event):
    """Tells the requester how to use what they got."""
    output = get_step_output()
    # Sym tells the requester of errors itself.
    if output["errors"]:
        return

    body = output["body"]
    if "secret_name" in body:
        message = (
            f"Your database user is `{body['username']}`; it can log in until {body['expires_at']} at the latest.\n"
            f"Its password is in AWS Secrets Manager, in the secret `{body['secret_name']}`."
        )
    else:
        message = f"Your database user `{body['username']}` has access now."
    slack.send_message(event.get_actor("request"), message)


@hook
def after_deescalate(event):
    """Says it where the end left something to know."""
    output = get_step_output()
    # Sym tells of errors itself.
    if output["errors"]:
        return

    body = output["body"]
    found = [body[key] for key in ("note", "gained", "made") if key in body]
    for path in body.get("remaining", []):
        found.append(f"the membership in `{path['through']}` that `{path['grantor']}` granted remains")
    if found:
        slack.send_message(slack.channel(REQUESTS), f"Access ended: {'; '.join(found)}.")
