"""Write a plugin for the sym PostgreSQL host in Python.

A plugin answers one or both of two questions: ``resolve_user`` in
``src/resolver.py`` and ``setup`` in ``src/target.py``. It gets data and answers
data: it has no network, no files, no clock and no database. Each call runs in a
fresh instance, so nothing lives on.

What you raise is never lost: a ``Failure`` is the answer, any other exception
becomes a fault with its text and place, and ``print`` and ``logging`` go to the
plugin's log.

Import everything at the top of a module: what was not imported when the plugin
was built is not there when it runs. What stands outside a function runs once, when
the plugin is built: a time there is the build's.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, NoReturn, Optional, Union

__all__ = [
    "Actor", "Email", "Failure", "GrantRole", "Identifier", "Literal", "Request", "Sql", "Step",
    "Target", "config", "denied", "log", "parse_email",
]


@dataclass(frozen=True)
class Actor:
    """A person, or a bot, as Sym names them."""

    username: str
    """An email address for people, a bare name for bots. The only field that is
    the same in every event of a run."""
    name: Optional[str] = None
    """Their display name."""
    identities: Mapping[str, str] = field(default_factory=dict)
    """What Sym sent of their identity in another service. Differs between the
    events of one run: good for display, not as a key."""


@dataclass(frozen=True)
class Target:
    """What access is asked for."""

    name: str
    """The target's ``name`` in Sym's Terraform."""
    label: Optional[str] = None
    """What the person saw in the menu."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The target's ``settings``. Values that are not strings arrive as JSON."""


@dataclass(frozen=True)
class Request:
    """One request for access: approved, or about to be shown to its approvers."""

    run_id: str
    """Identifies the request. From Sym a UUID in lower case; from a person who gives
    access without Sym up to 64 lower case letters, digits, ``-`` and ``_``."""
    strategy: str
    """``role`` or ``temporary-user``. More may come: refuse what you don't know."""
    requester: Actor
    approver: Optional[Actor]
    """Who approved, where the event says so."""
    target: Target
    flow: str
    reason: Optional[str]
    """Why, in the requester's words."""
    duration_seconds: Optional[int]
    """How long, where the flow has a duration."""
    event_time: str
    """When Sym sent the event: RFC 3339, in UTC."""
    context: Mapping[str, str]
    """``org``, ``run-srn``, ``schema-version``, ``channel``; more may come."""
    event_json: str
    """The whole event, as JSON."""

    def event(self) -> Any:
        """The whole event, read."""
        return json.loads(self.event_json)


@dataclass(frozen=True)
class Identifier:
    """The name of a role, a schema, a table. At most 63 bytes."""

    name: str


@dataclass(frozen=True)
class Literal:
    """A string constant."""

    text: str


Value = Union[Identifier, Literal]


@dataclass(frozen=True)
class GrantRole:
    """Makes the user a member of this role. For the strategy ``role``, the one step."""

    role: str


@dataclass(frozen=True)
class Sql:
    """Runs one statement, for a temporary user.

    ``{username}`` is always there. Never write a value into ``sql`` yourself: give
    it a placeholder, and the host quotes it::

        Sql("GRANT SELECT ON TABLE {table} TO {username}", {"table": Identifier("orders")})
    """

    sql: str
    args: Mapping[str, Value] = field(default_factory=dict)


Step = Union[GrantRole, Sql]


class Failure(Exception):
    """Why a plugin doesn't answer: raise it.

    ``code`` in lower case with hyphens; ``message`` is one sentence: what, and
    what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def denied(message: str) -> NoReturn:
    """Decides against the request: the requester reads the message."""
    raise Failure("denied", message)


@dataclass(frozen=True)
class Email:
    """An email address that a decision may stand on."""

    local_part: str
    domain: str

    def is_in(self, domain: str) -> bool:
        """Whether it is in this very domain. A subdomain is another domain."""
        return _lower(self.domain) == _lower(domain)


# Blanks (Unicode's White_Space) and control characters: \s is something else.
_UNCLEAR = re.compile(
    "[\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
)


def _lower(text: str) -> str:
    # Only ASCII letters: beyond them, letters that look alike become the same one.
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def parse_email(text: str) -> Optional[Email]:
    """Splits an address. ``None`` for a bot's name, and for anything that could be
    read in two ways: with a second ``@``, a blank or a control character."""
    parts = text.split("@")
    if len(parts) != 2 or not all(parts) or _UNCLEAR.search(text):
        return None
    return Email(*parts)


class _Host:
    """What the host gives a plugin. ``_host.py`` puts the real thing here; in a
    test on your own machine it is empty, and tests may set ``settings``."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}

    def get(self, key: str) -> Optional[str]:
        return self.settings.get(key)

    def get_all(self) -> list[tuple[str, str]]:
        return sorted(self.settings.items())

    def write(self, level: str, message: str) -> None:
        pass


host = _Host()


class _Config:
    """The plugin's settings: the ``config`` table of its entry in ``plugins.toml``."""

    def get(self, key: str) -> Optional[str]:
        """The value of a key. A value that is no string arrives as JSON."""
        return host.get(key)

    def require(self, key: str) -> str:
        """The value of a key that has to be there."""
        value = self.get(key)
        if value is None:
            raise _invalid(key, "is missing, set it in `plugins.toml`")
        return value

    def list(self, key: str) -> "Optional[list[str]]":
        """An array of strings, or one string with commas."""
        value = self.get(key)
        if value is None:
            return None
        value = value.strip()
        if not value.startswith(("[", "{")):
            return [item.strip() for item in value.split(",") if item.strip()]
        try:
            items = json.loads(value)
        except ValueError:
            items = None
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise _invalid(key, "has to be a list of strings")
        return [item.strip() for item in items]

    def require_list(self, key: str) -> "list[str]":
        """The same of a list that has to be there, and to have something in it."""
        items = self.list(key)
        if not items:
            raise _invalid(key, "is missing or empty, list at least one value in `plugins.toml`")
        return items

    def all(self) -> dict[str, str]:
        """All keys and values, in the order of the keys."""
        return dict(host.get_all())


def _invalid(key: str, problem: str) -> Failure:
    return Failure("invalid-config", f"config `{key}` {problem}")


class _Log:
    """Lines in the host's log, with the plugin's name, its version and the run."""

    def debug(self, message: str) -> None:
        host.write("DEBUG", message)

    def info(self, message: str) -> None:
        host.write("INFO", message)

    def warn(self, message: str) -> None:
        host.write("WARN", message)

    def error(self, message: str) -> None:
        host.write("ERROR", message)


config = _Config()
log = _Log()
