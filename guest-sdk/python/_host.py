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

    def __init__(self, level: str) -> None:
        self.level = level
        self.rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
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
_out = _Lines("INFO")
_err = _Lines("ERROR")
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


def _begin() -> None:
    sym.host = _Host
    sys.stdout = _out
    sys.stderr = _err


def _end() -> None:
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


def _guard(name, body):
    _begin()
    try:
        return body()
    except Failure as failure:
        raise _failure(str(failure.code), str(failure.message)) from None
    except BaseException as error:  # noqa: B902, nothing may be lost
        place = _frames(error)
        described = f"{_text(error)} ({place[-1]})" if place else f"{name}: {_text(error)}"
        _Host.write("ERROR", _describe(error))
        raise _failure("failed", described) from None
    finally:
        _end()


def resolver(module):
    """The class that componentize-py looks for."""

    class Resolver:
        def resolve_user(self, request):
            def body():
                user = module.resolve_user(_request(request))
                _expect(user, str, "resolve_user", "a str")
                return user

            return _guard("resolve_user", body)

    return Resolver


def target(module):
    """The class that componentize-py looks for."""

    class TargetSetup:
        def setup(self, request, username):
            def body():
                steps = module.setup(_request(request), username)
                _expect(steps, (list, tuple), "setup", "a list of steps")
                return [_step(step, number) for number, step in enumerate(steps, 1)]

            return _guard("setup", body)

    return TargetSetup


def _expect(value, kind, name, expected) -> None:
    if not isinstance(value, kind):
        returned = "None" if value is None else f"a value of type {type(value).__name__}"
        raise Failure("failed", f"{name} returned {returned}, expected {expected}")


def _actor(actor):
    return Actor(actor.username, actor.name, dict(actor.identities))


def _request(request):
    target = request.target
    return Request(
        run_id=request.run_id,
        strategy=request.strategy,
        requester=_actor(request.requester),
        approver=_actor(request.approver) if request.approver else None,
        target=Target(target.name, target.label, dict(target.settings)),
        flow=request.flow,
        reason=request.reason,
        duration_seconds=request.duration_seconds,
        event_time=request.event_time,
        context=dict(request.context),
        event_json=request.event_json,
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
