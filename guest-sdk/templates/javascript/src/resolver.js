// Who is which database user.
import { config, denied, Failure, parseEmail } from "../sym/index.js";

/** The part of the address before the `@`, for people of the domain that is configured.
 * @param {import("../sym/index.js").Request} request
 * @returns {string}
 */
export function resolveUser(request) {
  const email = parseEmail(request.requester.username);
  if (!email) {
    throw denied("Only people get access here, bots don't.");
  }
  const domain = config.require("domain");
  if (!email.isIn(domain)) {
    throw denied(`Only people of ${domain} get access here.`);
  }
  switch (request.strategy) {
    case "role":
      return email.localPart;
    case "temporary-user":
      // Another name for each run.
      return `${email.localPart}_${request.runId.slice(0, 8)}`;
    default:
      throw new Failure(
        "unknown-strategy",
        `strategy is \`${request.strategy}\`, this plugin knows \`role\` and \`temporary-user\``,
      );
  }
}
