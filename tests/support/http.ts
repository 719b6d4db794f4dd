import type { InjectOptions } from 'fastify';
import { expect } from 'vitest';
import { createMemoryLimits } from '../../src/adapters/memory/limits.ts';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import { createWebDocuments } from '../../src/adapters/web/web-documents.ts';
import { buildNode, type Node, type NodeRole, type NodeSettings } from '../../src/compose/node.ts';
import type { App, HttpConfig, ReadinessCheck } from '../../src/http/deps.ts';
import type { Problem } from '../../src/http/request/problems.ts';
import type { IdentityLimits } from '../../src/identity/create-identity.ts';
import type { IssuerSettings } from '../../src/identity/issuers/settings.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { SharedLimits } from '../../src/ports/limit-store.ts';
import type { Mailer } from '../../src/ports/mailer.ts';
import type { Hub } from '../../src/push/hub.ts';
import { type FaultyEventStore, faultyStore } from './faulty-event-log.ts';
import { type MemoryStores, openMemoryStores, SERVER_SECRET, system } from './stores.ts';

export const PUBLIC_URL = 'http://parley.test';
export const PASSWORD = 'correct horse battery';

/** The whole HTTP interface over real embedded stores in memory. */
export type Server = Omit<Node, 'hub'> &
  Readonly<{
    hub: Hub;
    /** The event store below `log`, with faults on request. */
    events: FaultyEventStore;
    documents: DocumentStore;
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

/** `payload` is sent as JSON when it is an object, else as it is; `form` is sent as a form. */
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
  // biome-ignore lint/suspicious/noExplicitAny: each test checks the shape that it expects
  json: any;
}>;

export type ServerOptions = Readonly<{
  config?: Partial<HttpConfig>;
  logger?: Logger;
  readinessChecks?: readonly ReadinessCheck[];
  clock?: Clock;
  /** `api` alone: no projection runs. */
  roles?: readonly NodeRole[];
  /** Keeps the stores on files in this folder. */
  folder?: string;
  /** The document store of the node: the embedded one that it is given, with faults, or another one. */
  documents?: (embedded: DocumentStore) => DocumentStore;
  /** Runs on the stores of others, which it does not close, without running projections. */
  stores?: Pick<MemoryStores, 'store' | 'documents' | 'keys'>;
  /** The counts that this node shares with others; by default its own. */
  sharedLimits?: SharedLimits;
  /** `off` by default. */
  limits?: IdentityLimits;
  /** None by default. */
  issuers?: Partial<IssuerSettings>;
  /** Whether other nodes write to the same log. */
  singleWriter?: boolean;
  /** Default: sends nothing. */
  mailer?: Mailer;
}>;

/** Sends nothing: mails are tested elsewhere. */
const noMailer: Mailer = { send: async () => {}, close: async () => {} };

/** Builds a whole node over embedded stores in memory, as production does; nothing is limited unless `config` says so. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const { logger, clock } = { ...system, ...options };
  const { random } = system;
  const { folder, singleWriter = true, mailer = noMailer } = options;
  const opened =
    options.stores === undefined ? await openMemoryStores({ clock, ...(folder !== undefined && { folder }) }) : null;
  const stores = opened ?? options.stores;
  if (stores === undefined) throw new Error('there are no stores');
  const events = faultyStore(stores.store);
  const closing = new AsyncDisposableStack();
  const http = {
    publicUrl: PUBLIC_URL,
    version: '0.0.0',
    trustProxy: [],
    allowedOrigins: [],
    connectionsPerNetwork: 10_000,
    socketsPerUser: 10,
    anonymousSockets: 100,
    rateLimits: 'off',
    metricsToken: null,
    ...options.config,
  } as const;
  const settings: NodeSettings = {
    roles: new Set<NodeRole>(options.roles ?? (opened === null ? ['api'] : ['api', 'projections'])),
    name: opened === null ? `node ${random.objectId()}` : 'test',
    singleWriter,
    http,
    limits: options.limits ?? 'off',
    issuers: { discovered: [], pinned: null, audience: null, clients: [], ...options.issuers },
    readinessChecks: options.readinessChecks ?? [],
  };
  const { keys } = stores;
  const documents = options.documents?.(stores.documents) ?? stores.documents;
  const telemetry = createPrometheusTelemetry({ processMetrics: false });
  const sharedLimits = options.sharedLimits ?? createMemoryLimits({ clock });
  const ports = {
    clock,
    random,
    logger,
    telemetry,
    secret: SERVER_SECRET,
    events,
    documents,
    keys,
    sharedLimits,
    mailer,
    webDocuments: createWebDocuments({ clock }),
  };
  const node = await buildNode(ports, settings, closing);
  const { hub } = node;
  if (hub === null) throw new Error('a node with the role api has a hub');
  return {
    ...node,
    events,
    documents,
    hub,
    ask: (person, asking) => ask(node.app, person, asking),
    async close() {
      await closing.disposeAsync();
      await opened?.close();
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

/** Registers a person, sets the password by the link that would be mailed, and signs in, all over HTTP. */
export async function signUp(
  server: Server,
  username: string,
  names: Readonly<{ firstname?: string; lastname?: string }> = {},
): Promise<Person> {
  const email = `${username}@example.org`;
  const registration = { email, username, ...names };
  const registered = await server.ask(null, { method: 'POST', url: '/api/v1/users', payload: registration });
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

/** The token of the newest link that would be mailed to a user. */
export async function linkToken(server: Server, userId: string): Promise<string> {
  const { events } = await server.log.readStream(`user-${userId}`);
  const issued = events.findLast(({ type }) => type === 'PasswordLinkIssued');
  const link = await server.identity.mailAccounts.passwordLink(userId, String(issued?.data.linkId));
  return new URL(link ?? 'none:').searchParams.get('token') ?? '';
}

/** Sends a query as `person`, after the read models have reached everything that was written. */
export async function read(server: Server, person: Person, url: string, more: Partial<Asking> = {}): Promise<Answer> {
  const minPosition = (await server.log.head()) ?? '';
  return server.ask(person, { method: 'GET', url, ...more, headers: { 'min-position': minPosition, ...more.headers } });
}

/** Creates a group of these people, the first of them its owner, and returns its id. */
export async function group(server: Server, owner: Person, ...participants: readonly Person[]): Promise<string> {
  const payload = { name: 'team', participants: participants.map(({ userId }) => userId) };
  const created = await server.ask(owner, { method: 'POST', url: '/api/v1/conversations', payload });
  expect(created.status).toBe(202);
  return created.json._id;
}

/** Expects a problem of this status and code, with errors at these paths, and returns it. */
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
