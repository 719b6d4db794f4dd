import type { Credentials } from '@eventstore/db-client';
import type { Clock } from '../../ports/clock.ts';
import type { Random } from '../../ports/random.ts';
import { type Answers, candidatesFor, chooseLeader, type MemberView } from './choose-member.ts';
import type { ClientInternals } from './client-internals.ts';
import type { DiscoverySettings } from './connection-string.ts';
import { Gossip } from './gossip.ts';

/** Members that are asked at most, so that no response can make the search endless. */
const MAX_MEMBERS = 32;

export type MembersDeps = Readonly<{
  clock: Clock;
  random: Pick<Random, 'fraction'>;
  settings: DiscoverySettings;
  credentials: Credentials | undefined;
  createClient(address: string): ClientInternals;
}>;

/**
 * The members of a cluster. All that are known are asked in parallel, so that no member that is down or silent delays the search, and only a member
 * that has responded itself is chosen.
 */
export class Members {
  readonly #deps: MembersDeps;
  readonly #gossips = new Map<string, Gossip>();
  readonly #closing = new AbortController();
  /** The members by the last response: more than one DNS name, and those that joined later. */
  #known: readonly string[] = [];

  constructor(deps: MembersDeps) {
    this.#deps = deps;
  }

  /** The address of the node to use. Throws an `Error` when none is found. */
  async find(): Promise<string> {
    const { clock, settings } = this.#deps;
    const { preference, attempts, intervalMs } = settings;
    for (let attempt = 1; ; attempt++) {
      const answers = await this.#ask((soFar) => preference === 'leader' && chooseLeader(soFar, false) !== null);
      const found = this.#choose(answers, attempt >= attempts);
      if (this.#closing.signal.aborted) throw new Error('the connection was closed');
      if (found !== null) return found;
      if (attempt >= attempts) {
        const reason = answers.size === 0 ? 'no member of the cluster responds' : 'the cluster has no leader';
        throw new Error(`${reason} (asked ${attempts} times)`);
      }
      await clock.sleep(intervalMs, this.#closing.signal);
    }
  }

  /**
   * The address of the node that has replaced this one: another one is the leader, or it does not respond and need not be the leader. `null` when
   * there is none, so also for a node that is just slow.
   */
  async replacementOf(address: string): Promise<string | null> {
    const isLeader = this.#deps.settings.preference === 'leader';
    const answers = await this.#ask((soFar) => (isLeader ? chooseLeader(soFar, false) !== null : soFar.has(address)));
    if (!isLeader && answers.has(address)) return null;
    const found = this.#choose(answers, false);
    return found === address ? null : found;
  }

  /** Ends the search. */
  close(): void {
    this.#closing.abort();
    for (const gossip of this.#gossips.values()) gossip.close();
  }

  /** `isLast`: rather a member in another state than none. It forwards appends to the leader. */
  #choose(answers: Answers, isLast: boolean): string | null {
    const { random, settings } = this.#deps;
    if (settings.preference === 'leader') {
      const leader = chooseLeader(answers, true);
      if (leader !== null || !isLast) return leader;
    }
    const candidates = candidatesFor(settings.preference, answers);
    return candidates[Math.floor(random.fraction() * candidates.length)] ?? null;
  }

  /** Asks all members, also those that are only known by the responses, until `isEnough` or all have responded or failed. */
  #ask(isEnough: (answers: Answers) => boolean): Promise<Answers> {
    const { settings } = this.#deps;
    const answers = new Map<string, readonly MemberView[]>();
    const asked = new Set<string>();
    const { promise, resolve } = Promise.withResolvers<Answers>();
    let open = 0;
    const ask = async (address: string): Promise<void> => {
      if (asked.has(address) || asked.size >= MAX_MEMBERS) return;
      asked.add(address);
      open++;
      const views = await this.#gossipOf(address).ask(settings.timeoutMs);
      if (views !== null) {
        answers.set(address, views);
        this.#known = views.map((view) => view.address);
        for (const view of views) void ask(view.address);
      }
      open--;
      if (open === 0 || isEnough(answers)) resolve(new Map(answers));
    };
    const first = new Set([...settings.seeds, ...this.#known]);
    this.#forgetAllBut(first);
    for (const address of first) void ask(address);
    return promise;
  }

  #forgetAllBut(addresses: ReadonlySet<string>): void {
    for (const [address, gossip] of this.#gossips) {
      if (addresses.has(address)) continue;
      gossip.close();
      this.#gossips.delete(address);
    }
  }

  #gossipOf(address: string): Gossip {
    const known = this.#gossips.get(address);
    if (known !== undefined) return known;
    const { clock, credentials, createClient } = this.#deps;
    const gossip = new Gossip({ clock, credentials, createClient: () => createClient(address) });
    if (this.#closing.signal.aborted) gossip.close();
    this.#gossips.set(address, gossip);
    return gossip;
  }
}
