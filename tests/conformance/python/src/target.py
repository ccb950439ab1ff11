"""What a target means."""

from orders import FLOOD, floods, obey
from sym import GrantRole, Identifier, Literal, Request, Sql, Step


def setup(request: Request, username: str) -> list[Step]:
    obey(request)
    if floods():
        return [GrantRole("x" * FLOOD)]
    settings = request.target.settings
    if "roles" in settings:
        return [GrantRole(f"role_{number}") for number in range(1, int(settings["roles"]) + 1)]
    steps: list[Step] = [GrantRole(settings.get("role", "readonly"))]
    if request.strategy == "temporary-user":
        if "tables" in settings:
            steps += [
                Sql("GRANT SELECT ON TABLE {table} TO {username}", {"table": Identifier(table)})
                for table in settings["tables"].split(",")
            ]
        if "note" in settings:
            note = Literal(settings["note"])
            steps.append(Sql("INSERT INTO notes VALUES ({note})", {"note": note}))
    return steps
