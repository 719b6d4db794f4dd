import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { Claims } from '../commands/claims.ts';
import type { Conversations } from '../conversations/conversations.ts';
import type { Identity } from '../identity/identity.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { ReadModels } from '../projections/runner/read-models.ts';
import type { Hub } from '../push/hub.ts';
import type { RateSettings } from './request/rate-limits.ts';

/** Everything that `buildApp` works with. It closes none of it. */
export type AppDeps = Readonly<{
  config: HttpConfig;
  logger: Logger;
  clock: Clock;
  identity: Identity;
  conversations: Conversations;
  claims: Claims;
  readModels: ReadModels;
  hub: Hub;
  /** What `/readyz` looks at. */
  parts: readonly Part[];
}>;

export type HttpConfig = Readonly<{
  /** Where the outside reaches this server, without a slash at its end. */
  publicUrl: string;
  /** Version of this program, for the documentation. */
  version: string;
  /** Addresses or networks of proxies whose `X-Forwarded-*` headers are believed; none if empty. */
  trustProxy: readonly string[];
  /** Origins, beside `publicUrl`, whose pages may open a WebSocket. */
  allowedOrigins: readonly string[];
  /** WebSockets of one user at a time. */
  socketsPerUser: number;
  rateLimits: RateSettings;
}>;

/** Something this server needs: a store, a projection. */
export type Part = Readonly<{
  name: string;
  /** Resolves with `null` when it is ready, else with why not, in words for the operator. May reject. */
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
