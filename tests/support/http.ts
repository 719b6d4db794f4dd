import type { InjectOptions } from 'fastify';
import { expect } from 'vitest';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { openSqliteKeys } from '../../src/adapters/sqlite/keys.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { createClaims } from '../../src/commands/claims.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import { createConversations } from '../../src/conversations/conversations.ts';
import { buildApp } from '../../src/http/app.ts';
import type { App, HttpConfig, Part } from '../../src/http/deps.ts';
import type { Problem } from '../../src/http/request/problems.ts';
import { createIdentity } from '../../src/identity/create-identity.ts';
import type { Identity } from '../../src/identity/identity.ts';
import { deriveSecrets } from '../../src/identity/secrets.ts';
import { type Logger, silentLogger } from '../../src/kernel/logger.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections } from '../../src/projections/runner/projections.ts';
import { createRoomsView } from '../../src/projections/views/rooms.ts';
import { Hub } from '../../src/push/hub.ts';
import { type FaultyEventStore, faulty } from './faulty-event-store.ts';

const SECRET = 'a secret of the server, long enough';
export const PUBLIC_URL = 'http://parley.test';
export const PASSWORD = 'correct horse battery';

/** The whole HTTP surface over real embedded stores in memory. */
export type Server = Readonly<{
  app: App;
  /** The log below `events`, for looking. */
  events: FaultyEventStore;
  documents: DocumentStore;
  identity: Identity;
  hub: Hub;
  /** Sends a request as `person`, without a socket. */
  ask(person: Person | null, options: Asking): Promise<Answer>;
  close(): Promise<void>;
}>;

export type Person = Readonly<{
  userId: string;
  email: string;
  username: string;
  accessToken: string;
  refreshToken: string;
}>;

/** `body` goes as JSON, `form` as a form; `payload` as it is. */
export type Asking = Omit<InjectOptions, 'method' | 'url'> &
  Readonly<{
    method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE' | 'PATCH';
    url: string;
    form?: Record<string, string | string[]>;
  }>;

/** `json`: the parsed body, `undefined` when there is none. */
export type Answer = Readonly<{
  status: number;
  headers: Readonly<Record<string, string>>;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for, and checks it
  json: any;
}>;

/** Starts it; nothing is limited unless `config` says so. */
export async function startServer(
  options: { config?: Partial<HttpConfig>; logger?: Logger; parts?: readonly Part[]; clock?: Clock } = {},
): Promise<Server> {
  const { logger = silentLogger, clock = createSystemClock() } = options;
  const events = faulty(await openSqliteEventStore({ path: ':memory:', registry: eventRegistry, clock, logger }));
  const documents = await openSqliteDocuments({ path: ':memory:', clock, logger });
  const keys = await openSqliteKeys({ path: ':memory:', secret: Buffer.from(SECRET) });
  const commands = await createCommandHandler({ events, documents, clock, logger, alone: true });
  const secrets = deriveSecrets(SECRET);
  const identity = await createIdentity({ commands, keys, clock, secrets, publicUrl: PUBLIC_URL, limits: 'off' });
  const projections = createProjections({
    events,
    documents,
    // Also where the time of all else is a test's: their leases run in that of the machine.
    clock: createSystemClock(),
    logger,
    projections: catalogue,
    owner: 'test',
    run: true,
  });
  projections.start();
  const { readModels } = projections;
  const rooms = createRoomsView(readModels);
  const hub = new Hub({ events, memberships: (userId, position) => rooms.ofUser(userId, position), clock, logger });
  await hub.start();
  const app = await buildApp({
    config: {
      publicUrl: PUBLIC_URL,
      version: '0.0.0',
      trustProxy: [],
      allowedOrigins: [],
      socketsPerUser: 10,
      rateLimits: 'off',
      ...options.config,
    },
    logger,
    clock,
    identity,
    conversations: createConversations({ commands, events, logger }),
    claims: createClaims({ events, commands, clock, logger, secret: secrets.ids }),
    readModels,
    hub,
    parts: options.parts ?? [],
  });
  return {
    app,
    events,
    documents,
    identity,
    hub,
    ask: (person, asking) => ask(app, person, asking),
    async close() {
      await app.close();
      await hub.close();
      await projections.close();
      await commands.close();
      await Promise.all([events.close(), documents.close(), keys.close()]);
    },
  };
}

async function ask(app: App, person: Person | null, { form, ...asking }: Asking): Promise<Answer> {
  const headers = {
    ...(person === null ? {} : { authorization: `Bearer ${person.accessToken}` }),
    ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
    ...asking.headers,
  };
  const payload = form === undefined ? asking.payload : formOf(form);
  const answer = await app.inject({ ...asking, headers, ...(payload === undefined ? {} : { payload }) });
  const isJson = String(answer.headers['content-type']).includes('json');
  return {
    status: answer.statusCode,
    headers: Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)])),
    text: answer.body,
    json: isJson && answer.body !== '' ? answer.json() : undefined,
  };
}

function formOf(fields: Record<string, string | string[]>): string {
  const pairs = Object.entries(fields).flatMap(([name, value]) =>
    [value].flat().map((one): [string, string] => [name, one]),
  );
  return new URLSearchParams(pairs).toString();
}

/** Signs a person up, sets the password by the link that would be mailed, and signs in; all over HTTP. */
export async function signUp(server: Server, username: string): Promise<Person> {
  const email = `${username}@example.org`;
  const registered = await server.ask(null, { method: 'POST', url: '/api/v1/users', payload: { email, username } });
  const userId = String(registered.json?._id);
  const token = await linkToken(server, userId);
  const payload = { token, password: PASSWORD, confirmPassword: PASSWORD };
  await server.ask(null, { method: 'POST', url: '/api/v1/passwords', payload });
  const credentials = { email, password: PASSWORD };
  const signedIn = await server.ask(null, { method: 'POST', url: '/api/v1/sessions', payload: credentials });
  expect(signedIn.status).toBe(200);
  const { accessToken, refreshToken } = signedIn.json;
  return { userId, email, username, accessToken, refreshToken };
}

/** The token of the newest link that is to be mailed to a user. */
export async function linkToken(server: Server, userId: string): Promise<string> {
  const { events } = await server.events.readStream(`user-${userId}`);
  const issued = events.findLast(({ type }) => type === 'PasswordLinkIssued');
  const link = await server.identity.mailAccounts.passwordLink(userId, String(issued?.data.linkId));
  return new URL(link ?? 'none:').searchParams.get('token') ?? '';
}

/** What `person` reads, once everything that was written shows. */
export async function read(server: Server, person: Person, url: string, more: Partial<Asking> = {}): Promise<Answer> {
  const minPosition = (await server.events.head()) ?? '';
  return server.ask(person, { method: 'GET', url, ...more, headers: { 'min-position': minPosition, ...more.headers } });
}

/** A conversation of these people, the first of them its owner. */
export async function group(server: Server, owner: Person, ...participants: readonly Person[]): Promise<string> {
  const payload = { name: 'team', participants: participants.map(({ userId }) => userId) };
  const made = await server.ask(owner, { method: 'POST', url: '/api/v1/conversations', payload });
  expect(made.status).toBe(202);
  return made.json._id;
}

/** Expects a problem of this status and code, with these paths of fields, and gives it. */
export function expectProblem(answer: Answer, status: number, code: string, paths: readonly string[] = []): Problem {
  expect(answer.json).toMatchObject({ type: `urn:parley:problem:${code}`, status, code });
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
  expect(answer.json.title).not.toBe('');
  expect(answer.json.detail).not.toBe('');
  expect(answer.json.instance).toMatch(/^\//);
  expect((answer.json.errors ?? []).map(({ path }: { path: string }) => path)).toEqual(paths);
  return answer.json;
}
