"""What a target means."""

from sym import GrantRole, Identifier, Request, Sql, Step, log


def setup(request: Request, username: str) -> list[Step]:
    """The role of the target's setting ``role``; a temporary user may also read
    the table of its setting ``table``."""
    settings = request.target.settings
    steps: list[Step] = [GrantRole(settings.get("role", "readonly"))]
    if "table" in settings and request.strategy == "temporary-user":
        table = settings["table"]
        log.info(f"{username} may read {table}")
        steps.append(
            Sql("GRANT SELECT ON TABLE {table} TO {username}", {"table": Identifier(table)})
        )
    return steps
