import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { openSqliteKeys } from '../../src/adapters/sqlite/keys.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { CommandHandler } from '../../src/commands/command-handler.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import type { RequestContext } from '../../src/commands/request-context.ts';
import { createIdentity, type IdentityLimits } from '../../src/identity/create-identity.ts';
import type { Identity } from '../../src/identity/identity.ts';
import { deriveSecrets } from '../../src/identity/secrets.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { derivedIds, type IdSource, randomIds, uuidv7 } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { type FaultyEventStore, faulty } from '../support/faulty-event-store.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';

export const PUBLIC_URL = 'https://parley.test';
export const SECRET = 'a secret of the server, long enough';
export const PASSWORD = 'correct horse battery';

/** The stores of one installation, and a clock that all of its nodes go by. */
export type World = Readonly<{
  log: EventStore;
  documents: DocumentStore;
  keys: KeyStore;
  clock: ManualClock;
  close(): Promise<void>;
}>;

export async function openWorld(): Promise<World> {
  // The stores' own time is not what is tested here.
  const system = { clock: createSystemClock(), logger: silentLogger };
  const log = await openSqliteEventStore({ path: ':memory:', registry: eventRegistry, ...system });
  const documents = await openSqliteDocuments({ path: ':memory:', ...system });
  const keys = await openSqliteKeys({ path: ':memory:', secret: Buffer.from(SECRET) });
  return {
    log,
    documents,
    keys,
    clock: manualClock(),
    close: async () => {
      await Promise.all([log.close(), documents.close(), keys.close()]);
    },
  };
}

/** One node: its own caches over the shared stores. */
export type Node = Readonly<{ events: FaultyEventStore; commands: CommandHandler; identity: Identity }>;

const LIMITS: IdentityLimits = { signInFailures: 5, mails: { perHour: 2, perDay: 5 } };

export async function startNode(world: World, limits: IdentityLimits | 'off' = LIMITS): Promise<Node> {
  const { clock, keys, documents } = world;
  const events = faulty(world.log);
  const commands = await createCommandHandler({ events, documents, clock, logger: silentLogger, alone: true });
  const identity = await createIdentity({
    commands,
    keys,
    clock,
    secrets: deriveSecrets(SECRET),
    publicUrl: PUBLIC_URL,
    limits,
  });
  return { events, commands, identity };
}

/** What stands behind a request, now. With a key, its ids are always the same. */
export function request(world: World, key?: string): RequestContext {
  const now = world.clock.now();
  const ids: IdSource = key === undefined ? randomIds : derivedIds(Buffer.alloc(32, 3), key);
  const commandId = key === undefined ? uuidv7(now) : ids.uuid('command', 0);
  const metadata = {
    commandId,
    actor: null,
    at: new Date(now).toISOString(),
    correlationId: 'test',
    causationId: null,
  };
  return { ids, metadata };
}

/** All events of a stream. */
export async function eventsOf(world: World, stream: string): Promise<readonly RecordedEvent[]> {
  return (await world.log.readStream(stream)).events;
}

/** All events of the log of these types, in order. */
export async function logged(world: World, ...types: string[]): Promise<readonly RecordedEvent[]> {
  return (await world.log.readAll({ direction: 'forwards', from: null, limit: 4_096, filter: { types } })).events;
}

/** The token that was mailed last to this user, as the mail would have it. */
export async function linkToken(world: World, node: Node, userId: string): Promise<string> {
  const issued = (await logged(world, 'PasswordLinkIssued')).findLast(({ data }) => data.userId === userId);
  const link = await node.identity.mailAccounts.passwordLink(userId, String(issued?.data.linkId));
  if (link === null) throw new Error('there is no good link');
  return new URL(link).searchParams.get('token') ?? '';
}

export const ada = { email: 'ada@example.org', username: 'ada', firstname: 'Ada', lastname: 'Lovelace' };

/** An account that is not active yet. */
export async function registered(world: World, node: Node, who: Partial<typeof ada> = {}): Promise<string> {
  return (await node.identity.register({ ...ada, ...who }, request(world))).userId;
}

/** An account with `PASSWORD`. */
export async function activated(world: World, node: Node, who: Partial<typeof ada> = {}): Promise<string> {
  const userId = await registered(world, node, who);
  const token = await linkToken(world, node, userId);
  await node.identity.setPassword({ token, password: PASSWORD, confirmPassword: PASSWORD }, request(world));
  return userId;
}

/** Signs in as Ada. */
export function signIn(
  world: World,
  node: Node,
  credentials: { email?: string; password?: string; address?: string } = {},
) {
  const given = { email: ada.email, password: PASSWORD, userAgent: 'test', address: '192.0.2.1', ...credentials };
  return node.identity.signIn(given, request(world));
}
