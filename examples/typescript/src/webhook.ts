// Messages of salla-sync to your backend: who sent them is checked as Standard Webhooks says.

import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

/** Maximum age of a message: an older one may have been recorded and replayed. */
const TOLERANCE_SECONDS = 5 * 60;

export interface Message {
  type: "SYNC_COMPLETE" | "SYNC_FAILED" | "RECONNECT_NEEDED" | "ALERT" | (string & {});
  timestamp: string;
  data: Record<string, unknown>;
}

export class UnverifiedMessage extends Error {
  override readonly name = "UnverifiedMessage";
}

/**
 * The message, if it was sent with `secret` (`whsec_…`).
 *
 * `body` are the bytes as they came: JSON that was read and written again has another signature.
 */
export function verify(
  secret: string,
  headers: IncomingHttpHeaders,
  body: Buffer,
  now: Date = new Date(),
): { id: string; message: Message } {
  const id = single(headers, "webhook-id");
  const timestamp = single(headers, "webhook-timestamp");
  const signatures = single(headers, "webhook-signature");
  const seconds = Number(timestamp);
  if (!/^\d+$/.test(timestamp) || Math.abs(now.getTime() / 1000 - seconds) > TOLERANCE_SECONDS) {
    throw new UnverifiedMessage("the message was sent too long ago, or a clock is wrong");
  }
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // While a secret is being changed there may be a signature for each.
  const isSigned = signatures.split(" ").some((one) => {
    const [version, signature] = one.split(",", 2);
    const given = Buffer.from(signature ?? "", "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!isSigned) throw new UnverifiedMessage("the message is not signed with this secret");
  return { id, message: JSON.parse(body.toString("utf8")) as Message };
}

function single(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name];
  if (typeof value !== "string" || value === "") throw new UnverifiedMessage(`the message has no ${name}`);
  return value;
}
