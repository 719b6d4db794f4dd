import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { Claims } from '../commands/claims.ts';
import type { Conversations } from '../conversations/conversations.ts';
import type { Identity } from '../identity/identity.ts';
import type { Logger } from '../kernel/logger.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { SharedLimits } from '../ports/limit-store.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { ReadModels } from '../projections/runner/read-models.ts';
import type { Hub } from '../push/hub.ts';
import type { RateSettings } from './request/rate-limits.ts';

/** The dependencies of `buildApp`, which closes none of them. */
export type AppDeps = Readonly<{
  config: HttpConfig;
  logger: Logger;
  clock: Clock;
  random: Random;
  telemetry: Telemetry;
  /** The counts of what guards accounts. */
  sharedLimits: SharedLimits;
  identity: Identity;
  conversations: Conversations;
  /** Read for the export only. */
  log: Pick<EventLog, 'readStream'>;
  claims: Claims;
  readModels: ReadModels;
  hub: Hub;
  /** The checks of `/readyz`. */
  readinessChecks: readonly ReadinessCheck[];
}>;

export type HttpConfig = Readonly<{
  /** The address of this server as clients see it, without a trailing slash. */
  publicUrl: string;
  /** Version of this program, for the documentation. */
  version: string;
  /** Addresses or networks of proxies whose `X-Forwarded-*` headers are trusted; none if empty. */
  trustProxy: readonly string[];
  /** Origins, besides `publicUrl`, whose pages may send requests (CORS) and open a WebSocket. */
  allowedOrigins: readonly string[];
  /** Maximum number of open connections of one network; for the clients of a trusted proxy, of requests in progress. */
  connectionsPerNetwork: number;
  /** Maximum number of concurrent WebSockets of one user. */
  socketsPerUser: number;
  /** Maximum number of concurrent WebSockets of one network that are not authenticated yet. */
  anonymousSockets: number;
  rateLimits: RateSettings;
  /** Bearer token that `/metrics` requires; `null`: it answers internal networks only. */
  metricsToken: string | null;
  /** Default: `defaultTimeouts`. */
  timeouts?: Timeouts;
}>;

/** How long clients may take, in ms. */
export type Timeouts = Readonly<{
  /** For a whole request to arrive. */
  request: number;
  /** For its header. */
  header: number;
  /** A connection without traffic. */
  idle: number;
  /** A connection between two requests. */
  keepAlive: number;
  /** How often these are checked. */
  check: number;
}>;

/** Checks a dependency of this server, such as a store or a projection. */
export type ReadinessCheck = Readonly<{
  name: string;
  /** Resolves with `null` when it is ready, otherwise with the reason, for operators. May reject. */
  check(): Promise<string | null>;
}>;

/** The application with the types of its schemas. */
export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;
