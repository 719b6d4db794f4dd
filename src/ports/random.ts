import type { IdSource } from '../kernel/ids.ts';

/** Randomness as a port, so that a whole node can run from a seed. The only implementation outside the tests is `adapters/system`. */
export interface Random {
  /** Bytes of a cryptographically secure generator. The array belongs to the caller. */
  bytes(count: number): Buffer;
  /** A number from 0 (inclusive) to 1 (exclusive). For jitter, not for secrets. */
  fraction(): number;
  /** A UUIDv7 (RFC 9562, section 5.7) for a time in ms since the epoch. */
  uuid(atMs: number): string;
  /** A 24-hex id. */
  objectId(): string;
  /** The same as an `IdSource`: each call gives another id, whatever its name. */
  readonly ids: IdSource;
}
