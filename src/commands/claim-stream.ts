import { isStoreError, StoreError } from '../kernel/errors.ts';
import { eventId } from '../kernel/ids.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Position } from '../kernel/position.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import { type ExpectedRevision, MAX_APPEND_EVENTS } from '../ports/event-store.ts';
import type { Random } from '../ports/random.ts';
import { appendUntilKnown } from './append.ts';

/** How long a key is remembered, in ms. */
export const KEPT_MS = 48 * 60 * 60 * 1_000;
/** How long an append of unknown outcome is repeated, in ms. */
const DEADLINE_MS = 2_000;
/** The ids of a claim's events derive from the command's id, as those of its own events do: by indexes that none of them has. */
const CLAIM_INDEX = MAX_APPEND_EVENTS;
const ANSWER_INDEX = MAX_APPEND_EVENTS + 1;

export type ClaimDeps = Readonly<{
  log: EventLog;
  clock: Clock;
  random: Random;
  logger: Logger;
  /**
   * Whether nothing is left of a stream once its retention removed everything. A store that keeps the last event and the retention of each stream needs
   * no retention for a stream of one event: it would be one more append for each command, and would free nothing.
   */
  forgetsStreams: boolean;
}>;

/** What a claim says about its request; see `CommandClaimed`. */
export type ClaimData = Readonly<{ bodyHash: string; stream: string; revision: bigint; seed: string }>;

/** A claim in the log. `last`: revision of the last event of its stream. `answered`: the position of the answer, if it was noted. */
export type StoredClaim = ClaimData & Readonly<{ last: bigint; answered: Position | null }>;

/** Metadata of a claim's events. */
export type ClaimMetadata = Readonly<{ actor: string | null; correlationId: string; commandId: string }>;

/** The stream of one key: the claim of the request that used it, and its answer where nothing else shows it. */
export class ClaimStream {
  readonly #deps: ClaimDeps;
  readonly #stream: string;
  readonly #onSetting: (setting: Promise<void>) => void;

  /** `onSetting` is called with the setting of the stream's retention, for which no request waits. It never rejects. */
  constructor(deps: ClaimDeps, id: string, onSetting: (setting: Promise<void>) => void) {
    this.#deps = deps;
    this.#stream = `command-${id}`;
    this.#onSetting = onSetting;
  }

  /** The claim, `null` when there is none or it was forgotten. */
  async read(): Promise<StoredClaim | null> {
    const { log, clock } = this.#deps;
    const { events } = await log.readStream(this.#stream, { direction: 'backwards', limit: 2 });
    const claim = events.find(({ type }) => type === 'CommandClaimed');
    const [last] = events;
    if (claim === undefined || last === undefined) return null;
    // Stores remove it later than that, or never when it has no retention.
    if (Date.parse(claim.recordedAt) <= clock.now() - KEPT_MS) return null;
    const { bodyHash, stream, revision, seed } = claim.data;
    return {
      bodyHash: String(bodyHash),
      stream: String(stream),
      revision: BigInt(String(revision)),
      seed: String(seed),
      last: last.revision,
      answered: last.type === 'CommandAnswered' ? String(last.data.position) : null,
    };
  }

  /** Appends a claim and returns it, or the one that another request appended before. */
  async claim({ bodyHash, stream, revision, seed }: ClaimData, metadata: ClaimMetadata): Promise<StoredClaim> {
    const { clock } = this.#deps;
    const deadline = clock.monotonic() + DEADLINE_MS;
    const data = { bodyHash, stream, revision: String(revision), seed };
    for (let expect: ExpectedRevision = 'none'; ; ) {
      try {
        const last = await this.#append('CommandClaimed', CLAIM_INDEX, data, { metadata, expect, deadline });
        this.#limit(last);
        return { bodyHash, stream, revision, seed, last, answered: null };
      } catch (error) {
        if (!isStoreError(error, 'VERSION_CONFLICT')) throw error;
        const stored = await this.read();
        if (stored !== null) return stored;
        if (clock.monotonic() >= deadline) throw new StoreError('UNAVAILABLE', 'a key could not be claimed in time');
        // The claim of 48 h ago was forgotten; its stream may still have its revision. Another node may be replacing it at the same time.
        expect = error.actual ?? 'none';
      }
    }
  }

  /** Notes the position that the request was answered with. Returns the one that was noted first, in case another node answered it too. */
  async note(claim: StoredClaim, position: Position, metadata: ClaimMetadata): Promise<Position> {
    const deadline = this.#deps.clock.monotonic() + DEADLINE_MS;
    try {
      const options = { metadata, expect: claim.last, deadline };
      const last = await this.#append('CommandAnswered', ANSWER_INDEX, { position }, options);
      // Otherwise it was set with the claim.
      if (!this.#deps.forgetsStreams) this.#limit(last);
      return position;
    } catch (error) {
      if (!isStoreError(error, 'VERSION_CONFLICT')) throw error;
      return (await this.read())?.answered ?? position;
    }
  }

  /** Has the stream forget its events in time, where that frees anything. `last`: its last revision. */
  #limit(last: bigint): void {
    const { log, logger, forgetsStreams } = this.#deps;
    if (!forgetsStreams && last === 0n) return;
    const setting = log.setRetention(this.#stream, { maxAgeMs: KEPT_MS, disposable: true });
    const warn = (error: unknown) =>
      logger.warn({ err: error, stream: this.#stream }, 'the retention of a claim was not set');
    this.#onSetting(setting.catch(warn));
  }

  async #append(
    type: string,
    index: number,
    data: Readonly<Record<string, string>>,
    options: { metadata: ClaimMetadata; expect: ExpectedRevision; deadline: number },
  ): Promise<bigint> {
    const metadata = { ...options.metadata, causationId: null };
    const event = { id: eventId(metadata.commandId, index), type, data, metadata };
    return (await appendUntilKnown(this.#deps, this.#stream, [event], options)).revision;
  }
}
