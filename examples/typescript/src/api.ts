// Written by scripts/types.mjs from the server's /openapi.json. Do not edit.

export interface ConnectionView {
  detail?: string | null;
  /**
   * Why it no longer serves.
   */
  reason?: string | null;
  /**
   * `connected`, `disconnected` or `none`.
   */
  state: string;
}

/**
 * Since when orders are there without a gap.
 */
export interface CoverageView {
  lineItemsSince?: string | null;
  totalsSince?: string | null;
}

export interface DaysView {
  from: string;
  to: string;
}

export interface ErrorView {
  /**
   * What the reader can do.
   */
  advice: string;
  /**
   * Stable, for programs.
   */
  code: string;
  message: string;
}

/**
 * How long it will still take, at best and at worst.
 */
export interface EtaView {
  maxSeconds: number;
  minSeconds: number;
  reason: string;
}

export interface MarkRequest {
  /**
   * At most 200.
   */
  ids: Array<string>;
}

export interface NotificationPage {
  items: Array<NotificationView>;
  /**
   * Where the next page begins; absent on the last one.
   */
  nextCursor?: string | null;
}

export interface NotificationView {
  body: TextView;
  endedAt: string;
  error?: ErrorView | null;
  id: string;
  /**
   * SYNC_COMPLETE, SYNC_FAILED or RECONNECT_NEEDED.
   */
  kind: string;
  readAt?: string | null;
  runId: string;
  title: TextView;
}

/**
 * A problem: a stable code, a sentence about what went wrong, and what can be done.
 */
export interface Problem {
  /**
   * What the reader can do.
   */
  advice: string;
  /**
   * Stable, for programs.
   */
  code: string;
  detail: string;
  status: number;
  title: string;
  /**
   * Names the kind of problem.
   */
  type: string;
}

export interface RejectedPage {
  items: Array<RejectedView>;
  /**
   * Where the next page begins; absent on the last one.
   */
  nextCursor?: string | null;
}

export interface RejectedView {
  code: string;
  firstSeenAt: string;
  jsonPath: string;
  /**
   * Which response it came in, such as order_detail.
   */
  kind: string;
  lastSeenAt: string;
  message: string;
  raw?: string | null;
  resource: string;
  sallaId?: number | null;
}

/**
 * Different records that were imported: by this run, or by all so far where it only reads what
 * is older or has changed.
 */
export interface ResourcesView {
  customers: number;
  orders: number;
  /**
   * Orders that have their amounts and line items.
   */
  ordersCompleted: number;
  products: number;
  /**
   * Records that could not be read.
   */
  rejected: number;
}

export interface RunView {
  completedAt?: string | null;
  coverage: CoverageView;
  createdAt: string;
  days: DaysView;
  eta?: EtaView | null;
  id: string;
  lastError?: ErrorView | null;
  /**
   * 100 only when COMPLETED.
   */
  percent: number;
  resources: ResourcesView;
  startedAt?: string | null;
  /**
   * PENDING, IN_PROGRESS, WAITING, PAUSED, COMPLETED, FAILED or CANCELLED.
   */
  state: string;
  syncDepthMonths: number;
  /**
   * When a waiting run resumes, or until when Salla's limits make it wait.
   */
  waitingUntil?: string | null;
}

/**
 * What is to be imported.
 */
export interface StartRequest {
  /**
   * How many months of orders there should be: 12 or 24. Customers and products are always
   * imported whole.
   */
  syncDepthMonths: number;
}

export interface StartResponse {
  /**
   * `begun`: a run of everything begins. `extended`: the history is there, and a run begins that
   * reads the older orders and what has changed. `catching_up`: a run begins that reads what has
   * changed. `joined`: a run that is not over continues, as it was started.
   */
  outcome: string;
  runId: string;
  state: string;
  /**
   * Where to follow it.
   */
  statusUrl: string;
  /**
   * What the run reads, which is less or more than was requested if it was joined.
   */
  syncDepthMonths: number;
}

/**
 * A shop, its connection and its latest import.
 */
export interface StatusView {
  /**
   * Your own name of the customer whose shop it is, where that is known.
   */
  account?: string | null;
  connection: ConnectionView;
  merchantId: string;
  name: string;
  plan: string;
  run?: RunView | null;
  /**
   * Salla's id of the shop.
   */
  sallaId: number;
  /**
   * Since when the app is not installed any more.
   */
  uninstalledAt?: string | null;
}

export interface TextView {
  ar: string;
  en: string;
}

export interface TicketView {
  expiresAt: string;
  /**
   * For `?ticket=` of GET …/sync/events. It serves once.
   */
  ticket: string;
}

/** What each operation takes and gives. */
export interface Operations {
  /**
   * Starts a shop's import, or brings it up to date
   */
  startSync: {
    query: Record<never, never>;
    body: StartRequest;
    response: StartResponse;
  };
  /**
   * How far a shop's latest import is
   */
  getSync: {
    query: Record<never, never>;
    body: undefined;
    response: StatusView;
  };
  /**
   * Gives out a ticket that opens the stream of events once, within 30 seconds
   */
  issueEventTicket: {
    query: Record<never, never>;
    body: undefined;
    response: TicketView;
  };
  /**
   * Stops the import at its last commit until it is resumed
   */
  pauseSync: {
    query: Record<never, never>;
    body: undefined;
    response: StatusView;
  };
  /**
   * Resumes a paused import, or ends the wait of a waiting one
   */
  resumeSync: {
    query: Record<never, never>;
    body: undefined;
    response: StatusView;
  };
  /**
   * Gives the import up; what was read stays
   */
  cancelSync: {
    query: Record<never, never>;
    body: undefined;
    response: StatusView;
  };
  /**
   * Begins a failed or cancelled import again from its checkpoint
   */
  restartSync: {
    query: Record<never, never>;
    body: undefined;
    response: StatusView;
  };
  /**
   * The latest certificate: what Salla listed and what became of every record of it
   */
  getCertificate: {
    query: Record<never, never>;
    body: undefined;
    response: unknown;
  };
  /**
   * Records of a shop that could not be read, the latest first
   */
  listRejectedRecords: {
    query: {
      /**
       * orders, customers, products, categories or order_statuses.
       */
      resource?: string;
      /**
       * The reason, such as invalid_date.
       */
      code?: string;
      /**
       * Also the raw text, which holds personal data and takes the scope `records`.
       */
      raw?: boolean;
      /**
       * From 1 to 200; 50 if it is not given.
       */
      limit?: number;
      /**
       * `nextCursor` of the page before.
       */
      cursor?: string;
    };
    body: undefined;
    response: RejectedPage;
  };
  /**
   * A merchant's notifications, the latest first
   */
  listNotifications: {
    query: {
      /**
       * Only what the merchant has not read.
       */
      unread?: boolean;
      /**
       * From 1 to 200; 50 if it is not given.
       */
      limit?: number;
      /**
       * `nextCursor` of the page before.
       */
      cursor?: string;
    };
    body: undefined;
    response: NotificationPage;
  };
  /**
   * Marks notifications as read
   */
  readNotifications: {
    query: Record<never, never>;
    body: MarkRequest;
    response: undefined;
  };
}

/** Where each operation is. */
export const routes = {
  startSync: { method: "POST", path: "/api/v1/merchants/{merchant}/sync" },
  getSync: { method: "GET", path: "/api/v1/merchants/{merchant}/sync" },
  issueEventTicket: { method: "POST", path: "/api/v1/merchants/{merchant}/sync/events/tickets" },
  pauseSync: { method: "POST", path: "/api/v1/merchants/{merchant}/sync/pause" },
  resumeSync: { method: "POST", path: "/api/v1/merchants/{merchant}/sync/resume" },
  cancelSync: { method: "POST", path: "/api/v1/merchants/{merchant}/sync/cancel" },
  restartSync: { method: "POST", path: "/api/v1/merchants/{merchant}/sync/restart" },
  getCertificate: { method: "GET", path: "/api/v1/merchants/{merchant}/sync/certificate" },
  listRejectedRecords: { method: "GET", path: "/api/v1/merchants/{merchant}/rejected-records" },
  listNotifications: { method: "GET", path: "/api/v1/merchants/{merchant}/notifications" },
  readNotifications: { method: "POST", path: "/api/v1/merchants/{merchant}/notifications/read" },
} as const satisfies Record<keyof Operations, { method: string; path: string }>;
