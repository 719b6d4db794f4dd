import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { EventMetadata, NewEvent } from '../../src/kernel/event.ts';
import type { EventRegistry } from '../../src/kernel/event-definition.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { Codec } from '../../src/log/codec.ts';
import { PersonalKeys } from '../../src/log/personal-keys.ts';
import { SEALED_FORM } from '../../src/log/sealed-fields.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { seededRandom } from '../support/seeded-random.ts';

const FOLDER = new URL('../golden/', import.meta.url);

/** A record as it was stored once, and the data that it opens to with the keys and after they were destroyed. */
export type Golden = Readonly<{
  /** By the id of the person, in base64. */
  keys: Readonly<Record<string, string>>;
  record: Readonly<{ id: string; type: string; schemaVersion: number; data: string; metadata: EventMetadata }>;
  opened: JsonObject;
  erased: JsonObject;
}>;

/** `path`: `<form>/<type>.v<schema version>.json`, before the ending also what is special about it. */
export type GoldenFile = Golden & Readonly<{ path: string; form: number }>;

const [ann, bob, cid] = ['0123456789abcdef00000001', '0123456789abcdef00000002', '0123456789abcdef00000003'] as const;
const group = '0123456789abcdef000000aa';
const uuid = (n: number): string => `01900000-0000-7000-8000-${String(n).padStart(12, '0')}`;
const at = '2026-01-02T03:04:05.678Z';

/** Data for new files, by the type of event and what is special about the sample. */
export const samples: Readonly<Record<string, JsonObject>> = {
  UserRegistered: {
    userId: ann,
    email: 'ann@example.org',
    username: 'ann',
    firstname: 'Änn "Quoted"',
    lastname: '你好 👩‍👩‍👧‍👦',
    registeredAt: at,
  },
  'UserRegistered without names': {
    userId: bob,
    email: 'bob@example.org',
    username: 'bob',
    firstname: null,
    lastname: null,
    registeredAt: at,
  },
  ProfileChanged: { userId: ann, username: 'änn', firstname: null, lastname: 'Ó "Quoted"', changedAt: at },
  PasswordLinkIssued: {
    userId: ann,
    linkId: uuid(1),
    purpose: 'welcome',
    usernameHolder: bob,
    expiresAt: at,
    language: 'fr',
  },
  'PasswordLinkIssued without a language': {
    userId: ann,
    linkId: uuid(1),
    purpose: 'welcome',
    usernameHolder: bob,
    expiresAt: at,
    language: null,
  },
  RegistrationRepeated: { userId: ann, attemptedAt: at },
  PasswordSet: {
    userId: ann,
    linkId: uuid(1),
    passwordHash: '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA',
    setAt: at,
  },
  UserProvisioned: {
    userId: ann,
    issuer: 'https://id.example.org/realms/main',
    subject: 'f:1234:ann',
    email: 'ann@example.org',
    username: 'ann',
    firstname: 'Änn',
    lastname: '你好',
    provisionedAt: at,
  },
  'UserProvisioned without an address and names': {
    userId: bob,
    issuer: 'https://id.example.org/realms/main',
    subject: 'f:1234:bob',
    email: null,
    username: 'user-0123456789ab',
    firstname: null,
    lastname: null,
    provisionedAt: at,
  },
  ErasureRequested: {
    userId: cid,
    names: [
      { kind: 'username', id: '1f'.repeat(32) },
      { kind: 'address', id: '2e'.repeat(32) },
    ],
    requestedAt: at,
  },
  UserErased: { userId: cid, erasedAt: at },
  InstallationCreated: { secretCheck: 'bm90IGEgc2VjcmV0LCBhbmQgb2YgdGhlIHNhbWUgbGVuZ3Ro', keyStoreId: uuid(9) },
  NameReserved: { kind: 'username', holder: ann, until: at },
  NameConfirmed: { kind: 'address', holder: ann },
  NameReleased: { kind: 'username', holder: ann },
  SessionStarted: { userId: ann, sessionId: uuid(2), userAgent: 'Browser/1.0 (Système)', startedAt: at, expiresAt: at },
  'SessionStarted without a user agent': {
    userId: ann,
    sessionId: uuid(2),
    userAgent: null,
    startedAt: at,
    expiresAt: at,
  },
  SessionRefreshed: { userId: ann, sessionId: uuid(2), counter: 1, refreshedAt: at },
  SessionRefreshForgiven: { userId: ann, sessionId: uuid(2), counter: 1 },
  SessionsSummarised: {
    userId: ann,
    sessions: [{ sessionId: uuid(2), counter: 1, rotatedAt: at, startedAt: at, expiresAt: at }],
    userAgents: ['Browser/1.0 (Système)'],
    over: [uuid(6)],
  },
  SessionEnded: { userId: ann, sessionId: uuid(2), reason: 'signed-out', endedAt: at },
  ConversationCreated: {
    conversationId: group,
    kind: 'group',
    name: 'Größe & Güte',
    ownerId: ann,
    members: [ann, bob],
    createdAt: at,
  },
  'ConversationCreated of two': {
    conversationId: group,
    kind: 'direct',
    name: null,
    ownerId: null,
    members: [ann, bob],
    createdAt: at,
  },
  MemberAdded: { conversationId: group, userId: bob, joinedSeq: 7, addedAt: at },
  MemberRemoved: { conversationId: group, userId: bob, reason: 'left', removedAt: at },
  MessageSent: {
    conversationId: group,
    messageId: uuid(3),
    seq: 8,
    senderId: bob,
    content: 'Hello, 你好, 🙂, \u0000, \u2028, "quoted" \\',
    replyTo: uuid(4),
    mentions: [ann],
    sentAt: at,
  },
  'MessageSent of many characters': {
    conversationId: group,
    messageId: uuid(5),
    seq: 9,
    senderId: ann,
    content: 'long ü '.repeat(200),
    replyTo: null,
    mentions: [],
    sentAt: at,
  },
  ConversationDeleted: { conversationId: group, deletedAt: at },
  ConversationOpened: {
    userId: ann,
    conversationId: group,
    readSeq: 8,
    receivedSeq: 9,
    openedAt: at,
    memberCount: 2,
  },
  MarksSummarised: {
    userId: ann,
    marks: [{ conversationId: group, readSeq: 8, receivedSeq: 9, openedAt: at }],
    dropped: ['0123456789abcdef000000bb'],
  },
  CommandClaimed: {
    bodyHash: 'c2hhMjU2',
    stream: `conversation-${group}`,
    revision: '-1',
    seed: '0123456789abcdef0123456789abcdef',
  },
  CommandAnswered: { position: '0000000000000042' },
};

/** A key store of fixed keys, or of destroyed ones. */
export function fixedKeys(keys: Golden['keys'], areDestroyed = false): KeyStore {
  const secretOf = (name: string): Buffer | null => {
    const key = keys[name.slice('person/'.length)];
    return areDestroyed || key === undefined ? null : Buffer.from(key, 'base64');
  };
  return {
    get: async (name) => secretOf(name),
    getMany: async (names) => new Map(names.map((name) => [name, secretOf(name)])),
    create: async (name) => secretOf(name),
    destroy: () => Promise.reject(new Error('these keys are fixed')),
    list: async () => [],
    close: async () => {},
  };
}

export function codecOf(registry: EventRegistry, keys: KeyStore, seed = 'unused'): Codec {
  const random = seededRandom(seed);
  return new Codec({ registry, keys: new PersonalKeys({ keys, random }), random });
}

/** The path of the file of a sample in the current form and schema version. */
export function pathOf(sample: string): string {
  const [type = '', ...special] = sample.split(' ');
  const name = [`${type}.v${eventRegistry.get(type)?.version}`, ...(special.length > 0 ? [special.join('-')] : [])];
  return `${SEALED_FORM}/${name.join('.')}.json`;
}

/** The record that a sample is stored as, with an id and nonces that follow from its name. */
export async function recordOf(sample: string, keys: Golden['keys']): Promise<Golden['record']> {
  const [type = '', ...special] = sample.split(' ');
  const seed = [`${type}@${eventRegistry.get(type)?.version}`, ...special].join(' ');
  const id = seededRandom(`golden ${seed}`).uuid(Date.parse(at));
  const metadata = { actor: ann, correlationId: uuid(10), causationId: null, commandId: uuid(11) };
  const event: NewEvent = { id, type, data: samples[sample] ?? {}, metadata };
  const [record] = (await codecOf(eventRegistry, fixedKeys(keys), seed).encode([event])).records;
  return { id, type, schemaVersion: record?.schemaVersion ?? 0, data: record?.data ?? '', metadata };
}

/** All golden files of records, in every form. */
export async function readGolden(): Promise<readonly GoldenFile[]> {
  const forms = (await readdir(FOLDER)).filter((name) => /^\d+$/.test(name));
  const files = forms.map(async (form) => {
    const paths = await pathsIn(form);
    return Promise.all(paths.map(async (path) => ({ path, form: Number(form), ...(await readJson<Golden>(path)) })));
  });
  return (await Promise.all(files)).flat();
}

/** The paths of the golden files in a folder. */
export const pathsIn = async (folder: string): Promise<readonly string[]> =>
  (await readdir(new URL(`${folder}/`, FOLDER))).map((name) => `${folder}/${name}`);

/** Reads a golden file of any kind. */
export async function readJson<Content>(path: string): Promise<Content> {
  return JSON.parse(await readFile(new URL(path, FOLDER), 'utf8'));
}

/** Writes the files of samples that have none, and changes no other. */
export async function addMissing(known: ReadonlySet<string>): Promise<void> {
  await mkdir(new URL(`${SEALED_FORM}/`, FOLDER), { recursive: true });
  const { bytes } = seededRandom('golden keys');
  const allKeys = Object.fromEntries([ann, bob, cid].map((id) => [id, bytes(32).toString('base64')]));
  for (const [sample, opened] of Object.entries(samples)) {
    const path = pathOf(sample);
    if (known.has(path)) continue;
    const record = await recordOf(sample, allKeys);
    const personal = eventRegistry.get(record.type)?.personal ?? {};
    const sealed = Object.entries(personal).filter(([field, person]) => opened[field] !== null && opened[person]);
    const erased = { ...opened, ...Object.fromEntries(sealed.map(([field]) => [field, null])) };
    const persons = new Set(sealed.map(([, person]) => String(opened[person])));
    const keys = Object.fromEntries(Object.entries(allKeys).filter(([id]) => persons.has(id)));
    const text = JSON.stringify({ keys, record, opened, erased }, null, 2);
    await writeFile(new URL(path, FOLDER), `${text}\n`, { flag: 'wx' });
  }
}
