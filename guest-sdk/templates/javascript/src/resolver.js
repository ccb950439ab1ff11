// Who is which database user.
import { config, denied, Failure, parseEmail } from "../sym/index.js";

/** The part of the address before the `@`, for people of the domains that are configured.
 * @param {import("../sym/index.js").Request} request
 * @returns {string}
 */
export function resolveUser(request) {
  const email = parseEmail(request.requester.username);
  if (!email) {
    throw denied("Only people get access here, bots don't.");
  }
  const domains = config.requireList("domains");
  if (!domains.some(email.isIn)) {
    throw denied(`Only people of ${domains.join(", ")} get access here.`);
  }
  switch (request.strategy) {
    case "role":
      return email.localPart;
    case "temporary-user":
      // Another name for each run: the end of its id, which may be short.
      return `${email.localPart}_${request.runId.slice(-8)}`;
    default:
      throw new Failure(
        "unknown-strategy",
        `strategy is \`${request.strategy}\`, this plugin knows \`role\` and \`temporary-user\``,
      );
  }
}
