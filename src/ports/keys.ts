/**
 * Secrets that outlive a process and that every node shares: signing keys now, keys of persons and credentials beside them.
 * Kept apart from the event log, so that destroying a key makes what was written under it unreadable for good.
 * What is stored is sealed under the server's own secret. The adapters are held to `tests/contracts/keys.ts`.
 *
 * Names are `<kind>/<id>`, at most 200 printable ASCII characters without spaces; others are `INVALID`. Every method may throw `StoreError` with `UNAVAILABLE` or `CLOSED`.
 * After `UNAVAILABLE`, a creation or destruction may have been done all the same; repeating it is harmless.
 */
export interface KeyStore {
  /** The secret of this name, `null` when there is none or it was destroyed. Throws `INVALID` when it was sealed under another server secret. */
  get(name: string): Promise<Uint8Array | null>;

  /**
   * Stores a secret (1 byte to 64 KiB) unless one of this name exists or was destroyed; gives the one that holds, `null` for a destroyed one.
   * Throws `INVALID` when the one that holds was sealed under another server secret.
   */
  create(name: string, secret: Uint8Array): Promise<Uint8Array | null>;

  /** Removes a secret for good: the name cannot be created again, also when there was none. */
  destroy(name: string): Promise<void>;

  /** Names that start so and hold a secret, in the order of ASCII. */
  list(prefix: string): Promise<readonly string[]>;

  /** Frees what is held. May be called twice. */
  close(): Promise<void>;
}
