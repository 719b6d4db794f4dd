import { createMemoryLimits } from '../../src/adapters/memory/limits.ts';
import { type Books, createBooks } from '../../src/commands/books.ts';
import type { CommandHandler } from '../../src/commands/command-handler.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import type { RequestContext } from '../../src/commands/request-context.ts';
import { createIdentity, type IdentityLimits } from '../../src/identity/create-identity.ts';
import type { Identity } from '../../src/identity/identity.ts';
import { deriveSecrets } from '../../src/identity/secrets.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { derivedIds, type IdSource } from '../../src/kernel/ids.ts';
import type { Language } from '../../src/kernel/language.ts';
import { openLog } from '../commands/node.ts';
import { type FaultyEventLog, faulty } from '../support/faulty-event-log.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores, SERVER_SECRET, system } from '../support/stores.ts';

export const PUBLIC_URL = 'https://parley.test';
export const SECRET = SERVER_SECRET;
export const PASSWORD = 'correct horse battery';

const { random, logger } = system;

/** The stores of one installation, and the clock of all of its nodes. */
export type World = MemoryStores & Readonly<{ clock: ManualClock }>;

/** The stores themselves run on the system's clock. */
export async function openWorld(): Promise<World> {
  return { ...(await openMemoryStores()), clock: manualClock() };
}

/** One node: its own caches over the shared stores. */
export type Node = Readonly<{ log: FaultyEventLog; commands: CommandHandler; books: Books; identity: Identity }>;

const LIMITS: IdentityLimits = { signInFailures: 5, mails: { perHour: 2, perDay: 5 } };

export async function startNode(world: World, limits: IdentityLimits | 'off' = LIMITS): Promise<Node> {
  const { clock, keys, documents } = world;
  const log = faulty(openLog(world));
  const commands = await createCommandHandler({ log, documents, clock, random, logger, singleWriter: true });
  const books = createBooks({ commands, log, clock, logger });
  const identity = await createIdentity({
    commands,
    books,
    keys,
    personalKeys: world.personalKeys,
    onErased: (listener) => log.onErased(listener),
    logger,
    sharedLimits: createMemoryLimits({ clock }),
    clock,
    random,
    secrets: deriveSecrets(SECRET),
    publicUrl: PUBLIC_URL,
    limits,
    outsideTokens: null,
  });
  return { log, commands, books, identity };
}

/** The context of a request at the current time. With a key, the ids are the same each time. */
export function request(world: World, key?: string): RequestContext {
  const now = world.clock.now();
  const ids: IdSource = key === undefined ? random.ids : derivedIds(Buffer.alloc(32, 3), key);
  const commandId = key === undefined ? random.uuid(now) : ids.uuid('command', 0);
  const metadata = {
    commandId,
    actor: null,
    at: new Date(now).toISOString(),
    correlationId: 'test',
    causationId: null,
  };
  return { ids, metadata };
}

/** Lets time pass while something runs: writers that conflict wait for each other. */
export async function whileTimePasses<T>(world: World, running: Promise<T>): Promise<T> {
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  running.then(end, end);
  while (!isOver) await world.clock.advance(1);
  return running;
}

/** All events of a stream. */
export async function eventsOf(world: World, stream: string): Promise<readonly RecordedEvent[]> {
  return (await world.log.readStream(stream)).events;
}

/** All events of the log of these types, in order. */
export async function logged(world: World, ...types: string[]): Promise<readonly RecordedEvent[]> {
  return (await world.log.readAll({ direction: 'forwards', from: null, limit: 4_096, filter: { types } })).events;
}

/** The token of the link that was last issued to this user, as it is mailed. */
export async function linkToken(world: World, node: Node, userId: string): Promise<string> {
  const issued = (await logged(world, 'PasswordLinkIssued')).findLast(({ data }) => data.userId === userId);
  const link = await node.identity.mailAccounts.passwordLink(userId, String(issued?.data.linkId));
  if (link === null) throw new Error('the link is not good');
  return new URL(link).searchParams.get('token') ?? '';
}

/** Names and address of Ada, and how she registers. */
export const adasNames = { email: 'ada@example.org', username: 'ada', firstname: 'Ada', lastname: 'Lovelace' };
export const ada = { ...adasNames, language: 'en' as Language };

/** Registers an account, which is pending then. */
export async function registered(world: World, node: Node, who: Partial<typeof ada> = {}): Promise<string> {
  return (await node.identity.register({ ...ada, ...who }, request(world))).userId;
}

/** Registers an account and sets `PASSWORD`. */
export async function activated(world: World, node: Node, who: Partial<typeof ada> = {}): Promise<string> {
  const userId = await registered(world, node, who);
  const token = await linkToken(world, node, userId);
  await node.identity.setPassword({ token, password: PASSWORD, confirmPassword: PASSWORD }, request(world));
  return userId;
}

/** Signs in, by default as Ada. */
export function signIn(
  world: World,
  node: Node,
  credentials: { email?: string; password?: string; address?: string } = {},
) {
  const given = { email: ada.email, password: PASSWORD, userAgent: 'test', address: '192.0.2.1', ...credentials };
  return node.identity.signIn(given, request(world));
}
