"""Runs one hook of a Sym flow as Sym would, with a double of Sym's SDK.

Standard input: a line of JSON with the path of `impl.py`, the hook's name, the
event, and what the function answered to it (for hooks after it). Then a line with
an answer for each invocation of the function.
Standard output: a line of JSON for each message and each invocation.
"""

import importlib.util
import json
import sys
import types


def say(what):
    print(json.dumps(what), flush=True)


def hear():
    return json.loads(sys.stdin.readline())


class Flow:
    vars = {"lambda_arn": "arn:aws:lambda:us-east-1:123456789012:function:sym-postgres"}


class Event:
    def __init__(self, payload):
        self.payload = payload
        self.flow = Flow()

    def get_actor(self, name):
        return self.payload["run"]["actors"][name]["username"]


class AwsLambdaError(Exception):
    """What the SDK raises where the function can't be invoked."""


def invoke(arn, payload=None):
    assert arn == Flow.vars["lambda_arn"], arn
    say({"invoke": payload.payload if isinstance(payload, Event) else payload})
    answer = hear()
    if answer is None:
        raise AwsLambdaError()
    return answer


def module(name, **members):
    made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made
    return made


task = hear()
hooks = {}


def hook(function):
    hooks[function.__name__] = function
    return function


slack = types.SimpleNamespace(
    channel=lambda name: name,
    send_message=lambda to, text: say({"message": text, "to": to}),
)
module("sym")
module("sym.sdk")
module("sym.sdk.annotations", hook=hook, reducer=hook)
module("sym.sdk.integrations", slack=slack, aws_lambda=types.SimpleNamespace(invoke=invoke))
module("sym.sdk.notifications", Notification=lambda destinations: {"destinations": destinations})
module(
    "sym.sdk.request_permission",
    PermissionLevel=types.SimpleNamespace(ADMIN="admin", MEMBER="member"),
    RequestPermission=lambda **options: options,
)
module("sym.sdk.templates", get_step_output=lambda: task["output"])

spec = importlib.util.spec_from_file_location("impl", task["implementation"])
implementation = importlib.util.module_from_spec(spec)
spec.loader.exec_module(implementation)
result = hooks[task["hook"]](Event(task["event"]))
say({"returned": result})
