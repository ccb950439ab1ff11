"""Who is which database user."""

import logging

from orders import FLOOD, floods, obey
from sym import Request, config, denied, parse_email


def resolve_user(request: Request) -> str:
    obey(request)
    if config.get("do") == "nothing":
        return None  # type: ignore[return-value]
    if config.get("do") == "recurse":
        return resolve_user(request)
    if config.get("do") == "logging":
        logging.getLogger("plugin").warning("careful with %s", request.target.name)
    if floods():
        return "x" * FLOOD
    what = config.get("show")
    if what is not None:
        shown = show(request, what)
        return "absent" if shown is None else shown
    email = parse_email(request.requester.username)
    if email is None:
        denied(f"Not a person: {request.requester.username}")
    domain = config.get("domain")
    if domain is not None and not email.is_in(domain):
        denied(f"Not of {domain}")
    if request.strategy == "temporary-user":
        return f"{email.local_part}_{request.run_id[:8]}"
    return email.local_part


def show(request: Request, what: str) -> "str | None":
    kind, dot, key = what.partition(".")
    if kind == "list":
        items = config.list(key)
        return None if items is None else f"{len(items)}:{'|'.join(items)}"
    if dot:
        pairs = {
            "setting": request.target.settings,
            "identity": request.requester.identities,
            "context": request.context,
        }
        return config.get(key) if kind == "config" else pairs[kind].get(key)
    duration = request.duration_seconds
    return {
        "run-id": request.run_id,
        "strategy": request.strategy,
        "username": request.requester.username,
        "name": request.requester.name,
        "approver": request.approver and request.approver.username,
        "target": request.target.name,
        "label": request.target.label,
        "flow": request.flow,
        "reason": request.reason,
        "duration": None if duration is None else str(duration),
        "event-time": request.event_time,
        "quotes": str(request.event_json.count('"')),
        "config": str(len(config.all())),
    }.get(what)
