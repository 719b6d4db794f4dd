import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstallationEvent } from '../aggregates/installation/events.ts';
import { hmac, type Secrets } from '../identity/secrets.ts';
import { isStoreError, StoreError } from '../kernel/errors.ts';
import { eventId } from '../kernel/ids.ts';
import type { Position } from '../kernel/position.ts';
import type { EventLog, LogEvents } from '../log/event-log.ts';
import type { EventStore } from '../ports/event-store.ts';
import type { KeyStore } from '../ports/keys.ts';
import type { System } from './ports.ts';

/** The secret or the keys are not those of the event log. The message is for the operator, who has to restore them. */
export class InstallationError extends Error {
  override readonly name = 'InstallationError';
}

const STREAM = 'installation-parley';
/** The key that holds the id of the key store. */
const KEY_STORE_ID = 'installation/id';
/** Keys of which every key store has one, by their prefix. */
const FIRST_KEYS = ['installation/', 'signing/'];
/** The text whose HMAC is the check value of the secret. */
const CHECKED = 'the secret of this installation';

type Installation = InstallationEvent['data'];

/**
 * Checks that the secret and the key store are those that the event log began with: otherwise users could not sign in, and names that are taken
 * would be free again. The first node of an empty log stores what is checked; nodes that start at the same time agree on it.
 * Throws `InstallationError`, and what the stores throw.
 */
export async function requireSameInstallation(
  deps: Pick<System, 'clock' | 'random'> & Readonly<{ log: EventLog; keys: KeyStore; secrets: Secrets }>,
): Promise<void> {
  const { log, keys, secrets } = deps;
  const secretCheck = hmac(secrets.check, CHECKED).toString('base64url');
  const stored = (await read(log)) ?? (await create(deps, secretCheck));
  if (stored.secretCheck !== secretCheck) throw wrongSecret('the event log');
  const keyStoreId = await open(() => keys.get(KEY_STORE_ID));
  if (keyStoreId === null || Buffer.from(keyStoreId).toString() !== stored.keyStoreId) throw wrongKeys();
}

/**
 * Checks that no file of an embedded installation was lost, before a new one takes its place. `secret`: whether it is a file.
 * Throws `InstallationError`.
 */
export async function requireFiles(
  events: EventStore,
  dataDir: string,
  { secret }: { secret: boolean },
): Promise<void> {
  const [keysFile, secretFile] = [join(dataDir, 'keys.db'), join(dataDir, 'secret')];
  const hasEvents = (await events.head()) !== null;
  const hasKeys = await exists(keysFile);
  // The secret is made before the keys, and the keys before the first event.
  const missing = [
    ...(secret && (hasEvents || hasKeys) && !(await exists(secretFile)) ? [secretFile] : []),
    ...(hasEvents && !hasKeys ? [keysFile] : []),
  ];
  if (missing.length === 0) return;
  const [are, them] = missing.length > 1 ? ['are', 'them'] : ['is', 'it'];
  throw new InstallationError(
    `${missing.join(' and ')} ${are} missing, and ${hasEvents ? 'the event log' : keysFile} cannot be used without ${them}: restore ${them} from a backup`,
  );
}

async function read(log: EventLog): Promise<Installation | null> {
  const [first] = (await log.readStream(STREAM, { limit: 1 })).events;
  // Only this module writes to the stream.
  return first === undefined ? null : (first.data as Installation);
}

async function create(
  { log, keys, clock, random }: Parameters<typeof requireSameInstallation>[0],
  secretCheck: string,
): Promise<Installation> {
  const hasEvents = !(await isEmpty(log));
  const known = (await Promise.all(FIRST_KEYS.map((prefix) => keys.list(prefix)))).flat();
  // Another node that has just written the first event has made its keys before.
  if (hasEvents && known.length === 0) throw wrongKeys();
  await open(() => keys.getMany(known));
  const id = await open(() => keys.create(KEY_STORE_ID, Buffer.from(random.uuid(clock.now()))));
  if (id === null) throw wrongKeys();

  const data = { secretCheck, keyStoreId: Buffer.from(id).toString() };
  const commandId = random.uuid(clock.now());
  const metadata = { actor: null, correlationId: commandId, causationId: null, commandId };
  const event = { id: eventId(commandId, 0), type: 'InstallationCreated', data, metadata };
  try {
    await log.append(STREAM, [event], { expect: 'none' });
  } catch (error) {
    // Another node was first, or there was no response.
    if (!isStoreError(error, 'VERSION_CONFLICT', 'UNKNOWN')) throw error;
  }
  const stored = await read(log);
  if (stored === null) throw new StoreError('UNAVAILABLE', `the first event of stream '${STREAM}' cannot be read`);
  return stored;
}

/** Reads the whole log where it is shared with other programs and they wrote last: only before the first start, and only their records. */
async function isEmpty(log: EventLog): Promise<boolean> {
  const head = await log.head();
  if (head === null) return true;
  if ((await log.idAt(head)) !== null) return false;
  for (let from: Position | null = null; ; ) {
    const slice: LogEvents = await log.readAll({ direction: 'backwards', from, limit: 1 });
    if (slice.events.length > 0 || slice.end) return slice.events.length === 0;
    from = slice.next;
  }
}

/** Calls the key store. A key that was sealed under another secret is an error of the operator. */
async function open<Result>(call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    if (isStoreError(error, 'INVALID')) throw wrongSecret('the key store', error);
    throw error;
  }
}

/** Whether there is a file at this path. */
export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

const wrongSecret = (store: string, cause?: unknown): InstallationError =>
  new InstallationError(
    `the secret does not fit ${store}: PARLEY_SECRET, or the file 'secret' in DATA_DIR, must be the one that this installation began with`,
    { cause },
  );

const wrongKeys = (): InstallationError =>
  new InstallationError(
    'the key store does not fit the event log: its keys are missing or those of another installation; restore the keys from a backup',
  );
