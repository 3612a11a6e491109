// The status of an import as it changes, through connections that end and break.

import type { StatusView } from "./api.js";
import { ApiError, pause } from "./client.js";
import type { Client } from "./client.js";

const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;

export interface ServerEvent {
  event: string;
  data: string;
  id: string | undefined;
  retry: number | undefined;
}

/** Reads server-sent events as the HTML standard says. */
export async function* parse(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  let data: string[] = [];
  let event = "";
  let id: string | undefined;
  let retry: number | undefined;
  for await (const line of lines(body)) {
    if (line === "") {
      if (data.length > 0) yield { event: event || "message", data: data.join("\n"), id, retry };
      data = [];
      event = "";
      continue;
    }
    const colon = line.indexOf(":");
    // A comment, which says that the server lives.
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) retry = Number(value);
  }
}

/** Lines that end with CR, LF or both, whatever pieces they come in. */
async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of body) {
    rest += decoder.decode(piece, { stream: true });
    for (;;) {
      const end = /\r\n|\n|\r(?!$)/.exec(rest);
      if (!end) break;
      yield rest.slice(0, end.index);
      rest = rest.slice(end.index + end[0].length);
    }
  }
}

export function isOver(status: StatusView): boolean {
  return ["COMPLETED", "FAILED", "CANCELLED"].includes(status.run?.state ?? "");
}

/**
 * Yields each new status until the import is over. The server ends a stream after some minutes,
 * and networks break: it is opened again where it was.
 */
export async function* follow(
  client: Client,
  merchant: string | number,
  signal?: AbortSignal,
): AsyncGenerator<StatusView> {
  let lastEventId: string | undefined;
  let wait = FIRST_PAUSE_MS;
  for (;;) {
    try {
      const response = await client.open(merchant, lastEventId, signal);
      if (!response.body) throw new TypeError("the stream of events has no body");
      for await (const { event, data, id, retry } of parse(response.body)) {
        if (event !== "status") continue;
        lastEventId = id ?? lastEventId;
        wait = retry ?? FIRST_PAUSE_MS;
        const status = JSON.parse(data) as StatusView;
        yield status;
        if (isOver(status)) return;
      }
    } catch (error) {
      if (signal?.aborted) throw error;
      // Refused for good: another try would be refused as well.
      if (error instanceof ApiError && !error.mayPass) throw error;
      if (error instanceof SyntaxError) throw error;
      wait = Math.min(wait * 2, MAX_PAUSE_MS);
    }
    await pause(wait, signal);
  }
}
