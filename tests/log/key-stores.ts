import { StoreError } from '../../src/kernel/errors.ts';
import type { NewEvent } from '../../src/kernel/event.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { newEvent } from './fixtures.ts';

/** An event with a personal field. */
export const letter = (senderId: string, data: JsonObject = {}): NewEvent =>
  newEvent('LetterSent', { senderId, receiverId: null, stamp: 1, text: `secret of ${senderId}`, ...data });

/** The key store with other methods in place of some of its own. */
export function keysWith(keys: KeyStore, methods: Partial<KeyStore>): KeyStore {
  return {
    get: (name) => keys.get(name),
    getMany: (names) => keys.getMany(names),
    create: (name, secret) => keys.create(name, secret),
    destroy: (name) => keys.destroy(name),
    list: (prefix) => keys.list(prefix),
    close: () => keys.close(),
    ...methods,
  };
}

/** A key store that is unavailable while `state.isAway`, and counts its calls. */
export function unreliable(keys: KeyStore) {
  const state = { isAway: false, creates: [] as string[], reads: [] as string[] };
  const check = (): void => {
    if (state.isAway) throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
  };
  const store = keysWith(keys, {
    async getMany(names) {
      check();
      state.reads.push(...names);
      return keys.getMany(names);
    },
    async create(name, secret) {
      check();
      state.creates.push(name);
      return keys.create(name, secret);
    },
  });
  return { store, state };
}

/** A key store in which every person has the same key, and what was read from it: the number of names in each call. */
export function endlessKeys() {
  const secret = Buffer.alloc(32, 7);
  const reads: number[] = [];
  const store: KeyStore = {
    get: async () => secret,
    async getMany(names) {
      reads.push(names.length);
      return new Map(names.map((name) => [name, secret]));
    },
    create: async () => secret,
    destroy: async () => {},
    list: async () => [],
    close: async () => {},
  };
  return { store, reads };
}
