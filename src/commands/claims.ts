import type { Aggregate } from '../kernel/decider.ts';
import { isStoreError, Refusal } from '../kernel/errors.ts';
import { derivedIds, type IdSource } from '../kernel/ids.ts';
import { type ClaimDeps, ClaimStream, type StoredClaim } from './claim-stream.ts';
import {
  AlreadyClaimed,
  type ClaimedTarget,
  type CommandHandler,
  type RequestClaim,
  type WaitSignal,
} from './command-handler.ts';
import { findOutcome } from './earlier-outcome.ts';
import { unavailable } from './refusals.ts';
import type { EarlierOutcome } from './request-context.ts';

const SEED_BYTES = 16;

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
  /** Whether the client has left. A request that several clients wait for goes on until all have. */
  signal?: WaitSignal | undefined;
}>;

/** What a claimed request is run with; see `RequestContext`. */
export type Claimed = Readonly<{
  ids: IdSource;
  commandId: string;
  claim?: RequestClaim;
  handledSince?: bigint;
  earlier?: EarlierOutcome;
  signal?: WaitSignal | undefined;
}>;

/** The aggregate that a claimed command will be appended to; its id may be one of those made for the request. */
export type Target = Readonly<{
  // biome-ignore lint/suspicious/noExplicitAny: of any aggregate only the revision is read
  aggregate: Aggregate<any, any, any>;
  id: (ids: IdSource) => string;
  /**
   * The answer is noted on the claim in any case, not only when no event of this aggregate shows it: for outcomes in other streams, and where events
   * may be removed within 48 h.
   */
  noted?: boolean | undefined;
}>;

/** The request itself, run with the ids of its claim. */
export type Execute<Answer> = (claimed: Claimed) => Promise<Answer>;

/** Makes a request with an `Idempotency-Key` happen once. */
export interface Claims {
  /**
   * Runs the request. Its ids derive from the random seed of a claim, which is appended once the request is known not to be refused. A repetition
   * within 48 h gets the same ids, and the answer of the first one if that came so far. While an equal one is in progress on this node, its answer
   * is shared.
   * Refused with `key-reused` when the key was used for another body. A failure is not kept: the next request runs again, with the same ids.
   */
  run<Answer extends EarlierOutcome>(claim: Claim, target: Target, execute: Execute<Answer>): Promise<Answer>;

  /** Waits for the work that no request waits for. */
  close(): Promise<void>;
}

type InProgress = Readonly<{ bodyHash: string; answer: Promise<unknown>; waiting: (WaitSignal | undefined)[] }>;

/** One request with a key, and what it is run with. */
type Request<Answer> = Readonly<{
  claim: Claim;
  target: Target;
  execute: Execute<Answer>;
  stream: ClaimStream;
  signal: WaitSignal;
}>;

/** `secret`: without it, keys cannot be guessed from the names of the streams of claims. */
export function createClaims(deps: ClaimDeps & Readonly<{ commands: CommandHandler; secret: Uint8Array }>): Claims {
  const { commands, random, secret } = deps;
  const inProgress = new Map<string, InProgress>();
  const settings = new Set<Promise<void>>();

  const own = (setting: Promise<void>): void => {
    settings.add(setting);
    void setting.finally(() => settings.delete(setting));
  };

  /** The first run of a request, unless it turns out that its key was used before. */
  async function first<Answer extends EarlierOutcome>(request: Request<Answer>): Promise<Answer> {
    const { claim, target, stream, signal, execute } = request;
    const seed = random.bytes(SEED_BYTES).toString('hex');
    const { ids, commandId } = idsOf(seed);
    const begun = new BegunClaim(commandId, async () => {
      const id = target.id(ids);
      const { revision } = await commands.load(target.aggregate, id, 'cached');
      const data = {
        bodyHash: claim.bodyHash,
        stream: `${target.aggregate.category}-${id}`,
        revision: revision ?? -1n,
      };
      const stored = await stream.claim({ ...data, seed }, metadataOf(claim, commandId));
      if (stored.seed !== seed) throw new AlreadyClaimed();
      return stored;
    });
    try {
      const answer = await execute({ ids, commandId, claim: begun, signal });
      return await conclude(request, begun, answer);
    } catch (error) {
      const earlier = mayBeRepeated(error, begun) ? await stream.read() : null;
      if (earlier === null) throw error;
      return repeat(request, earlier);
    }
  }

  /** Answers as the first run did, or else runs the request again. */
  async function repeat<Answer extends EarlierOutcome>(request: Request<Answer>, stored: StoredClaim): Promise<Answer> {
    const { claim, signal, execute } = request;
    if (stored.bodyHash !== claim.bodyHash) throw reused();
    const { ids, commandId } = idsOf(stored.seed);
    if (stored.answered !== null) return execute({ ids, commandId, earlier: { position: stored.answered } });
    const { handled, searchedTo } = await findOutcome(deps.log, stored.stream, commandId, stored.revision);
    if (handled !== null) return execute({ ids, commandId, earlier: handled });
    const begun = new BegunClaim(commandId, async () => stored);
    await begun.begin();
    const answer = await execute({ ids, commandId, claim: begun, handledSince: searchedTo, signal });
    return conclude(request, begun, answer);
  }

  /** Notes the answer if nothing else shows it. */
  async function conclude<Answer extends EarlierOutcome>(
    { claim, target, stream, execute }: Request<Answer>,
    begun: BegunClaim,
    answer: Answer,
  ): Promise<Answer> {
    const { stored, commandId } = begun;
    if (stored === null) throw new Error('a request with a key was performed without its claim');
    if (answer.position === null || (begun.isShown && target.noted !== true)) return answer;
    const position = await stream.note(stored, answer.position, metadataOf(claim, commandId));
    return position === answer.position
      ? answer
      : execute({ ids: idsOf(stored.seed).ids, commandId, earlier: { position } });
  }

  return {
    async run<Answer extends EarlierOutcome>(claim: Claim, target: Target, execute: Execute<Answer>): Promise<Answer> {
      const id = derivedIds(secret, `${claim.owner}\n${claim.route}\n${claim.key}`).uuid('claim', 0);
      const other = inProgress.get(id);
      if (other !== undefined) {
        if (other.bodyHash !== claim.bodyHash) throw reused();
        other.waiting.push(claim.signal);
        // The same user, route and key lead to the same type of answer.
        return other.answer as Promise<Answer>;
      }
      const waiting = [claim.signal];
      const signal = {
        get aborted() {
          return waiting.every((each) => each?.aborted === true);
        },
      };
      const answer = first({ claim, target, execute, stream: new ClaimStream(deps, id, own), signal });
      inProgress.set(id, { bodyHash: claim.bodyHash, answer, waiting });
      try {
        return await answer;
      } finally {
        inProgress.delete(id);
      }
    },

    async close() {
      await Promise.all(settings);
    },
  };
}

/** A claim while its request runs. */
class BegunClaim implements RequestClaim {
  readonly commandId: string;
  /** Whether the target's stream shows the outcome. */
  isShown = false;
  stored: StoredClaim | null = null;
  readonly #append: () => Promise<StoredClaim>;
  #beginning: Promise<ClaimedTarget> | null = null;

  constructor(commandId: string, append: () => Promise<StoredClaim>) {
    this.commandId = commandId;
    this.#append = append;
  }

  get begun(): boolean {
    return this.stored !== null;
  }

  begin(): Promise<ClaimedTarget> {
    this.#beginning ??= this.#begin();
    return this.#beginning;
  }

  appended(commandId: string, stream: string): void {
    if (commandId === this.commandId && stream === this.stored?.stream) this.isShown = true;
  }

  async #begin(): Promise<ClaimedTarget> {
    try {
      this.stored = await this.#append();
      return this.stored;
    } catch (error) {
      // The claim may be in the log then, which a repetition is prepared for; of the command itself nothing was written.
      throw isStoreError(error, 'UNKNOWN') ? unavailable('nothing was written; try again', error) : error;
    }
  }
}

/** Whether a failure may be due to what an earlier run of the same request did. */
function mayBeRepeated(error: unknown, { begun }: RequestClaim): boolean {
  if (error instanceof AlreadyClaimed) return true;
  return !begun && error instanceof Refusal && error.code !== 'unavailable' && error.code !== 'outcome-unknown';
}

function idsOf(seed: string): { ids: IdSource; commandId: string } {
  const ids = derivedIds(Buffer.from(seed, 'hex'), '');
  return { ids, commandId: ids.uuid('command', 0) };
}

function metadataOf({ actor, correlationId }: Claim, commandId: string) {
  return { actor, correlationId, commandId };
}

function reused(): Refusal {
  return new Refusal('key-reused', 'this Idempotency-Key was used for another request');
}
