import {
  type CryptoKey,
  createLocalJWKSet,
  errors,
  type JSONWebKeySet,
  type JWK,
  type JWTHeaderParameters,
} from 'jose';
import { type BackOffSettings, backOffMs } from '../../kernel/back-off.ts';
import { Refusal } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Random } from '../../ports/random.ts';
import type { WebDocuments } from '../../ports/web-documents.ts';

/** The keys are read again in the background when they are older than this, in ms. */
export const REFRESH_MS = 10 * 60_000;
/** A key id that is unknown has the keys read again, but not more often than this, in ms: anybody can send one. */
export const REREAD_MS = 10_000;
/** For how long the last keys are used while the issuer is away, in ms. A key that it withdrew meanwhile is accepted no longer than that. */
export const STALE_MS = 24 * 60 * 60_000;
/** Between attempts to reach an issuer that is away. */
const BACK_OFF: BackOffSettings = { firstMs: 1_000, longestMs: 30_000 };
/** Bits of the modulus of an RSA key; shorter ones are ignored (RFC 7518, section 3.3). */
const RSA_BITS_MIN = 2_048;

export type KeySetDeps = Readonly<{
  webDocuments: WebDocuments;
  clock: Clock;
  random: Random;
  logger: Logger;
}>;

type Keys = Readonly<{ find: ReturnType<typeof createLocalJWKSet>; text: string; readAt: number }>;

/** The public keys of an issuer, found by OpenID Connect Discovery. They are read at first use, and kept while the issuer is away. */
export class KeySet {
  readonly #issuer: string;
  readonly #deps: KeySetDeps;
  #keys: Keys | null = null;
  #generation = 0;
  #reading: Promise<void> | null = null;
  #triedAt = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #pauseMs = 0;

  constructor(issuer: string, deps: KeySetDeps) {
    this.#issuer = issuer;
    this.#deps = deps;
  }

  /** Changes whenever the keys do: what was verified by the keys before has to be verified again. Reads old keys again in the background. */
  get generation(): number {
    this.#refresh();
    return this.#generation;
  }

  /**
   * The key that signed a token with this header. Throws `JWKSNoMatchingKey` when the issuer has none, and `unavailable` when its keys cannot be
   * read or are too old.
   */
  async find(header: JWTHeaderParameters): Promise<CryptoKey> {
    this.#refresh();
    if (this.#usable === null && this.#mayRead(0)) await this.#read();
    try {
      return await this.#findNow(header);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !this.#mayRead(REREAD_MS)) throw this.#explained(error);
    }
    await this.#read();
    try {
      return await this.#findNow(header);
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /** The keys, unless they are too old. */
  get #usable(): Keys | null {
    const keys = this.#keys;
    return keys !== null && this.#deps.clock.monotonic() - keys.readAt < STALE_MS ? keys : null;
  }

  async #findNow(header: JWTHeaderParameters): Promise<CryptoKey> {
    const keys = this.#usable;
    if (keys === null) throw unavailable();
    try {
      return await keys.find(header);
    } catch (error) {
      if (error instanceof errors.JOSEError) throw error;
      // The platform does not know the curve or the form of the key.
      this.#deps.logger.warn({ err: error, issuer: this.#issuer }, 'a key of an issuer cannot be used');
      throw new errors.JWKSNoMatchingKey();
    }
  }

  /** While the issuer is away, an unknown key may be a new one: whether the token is valid is not known. */
  #explained(error: unknown): unknown {
    return error instanceof errors.JWKSNoMatchingKey && this.#failures > 0 ? unavailable() : error;
  }

  #refresh(): void {
    const { clock } = this.#deps;
    if (this.#keys !== null && clock.monotonic() - this.#keys.readAt >= REFRESH_MS && this.#mayRead(0)) {
      void this.#read();
    }
  }

  /** Whether the last attempt is long enough ago, or there is one in progress to wait for. */
  #mayRead(afterMs: number): boolean {
    return this.#reading !== null || this.#deps.clock.monotonic() - this.#triedAt >= Math.max(afterMs, this.#pauseMs);
  }

  /** Reads the keys. Never rejects: a failure is logged, and the last keys remain. */
  #read(): Promise<void> {
    this.#reading ??= this.#tryToRead().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #tryToRead(): Promise<void> {
    const { clock, random, logger } = this.#deps;
    this.#triedAt = clock.monotonic();
    try {
      const jwks = await this.#fetch();
      const text = JSON.stringify(jwks);
      if (text !== this.#keys?.text) this.#generation++;
      const find = text === this.#keys?.text ? this.#keys.find : createLocalJWKSet(jwks);
      this.#keys = { find, text, readAt: clock.monotonic() };
      if (this.#failures > 0) logger.info({ issuer: this.#issuer }, 'the keys of an issuer can be read again');
      this.#failures = 0;
      this.#pauseMs = 0;
    } catch (error) {
      if (this.#failures === 0) {
        const reason = error instanceof Error ? error.message : String(error);
        logger.warn({ issuer: this.#issuer, reason }, 'the keys of an issuer cannot be read; trying again');
      }
      this.#pauseMs = backOffMs(BACK_OFF, this.#failures, random.fraction());
      this.#failures++;
    }
  }

  async #fetch(): Promise<JSONWebKeySet> {
    const { webDocuments } = this.#deps;
    const base = this.#issuer.replace(/\/$/, '');
    const url = `${base}/.well-known/openid-configuration`;
    const { issuer, jwks_uri: keysUrl } = fieldsOf(await webDocuments.json(url), url);
    if (issuer !== this.#issuer) throw new Error(`${url} is the configuration of another issuer: ${String(issuer)}`);
    // Keys that arrive without TLS could be replaced on their way.
    const protocol = typeof keysUrl === 'string' && URL.canParse(keysUrl) ? new URL(keysUrl).protocol : null;
    const isSafe = protocol === 'https:' || (protocol === 'http:' && this.#issuer.startsWith('http:'));
    if (typeof keysUrl !== 'string' || !isSafe) throw new Error(`${url} has an invalid jwks_uri: ${String(keysUrl)}`);
    const { keys } = fieldsOf(await webDocuments.json(keysUrl), keysUrl);
    if (!Array.isArray(keys)) throw new Error(`${keysUrl} has no keys`);
    return { keys: keys.filter(isUsable) };
  }
}

function fieldsOf(document: unknown, url: string): Readonly<Record<string, unknown>> {
  if (typeof document !== 'object' || document === null) throw new Error(`${url} is not a JSON object`);
  return document as Readonly<Record<string, unknown>>;
}

/** A public key that can verify signatures. Those for encryption, weak ones and those without a type are ignored. */
function isUsable(key: unknown): key is JWK {
  if (typeof key !== 'object' || key === null) return false;
  const { kty, use, n } = key as Readonly<Record<string, unknown>>;
  if (use !== undefined && use !== 'sig') return false;
  if (kty === 'RSA') return typeof n === 'string' && bitsOf(Buffer.from(n, 'base64url')) >= RSA_BITS_MIN;
  return kty === 'EC' || kty === 'OKP';
}

function bitsOf(modulus: Buffer): number {
  const first = modulus.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (modulus.length - first) * 8 - (Math.clz32(modulus[first] ?? 0) - 24);
}

function unavailable(): Refusal {
  const message = 'the keys of the issuer of this access token cannot be read at the moment; try again';
  return new Refusal('unavailable', message, { retryAfterMs: 1_000 });
}
