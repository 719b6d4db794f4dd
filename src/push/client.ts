import type { Frame } from './frames.ts';

/** Why the hub ends a connection: the node stops, the session has ended, or the client reads too slowly, and may resume. */
export type EndReason = 'stopped' | 'session-ended' | 'too-slow';

/**
 * How delivery to a client begins: with frames from now on, with the missed ones, or with a `resync` frame because they are no longer available.
 * `after`: the frames that follow are after this id; everything up to it is settled.
 */
export type Released = Readonly<{ outcome: 'live' | 'resumed' | 'resync'; after: string }>;

/** One connection of a user, as the hub sees it. None of its methods throws. */
export interface Client {
  readonly userId: string;
  /** Of the token by which it was last authenticated; `null` for one of an outside issuer. */
  readonly sessionId: string | null;
  /** Sends frames in order, as many as there is room for; returns how many. */
  deliver(frames: readonly Frame[]): number;
  /** Resolves once there is room again, or the connection has ended. */
  drained(): Promise<void>;
  /** Ends the connection, and with it this client. */
  end(reason: EndReason): void;
}
