/**
 * Secrets that outlive a process and that all nodes share: signing keys, and the keys of persons.
 * Kept apart from the event log, so that destroying a key makes everything encrypted with it unreadable for good.
 * Stored secrets are sealed under the server secret. The adapters are tested by `tests/contracts/keys.ts`.
 *
 * Names are `<kind>/<id>`, at most 200 printable ASCII characters without spaces; others are `INVALID`.
 * Every method may throw `StoreError` with `UNAVAILABLE` or `CLOSED`. After `UNAVAILABLE`, a creation or destruction may have
 * been done nevertheless; repeating it is harmless.
 */
export interface KeyStore {
  /** The secret of this name, `null` when there is none or it was destroyed. Throws `INVALID` when it was sealed under another server secret. */
  get(name: string): Promise<Uint8Array | null>;

  /** The secrets of these names (at most 4,096), without those that do not exist; `null` for one that was destroyed. Throws like `get`. */
  getMany(names: readonly string[]): Promise<ReadonlyMap<string, Uint8Array | null>>;

  /**
   * Stores a secret (1 byte to 64 KiB) unless one of this name exists or was destroyed. Returns the stored secret, `null` for a destroyed one.
   * Throws `INVALID` when the stored secret was sealed under another server secret.
   */
  create(name: string, secret: Uint8Array): Promise<Uint8Array | null>;

  /** Removes a secret for good: the name cannot be created again, even if there was no secret. */
  destroy(name: string): Promise<void>;

  /** The names with this prefix that have a secret, in ASCII order. */
  list(prefix: string): Promise<readonly string[]>;

  /** Releases all resources. May be called twice. */
  close(): Promise<void>;
}
