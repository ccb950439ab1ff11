"""Who is which database user."""

from sym import Failure, Request, config, denied, parse_email


def resolve_user(request: Request) -> str:
    """The part of the address before the ``@``, for people of the domains that are
    configured."""
    email = parse_email(request.requester.username)
    if email is None:
        denied("Only people get access here, bots don't.")
    domains = config.require_list("domains")
    if not any(map(email.is_in, domains)):
        denied(f"Only people of {', '.join(domains)} get access here.")
    if request.strategy == "role":
        return email.local_part
    if request.strategy == "temporary-user":
        # Another name for each run: the end of its id, which may be short.
        return f"{email.local_part}_{request.run_id[-8:]}"
    raise Failure(
        "unknown-strategy",
        f"strategy is `{request.strategy}`, this plugin knows `role` and `temporary-user`",
    )
