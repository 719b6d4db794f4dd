import type { Frame } from './frames.ts';

/** Why the hub ends a connection: the node stops, the session is over, or the client reads too slowly, and may resume. */
export type EndReason = 'stopped' | 'session-ended' | 'too-slow';

/** One connection of a user, as the hub sees it. None of its methods throws. */
export interface Client {
  readonly userId: string;
  /** That of the token by which it last proved who speaks. */
  readonly sessionId: string;
  /** Sends frames in order, as many as there is room for; gives how many. */
  deliver(frames: readonly Frame[]): number;
  /** Resolves once there is room again, or the connection has ended. */
  drained(): Promise<void>;
  /** Ends the connection, and with it this client. */
  end(reason: EndReason): void;
}
