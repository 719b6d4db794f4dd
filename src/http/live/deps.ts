import type { AppDeps } from '../deps.ts';
import type { RateLimits } from '../request/rate-limits.ts';

/** The dependencies of live connections. */
export type LiveDeps = Pick<AppDeps, 'hub' | 'identity' | 'conversations' | 'clock' | 'random' | 'logger'> &
  Readonly<{
    /** Shared with REST. */
    limits: RateLimits;
    socketsPerUser: number;
    /** Sockets of one network that may wait for authentication. */
    anonymousSockets: number;
    /** Origins that browsers may connect from. */
    allowedOrigins: readonly string[];
  }>;
