import { StoreError } from '../../kernel/errors.ts';

/** The database when the connection string has none. */
const DATABASE = 'parley';

/** Keys are in a separate database, so that they are neither dropped nor backed up together with read models. */
export const KEYS_SUFFIX = '-keys';

/** MongoDB allows 63 bytes. All databases of a connection string have to fit, so the suffix is subtracted. */
const MAX_BYTES = 63 - KEYS_SUFFIX.length;

/** Databases of MongoDB itself. Some of them are not replicated, so acknowledged writes could be lost. */
const RESERVED: ReadonlySet<string> = new Set(['admin', 'config', 'local']);

/**
 * The name of the database in a connection string: the path after the hosts, in which slashes of user and password are escaped. Throws `INVALID` for
 * one that MongoDB would reject with every call. The name is not part of the message: it may be a misplaced password.
 */
export function databaseOf(url: string): string {
  const [, path] = /^mongodb(?:\+srv)?:\/\/[^/?]+\/([^?]+)/.exec(url) ?? [];
  if (path === undefined) return DATABASE;
  const name = decoded(path);
  const [character] = /[/\\. "$\0]/.exec(name) ?? [];
  if (character !== undefined) throw invalid(`it contains ${JSON.stringify(character)}`);
  const bytes = Buffer.byteLength(name);
  if (bytes > MAX_BYTES) throw invalid(`it has ${bytes} bytes, and at most ${MAX_BYTES} are allowed`);
  if (RESERVED.has(name.toLowerCase())) {
    throw invalid('it is reserved by MongoDB (authSource names the database of users)');
  }
  return name;
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw invalid('it contains an invalid percent-encoding');
  }
}

const invalid = (reason: string): StoreError =>
  new StoreError('INVALID', `invalid database name in the connection string of MongoDB: ${reason}`);
