"""What the configuration orders, in both functions."""

from sym import Failure, Request, config, denied, log

FLOOD = 2 << 20
"""Two MiB: more than a plugin may answer."""


def obey(request: Request) -> None:
    line = config.get("log")
    if line is not None:
        log.info(line)
    if config.get("levels") is not None:
        log.debug("one")
        log.info("two")
        log.warn("three")
        log.error("four")
    text = config.get("print")
    if text is not None:
        print(text)
    order = config.get("do")
    if order == "deny":
        denied(f"Denied: {request.requester.username}")
    if order == "fail":
        raise Failure("out-of-order", "Call the operator.")
    if order == "panic":
        raise ValueError("out of cheese")
    if order == "loop":
        while True:
            pass
    if order == "memory":
        everything = []
        while True:
            everything.append(bytearray(1 << 20))
    if order == "chatter":
        for number in range(1000):
            log.info(f"line {number}")


def floods() -> bool:
    return config.get("do") == "flood"
