// A server that takes salla-sync's messages.

import { createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

import { UnverifiedMessage, verify } from "./webhook.js";
import type { Message } from "./webhook.js";

const MAX_BODY = 1 << 20;

export interface Receiver {
  port: number;
  /** The next message that is genuine; each comes once. */
  next(): Promise<Message>;
  close(): void;
}

export async function receive(secret: string, port: number): Promise<Receiver> {
  const arrived: Message[] = [];
  const waiting: Array<(message: Message) => void> = [];
  // A message may come twice. In your backend the ids belong into the database.
  const seen = new Set<string>();
  const server = createServer(async (request, response) => {
    try {
      const { id, message } = verify(secret, request.headers, await body(request));
      if (!seen.has(id)) {
        seen.add(id);
        const first = waiting.shift();
        if (first) first(message);
        else arrived.push(message);
      }
      response.writeHead(204).end();
    } catch (error) {
      response.writeHead(error instanceof UnverifiedMessage ? 401 : 400).end();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    next: () => {
      const first = arrived.shift();
      return first ? Promise.resolve(first) : new Promise((resolve) => waiting.push(resolve));
    },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function body(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > MAX_BODY) throw new Error("the message is too long");
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
