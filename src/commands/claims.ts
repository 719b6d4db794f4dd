import type { Aggregate } from '../kernel/decider.ts';
import { isStoreError, Refusal } from '../kernel/errors.ts';
import type { NewEvent } from '../kernel/event.ts';
import { derivedIds, eventId, type IdSource } from '../kernel/ids.ts';
import type { Logger } from '../kernel/logger.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import { type ExpectedRevision, MAX_APPEND_EVENTS } from '../ports/event-store.ts';
import type { Random } from '../ports/random.ts';
import { appendUntilKnown } from './append.ts';
import type { CommandHandler } from './command-handler.ts';

/** How long a key is remembered, in ms. */
const KEPT_MS = 48 * 60 * 60 * 1_000;
/** How long a claim of unknown outcome is repeated, in ms. */
const DEADLINE_MS = 2_000;
/** The claim's id derives from the command's id, as those of its events do: by an index that none of them has. */
const CLAIM_INDEX = MAX_APPEND_EVENTS;

/** What a key identifies: the same owner, on the same route, with the same key. `bodyHash` shows whether it is the same request. */
export type Claim = Readonly<{
  /** Whose keys they are: a user, or without a session the person whom the request is about. */
  owner: string;
  route: string;
  key: string;
  bodyHash: string;
  /** Id of the user who acts, for the claim's metadata; `null` without a session. */
  actor: string | null;
  correlationId: string;
}>;

/** What a claimed request is run with. `handledSince` is set for a retry; see `HandleOptions`. */
export type Claimed = Readonly<{ ids: IdSource; commandId: string; handledSince?: bigint }>;

/** The aggregate that a claimed command will be appended to; its id may be one of those made for the request. */
export type Target = Readonly<{
  // biome-ignore lint/suspicious/noExplicitAny: of any aggregate only the revision is read
  aggregate: Aggregate<any, any, any>;
  id: (ids: IdSource) => string;
}>;

/** The request itself, run with the ids of its key. */
export type Execute<Answer> = (claimed: Claimed) => Promise<Answer>;

/** Makes a command with an `Idempotency-Key` happen once: its ids derive from the key, and a claim is written before it. */
export interface Claims {
  /**
   * Runs the request with the ids of its key. While an equal one is in progress on this node, its answer is shared.
   * Refused with `key-reused` when the key was used for another body. A failure is not kept: the next request runs again, with the same ids.
   */
  run<Answer>(claim: Claim, target: Target, execute: Execute<Answer>): Promise<Answer>;
}

/** Without `secret`, the ids that derive from a key cannot be predicted. */
export function createClaims(deps: {
  log: EventLog;
  commands: CommandHandler;
  clock: Clock;
  random: Random;
  logger: Logger;
  secret: Uint8Array;
}): Claims {
  const { log, commands, clock, random, logger } = deps;
  const inProgress = new Map<string, { bodyHash: string; answer: Promise<unknown> }>();

  /** The revision to search for the command from, or `null` when this is the first time. */
  async function claimed(commandId: string, claim: Claim, stream: string, revision: string): Promise<bigint | null> {
    const claimStream = `command-${commandId}`;
    const { actor, correlationId } = claim;
    const metadata = { actor, correlationId, causationId: null, commandId };
    const data = { bodyHash: claim.bodyHash, stream, revision };
    const event: NewEvent = { id: eventId(commandId, CLAIM_INDEX), type: 'CommandClaimed', data, metadata };
    const deadline = clock.monotonic() + DEADLINE_MS;
    for (let expect: ExpectedRevision = 'none'; ; ) {
      try {
        await appendUntilKnown({ log, clock, random }, claimStream, [event], { expect, deadline });
        break;
      } catch (error) {
        if (!isStoreError(error, 'VERSION_CONFLICT')) throw error;
        const [earlier] = (await log.readStream(claimStream, { limit: 1 })).events;
        if (earlier !== undefined) {
          if (earlier.data.bodyHash !== claim.bodyHash) throw reused();
          return BigInt(String(earlier.data.revision));
        }
        // The claim of 48 h ago was forgotten; its stream still has its revision. Another node may be replacing it at the same time.
        expect = error.actual ?? 'none';
      }
    }
    // A claim that is never forgotten does no harm, so this is not awaited.
    log.setRetention(claimStream, { maxAgeMs: KEPT_MS }).catch((error: unknown) => {
      logger.warn({ err: error, stream: claimStream }, 'the retention of a claim was not set');
    });
    return null;
  }

  async function first<Answer>(claim: Claim, target: Target, execute: Execute<Answer>, ids: IdSource): Promise<Answer> {
    const commandId = ids.uuid('command', 0);
    const id = target.id(ids);
    const { revision } = await commands.load(target.aggregate, id, 'cached');
    const stream = `${target.aggregate.category}-${id}`;
    const since = await claimed(commandId, claim, stream, String(revision ?? -1n));
    return execute(since === null ? { ids, commandId } : { ids, commandId, handledSince: since });
  }

  return {
    async run<Answer>(claim: Claim, target: Target, execute: Execute<Answer>): Promise<Answer> {
      const ids = derivedIds(deps.secret, `${claim.owner}\n${claim.route}\n${claim.key}`);
      const name = ids.uuid('command', 0);
      const other = inProgress.get(name);
      if (other !== undefined) {
        if (other.bodyHash !== claim.bodyHash) throw reused();
        // The same user, route and key lead to the same type of answer.
        return other.answer as Promise<Answer>;
      }
      const answer = first(claim, target, execute, ids);
      inProgress.set(name, { bodyHash: claim.bodyHash, answer });
      try {
        return await answer;
      } finally {
        inProgress.delete(name);
      }
    },
  };
}

function reused(): Refusal {
  return new Refusal('key-reused', 'this Idempotency-Key was used for another request');
}
