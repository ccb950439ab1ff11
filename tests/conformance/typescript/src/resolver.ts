// Who is which database user.
import { config, denied, parseEmail, type Request } from "../sym/index.js";
import { FLOOD, floods, obey } from "./orders.js";

export function resolveUser(request: Request): string {
  obey(request);
  if (config.get("do") === "nothing") {
    return undefined as unknown as string;
  }
  if (floods()) {
    return "x".repeat(FLOOD);
  }
  const what = config.get("show");
  if (what !== undefined) {
    return show(request, what) ?? "absent";
  }
  const email = parseEmail(request.requester.username);
  if (!email) {
    throw denied(`Not a person: ${request.requester.username}`);
  }
  const domain = config.get("domain");
  if (domain !== undefined && !email.isIn(domain)) {
    throw denied(`Not of ${domain}`);
  }
  return request.strategy === "temporary-user"
    ? `${email.localPart}_${request.runId.slice(0, 8)}`
    : email.localPart;
}

function show(request: Request, what: string): string | undefined {
  const dot = what.indexOf(".");
  const key = what.slice(dot + 1);
  switch (dot < 0 ? "" : what.slice(0, dot)) {
    case "config":
      return config.get(key);
    case "list": {
      const items = config.list(key);
      return items && `${items.length}:${items.join("|")}`;
    }
    case "setting":
      return request.target.settings.get(key);
    case "identity":
      return request.requester.identities.get(key);
    case "context":
      return request.context.get(key);
  }
  switch (what) {
    case "run-id":
      return request.runId;
    case "strategy":
      return request.strategy;
    case "username":
      return request.requester.username;
    case "name":
      return request.requester.name;
    case "approver":
      return request.approver?.username;
    case "target":
      return request.target.name;
    case "label":
      return request.target.label;
    case "flow":
      return request.flow;
    case "reason":
      return request.reason;
    case "duration":
      return request.durationSeconds?.toString();
    case "event-time":
      return request.eventTime;
    case "quotes":
      return String(request.eventJson.split('"').length - 1);
    case "config":
      return String(config.all().size);
  }
}
