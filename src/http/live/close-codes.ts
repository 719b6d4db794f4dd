import type { EndReason } from '../../push/client.ts';
import type { Excess } from './waiting-bytes.ts';

/** Close codes: those of RFC 6455, section 7.4.1, and from 4000 on this protocol's own. docs/operations.md describes them for clients. */
export const CLOSE = {
  stopped: 1001,
  tooLarge: 1009,
  failed: 1011,
  tryLater: 1013,
  malformed: 4400,
  unauthenticated: 4401,
  tooSlow: 4408,
  tooMany: 4429,
} as const;

/** A close code with its reason. */
type Closing = readonly [code: number, words: string];

/** How a connection is closed that the hub ends. */
export const ends: Readonly<Record<EndReason, Closing>> = {
  stopped: [CLOSE.stopped, 'the server is stopping'],
  'session-ended': [CLOSE.unauthenticated, 'the session has ended'],
  'too-slow': [CLOSE.tooSlow, 'the client reads too slowly; reconnect and resume'],
};

/** How a connection is closed whose frame could not be queued. */
export const excesses: Readonly<Record<Excess, Closing>> = {
  user: [CLOSE.tooMany, 'too many frames of this user are waiting'],
  node: [CLOSE.tryLater, 'too many frames are waiting on this server; try again'],
};
