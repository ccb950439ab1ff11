// What the configuration orders, in both functions.
import { config, denied, Failure, log, type Request } from "../sym/index.js";

/** Two MiB: more than a plugin may answer. */
export const FLOOD = 2 << 20;

export function obey(request: Request): void {
  const line = config.get("log");
  if (line !== undefined) {
    log.info(line);
  }
  if (config.get("levels") !== undefined) {
    log.debug("one");
    log.info("two");
    log.warn("three");
    log.error("four");
  }
  const text = config.get("print");
  if (text !== undefined) {
    console.log(text);
  }
  switch (config.get("do")) {
    case "deny":
      throw denied(`Denied: ${request.requester.username}`);
    case "fail":
      throw new Failure("out-of-order", "Call the operator.");
    case "panic":
      throw new TypeError("out of cheese");
    case "loop":
      for (;;);
    case "memory":
      for (const all: Uint8Array[] = []; ; ) {
        all.push(new Uint8Array(1 << 20));
      }
    case "chatter":
      for (let i = 0; i < 1000; i++) {
        log.info(`line ${i}`);
      }
  }
}

export function floods(): boolean {
  return config.get("do") === "flood";
}
