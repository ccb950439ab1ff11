"""Runs the handler of Sym's public role template, unchanged, from a checkout.

Argument: the directory with `handler.py`. Standard input: an event a line.
Standard output: the handler's answer to each.
"""

import json
import sys
import types

# Prints for people who run the handler by hand; nothing else needs it.
sys.modules["devtools"] = types.SimpleNamespace(debug=print)
sys.path.insert(0, sys.argv[1])

import handler  # noqa: E402

for line in sys.stdin:
    print(json.dumps(handler.handle(json.loads(line), None)), flush=True)
