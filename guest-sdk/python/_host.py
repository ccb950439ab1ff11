"""Between the host and a plugin's functions: what the host passes becomes what
``sym`` says, and whatever is raised becomes a failure.

No part of what a plugin uses: ``symctl plugin build`` imports it, and it is there
in a component alone.
"""

import io
import logging
import sys

from componentize_py_types import Err
from wit_world.imports import config as host_config
from wit_world.imports import log as host_log
from wit_world.imports import types as host_types

import sym
from sym import Actor, Failure, GrantRole, Identifier, Literal, Request, Sql, Target


class _Host:
    get = staticmethod(host_config.get)
    get_all = staticmethod(host_config.get_all)

    @staticmethod
    def write(level: str, message: str) -> None:
        # A lone surrogate is no text for the host.
        text = str(message).encode("utf-8", "replace").decode("utf-8")
        host_log.write(host_log.Level[level], text)


class _Lines(io.TextIOBase):
    """What is printed, one line of the log for each line."""

    def __init__(self, level: str, of_build: io.TextIOBase) -> None:
        self.level = level
        self.of_build = of_build
        self.rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if sym.host is not _Host:
            # The plugin is being built.
            return self.of_build.write(text)
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            if line:
                sym.host.write(self.level, line)
        return len(text)

    def end(self) -> None:
        if self.rest:
            sym.host.write(self.level, self.rest)
            self.rest = ""


class _Handler(logging.Handler):
    """``logging``, at the level that is nearest."""

    def emit(self, record: logging.LogRecord) -> None:
        levels = [(logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO")]
        level = next((name for least, name in levels if record.levelno >= least), "DEBUG")
        sym.host.write(level, self.format(record))


class _Formatter(logging.Formatter):
    def formatException(self, ei) -> str:  # noqa: N802, the name is logging's
        # The standard one reads source files, and there are none.
        return _describe(ei[1])


# Made when the plugin is built, and part of the snapshot that every call starts from.
sys.stdout = _out = _Lines("INFO", sys.stdout)
sys.stderr = _err = _Lines("ERROR", sys.stderr)
_handler = _Handler()
_handler.setFormatter(_Formatter("%(message)s"))


class _Record(logging.LogRecord):
    """Without the time: there is no clock to ask."""

    def __init__(self, name, level, pathname, lineno, msg, args, exc_info, func=None, sinfo=None, **_):
        self.name = name
        self.msg = msg
        self.args = args[0] if len(args or ()) == 1 and isinstance(args[0], dict) else args
        self.levelname = logging.getLevelName(level)
        self.levelno = level
        self.pathname = pathname
        self.filename = self.module = pathname
        self.exc_info = exc_info
        self.exc_text = None
        self.stack_info = sinfo
        self.lineno = lineno
        self.funcName = func
        self.created = self.msecs = self.relativeCreated = 0


def _end() -> None:
    if _out.rest or _err.rest:
        _out.end()
        _err.end()


logging.setLogRecordFactory(_Record)
_root = logging.getLogger()
_root.addHandler(_handler)
_root.setLevel(logging.DEBUG)


def _frames(error: BaseException) -> list:
    # Not `traceback`, which reads source files.
    frames = []
    frame = error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        name = code.co_filename.rsplit("/", 1)[-1]
        if name != "_host.py":
            frames.append(f"{name}:{frame.tb_lineno} in {code.co_name}")
        frame = frame.tb_next
    return frames


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "without a text"
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _describe(error: BaseException) -> str:
    frames = _frames(error)
    # The innermost few: a recursion has thousands.
    return f"{_text(error)} ({'; '.join(frames[-8:])})"


def _failure(code: str, message: str) -> Err:
    text = message.encode("utf-8", "replace").decode("utf-8")
    return Err(host_types.Failure(code, text))


def _failed(name: str, error: BaseException) -> Err:
    if isinstance(error, Failure):
        return _failure(str(error.code), str(error.message))
    place = _frames(error)
    described = f"{_text(error)} ({place[-1]})" if place else f"{name}: {_text(error)}"
    _Host.write("ERROR", _describe(error))
    return _failure("failed", described)


def resolver(module):
    """The class that componentize-py looks for."""

    class Resolver:
        def resolve_user(self, request):
            sym.host = _Host
            try:
                user = module.resolve_user(_request(request))
                _expect(user, str, "resolve_user", "a str")
                return user
            except BaseException as error:  # noqa: B902, nothing may be lost
                raise _failed("resolve_user", error) from None
            finally:
                _end()

    return Resolver


def target(module):
    """The class that componentize-py looks for."""

    class TargetSetup:
        def setup(self, request, username):
            sym.host = _Host
            try:
                steps = module.setup(_request(request), username)
                _expect(steps, (list, tuple), "setup", "a list of steps")
                return [_step(step, number) for number, step in enumerate(steps, 1)]
            except BaseException as error:  # noqa: B902, nothing may be lost
                raise _failed("setup", error) from None
            finally:
                _end()

    return TargetSetup


def _expect(value, kind, name, expected) -> None:
    if not isinstance(value, kind):
        returned = "None" if value is None else f"a value of type {type(value).__name__}"
        raise Failure("failed", f"{name} returned {returned}, expected {expected}")


def _like(cls, record, **changes):
    # Both have the same fields. A frozen class's own `__init__` sets each by a call.
    made = object.__new__(cls)
    made.__dict__.update(record.__dict__, **changes)
    return made


def _actor(actor):
    return _like(Actor, actor, identities=dict(actor.identities))


def _request(request):
    target = request.target
    return _like(
        Request,
        request,
        requester=_actor(request.requester),
        approver=_actor(request.approver) if request.approver else None,
        target=_like(Target, target, settings=dict(target.settings)),
        context=dict(request.context),
    )


def _checked(value, what: str) -> str:
    if not isinstance(value, str):
        raise Failure("failed", f"{what} is of type {type(value).__name__}, expected a str")
    return value


def _value(value, what: str):
    if isinstance(value, Identifier):
        return host_types.Value_Identifier(_checked(value.name, what))
    if isinstance(value, Literal):
        return host_types.Value_Literal(_checked(value.text, what))
    raise Failure("failed", f"{what} is neither an Identifier nor a Literal")


def _step(step, number: int):
    if isinstance(step, GrantRole):
        return host_types.Step_GrantRole(_checked(step.role, f"the role of step {number}"))
    if isinstance(step, Sql):
        args = [
            (name, _value(value, f"the value `{name}` of step {number}"))
            for name, value in step.args.items()
        ]
        text = _checked(step.sql, f"the SQL of step {number}")
        return host_types.Step_Sql(host_types.Statement(text, args))
    raise Failure("failed", f"step {number} is neither a GrantRole nor an Sql")


def _warm_up() -> None:
    """Calls what each call runs: the interpreter rewrites code after its first few
    runs, and a snapshot without that would pay for it, and for a copy of the page,
    in every call."""

    class Plugin:
        @staticmethod
        def resolve_user(request):
            return sym.parse_email(request.requester.username).local_part

        @staticmethod
        def setup(request, username):
            return [GrantRole("a"), Sql("b", {"c": Identifier("d"), "e": Literal(username)})]

    def request():
        actor = host_types.Actor("ada@a.example", "Ada", [("a", "b")])
        target = host_types.Target("a", "b", [("c", "d")])
        fields = dict(requester=actor, approver=actor, target=target, context=[("e", "f")])
        names = host_types.Request.__dataclass_fields__
        return host_types.Request(**{name: fields.get(name) for name in names})

    while_built = sym.host
    for _ in range(8):
        resolver(Plugin)().resolve_user(request())
        target(Plugin)().setup(request(), "ada")
    sym.host = while_built


_warm_up()
