// The API by operations, with its problems as errors.

import { routes } from "./api.js";
import type { Operations, Problem } from "./api.js";

/** Longer than the server takes to respond at the latest. */
const TIMEOUT_MS = 30_000;
/** Requests that change nothing by being repeated are tried so often. */
const TRIES = 4;

/** A problem as the server describes it (RFC 9457). */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly status: number,
    readonly problem: Problem | undefined,
    /** Says which request it was, in the server's log too. */
    readonly requestId: string | undefined,
    readonly retryAfterSeconds: number | undefined,
  ) {
    super(problem ? `${problem.code}: ${problem.detail}; ${problem.advice}` : `the server responded with ${status}`);
  }

  /** Whether the same request may succeed later. */
  get mayPass(): boolean {
    return this.status === 429 || this.status === 502 || this.status === 503 || this.status === 504;
  }

  static async of(response: Response): Promise<ApiError> {
    const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json");
    const problem = isProblem ? ((await response.json().catch(() => undefined)) as Problem | undefined) : undefined;
    if (!isProblem) await response.body?.cancel();
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    return new ApiError(
      response.status,
      problem,
      response.headers.get("x-request-id") ?? undefined,
      Number.isFinite(seconds) ? seconds : undefined,
    );
  }
}

type Arguments<K extends keyof Operations> = {
  query?: Operations[K]["query"];
} & (Operations[K]["body"] extends undefined ? { body?: undefined } : { body: Operations[K]["body"] });

export interface ClientOptions {
  /** Where the server is, such as https://sync.example.com. */
  server: string;
  /** A token of `salla-sync tokens create`. It stays in memory, and is sent to this server only. */
  token: string;
}

export class Client {
  readonly #server: URL;
  readonly #token: string;

  constructor(options: ClientOptions) {
    this.#server = new URL(options.server);
    this.#token = options.token;
  }

  /** Calls an operation for a merchant: our id of it, or Salla's id of the shop. */
  async call<K extends keyof Operations>(
    operation: K,
    merchant: string | number,
    given: Arguments<K>,
  ): Promise<Operations[K]["response"]> {
    const { method, path } = routes[operation];
    const url = this.url(path, merchant);
    for (const [name, value] of Object.entries(given.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    // All operations of this API may be repeated.
    for (let tries = 1; ; tries += 1) {
      try {
        return (await this.#once(method, url, given.body)) as Operations[K]["response"];
      } catch (error) {
        const mayPass = error instanceof ApiError ? error.mayPass : error instanceof TypeError;
        if (!mayPass || tries === TRIES) throw error;
        const wanted = error instanceof ApiError ? error.retryAfterSeconds : undefined;
        await pause((wanted ?? 2 ** (tries - 1)) * 1000);
      }
    }
  }

  async #once(method: string, url: URL, body: unknown): Promise<unknown> {
    const headers = new Headers({ authorization: `Bearer ${this.#token}`, accept: "application/json" });
    const request: RequestInit = { method, headers, redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS) };
    if (body !== undefined) {
      headers.set("content-type", "application/json");
      request.body = JSON.stringify(body);
    }
    const response = await fetch(url, request);
    if (!response.ok) throw await ApiError.of(response);
    return response.status === 204 ? undefined : response.json();
  }

  /** Opens a stream of events; the caller reads its body. */
  async open(merchant: string | number, lastEventId: string | undefined, signal?: AbortSignal): Promise<Response> {
    const headers = new Headers({ authorization: `Bearer ${this.#token}`, accept: "text/event-stream" });
    if (lastEventId !== undefined) headers.set("last-event-id", lastEventId);
    const url = this.url("/api/v1/merchants/{merchant}/sync/events", merchant);
    const request: RequestInit = { headers, redirect: "error" };
    if (signal) request.signal = signal;
    const response = await fetch(url, request);
    if (!response.ok) throw await ApiError.of(response);
    return response;
  }

  private url(path: string, merchant: string | number): URL {
    return new URL(path.replace("{merchant}", encodeURIComponent(String(merchant))), this.#server);
  }
}

export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stopped = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stopped);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stopped();
    else signal?.addEventListener("abort", stopped, { once: true });
  });
}
