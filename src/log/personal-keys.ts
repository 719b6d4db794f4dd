import { createSecretKey, type KeyObject } from 'node:crypto';
import type { KeyStore } from '../ports/keys.ts';
import { createLru } from '../ports/lru.ts';
import type { Random } from '../ports/random.ts';

/** Bytes of a key of AES-256. */
const KEY_BYTES = 32;
/** Keys held in memory, about 1 KiB each. */
const CACHED_MAX = 20_000;
/** Names in one call to the key store. */
const NAMES_MAX = 4_096;

/** `null`: it was destroyed, or never existed. */
export type PersonalKey = KeyObject | null;

/**
 * The key of each person, under which their personal fields are sealed in the event log (spec, section 10): 256 random bits in the key store, made
 * when something of a person is first sealed, which is at registration. Destroying it erases the person: the name of a key is never used again.
 */
export class PersonalKeys {
  readonly #keys: KeyStore;
  readonly #random: Random;
  readonly #cache = createLru<{ key: PersonalKey }>(CACHED_MAX);
  readonly #creating = new Map<string, Promise<PersonalKey>>();
  /** For each call to the key store in progress, the persons erased since it began: it may still return their keys, which are not to be cached. */
  readonly #erasedMeanwhile = new Set<Set<string>>();

  constructor(deps: { keys: KeyStore; random: Random }) {
    this.#keys = deps.keys;
    this.#random = deps.random;
  }

  /** The key if this node has it in memory, `null` if it knows that it was destroyed, `undefined` if it has to be read. */
  cached(personId: string): PersonalKey | undefined {
    return this.#cache.get(personId)?.key;
  }

  /** The key to seal with, made now when there was none; `null` once it was destroyed. Throws what the key store throws. */
  create(personId: string): Promise<PersonalKey> {
    const other = this.#creating.get(personId);
    if (other !== undefined) return other;
    const task = this.#create(personId).finally(() => this.#creating.delete(personId));
    this.#creating.set(personId, task);
    return task;
  }

  /** The keys to open with; `null` for persons without one. Throws what the key store throws. */
  async read(personIds: ReadonlySet<string>): Promise<ReadonlyMap<string, PersonalKey>> {
    const found = new Map<string, PersonalKey>();
    const missing: string[] = [];
    for (const personId of personIds) {
      const key = this.cached(personId);
      if (key === undefined) missing.push(personId);
      else found.set(personId, key);
    }
    for (let from = 0; from < missing.length; from += NAMES_MAX) {
      const some = missing.slice(from, from + NAMES_MAX);
      await this.#call(
        () => this.#keys.getMany(some.map(nameOf)),
        (secrets, erased) => {
          for (const personId of some) {
            const secret = secrets.get(nameOf(personId));
            found.set(personId, secret == null ? null : this.#keep(personId, secret, erased));
            // A key that does not exist may be made yet; one that was destroyed may not.
            if (secret === null) this.#cache.set(personId, { key: null });
          }
        },
      );
    }
    return found;
  }

  /**
   * What the key store has of these persons, at the time of the call and without the cache: a key, or the note that it was destroyed. Those of whom it
   * has neither are left out. Throws what the key store throws.
   */
  async stored(personIds: readonly string[]): Promise<ReadonlyMap<string, 'key' | 'destroyed'>> {
    const found = new Map<string, 'key' | 'destroyed'>();
    for (let from = 0; from < personIds.length; from += NAMES_MAX) {
      const some = personIds.slice(from, from + NAMES_MAX);
      const secrets = await this.#keys.getMany(some.map(nameOf));
      for (const personId of some) {
        const secret = secrets.get(nameOf(personId));
        if (secret !== undefined) found.set(personId, secret === null ? 'destroyed' : 'key');
      }
    }
    return found;
  }

  /** Destroys a person's key for good, on every node: what was sealed under it reads as `null` from now on. Throws what the key store throws. */
  async destroy(personId: string): Promise<void> {
    await this.#keys.destroy(nameOf(personId));
    this.forget(personId);
    this.#cache.set(personId, { key: null });
  }

  /** Drops what is held in memory: the person was erased, here or on another node. */
  forget(personId: string): void {
    for (const erased of this.#erasedMeanwhile) erased.add(personId);
    this.#cache.delete(personId);
  }

  #create(personId: string): Promise<PersonalKey> {
    return this.#call(
      () => this.#keys.create(nameOf(personId), this.#random.bytes(KEY_BYTES)),
      (secret, erased) => {
        if (secret !== null) return this.#keep(personId, secret, erased);
        this.#cache.set(personId, { key: null });
        return null;
      },
    );
  }

  /** Calls the key store, and passes on its result with the persons who were erased during the call. */
  async #call<Result, Used>(
    call: () => Promise<Result>,
    use: (result: Result, erased: ReadonlySet<string>) => Used,
  ): Promise<Used> {
    const erased = new Set<string>();
    this.#erasedMeanwhile.add(erased);
    try {
      return use(await call(), erased);
    } finally {
      this.#erasedMeanwhile.delete(erased);
    }
  }

  #keep(personId: string, secret: Uint8Array, erased: ReadonlySet<string>): KeyObject {
    const key = createSecretKey(secret);
    if (!erased.has(personId)) this.#cache.set(personId, { key });
    return key;
  }
}

const nameOf = (personId: string): string => `person/${personId}`;
