import type { Credentials } from '@eventstore/db-client';
import { GossipClient } from '@eventstore/db-client/generated/gossip_grpc_pb.js';
import type { ClusterInfo } from '@eventstore/db-client/generated/gossip_pb.js';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { Clock } from '../../ports/clock.ts';
import { LATE, within } from '../../ports/within.ts';
import type { MemberView } from './choose-member.ts';
import type { ClientInternals } from './client-internals.ts';
import { accessFailureOf } from './outcomes.ts';

/** A connection to a silent member is kept for the next question, but not longer than this, in ms: each attempt may hold a socket for minutes. */
const RENEW_MS = 10_000;

export type GossipDeps = Readonly<{
  clock: Clock;
  credentials: Credentials | undefined;
  createClient(): ClientInternals;
}>;

/** Asks one member of a cluster for its view of all members. */
export class Gossip {
  readonly #deps: GossipDeps;
  #client: Readonly<{ internals: ClientInternals; stub: GossipClient; since: number }> | null = null;
  #asking: Promise<readonly MemberView[] | null> | null = null;
  #cancel: () => void = () => {};
  #isClosed = false;

  constructor(deps: GossipDeps) {
    this.#deps = deps;
  }

  /** The member's view of all members, `null` when it does not send it within `timeoutMs`. Concurrent questions share one call. */
  ask(timeoutMs: number): Promise<readonly MemberView[] | null> {
    this.#asking ??= this.#ask(timeoutMs).finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
    this.#disconnect();
  }

  async #ask(timeoutMs: number): Promise<readonly MemberView[] | null> {
    const { clock, credentials } = this.#deps;
    try {
      await this.#connect();
      const info = await within(
        clock,
        timeoutMs,
        this.#call(undefined).catch((error: unknown) => {
          // Members respond to anonymous callers, unless their configuration forbids it.
          if (credentials === undefined || accessFailureOf(error) === null) throw error;
          return this.#call(credentials);
        }),
      );
      if (info === LATE) {
        this.#cancel();
        if (this.#client !== null && clock.monotonic() - this.#client.since >= RENEW_MS) this.#disconnect();
        return null;
      }
      this.#disconnect();
      return viewsOf(info);
    } catch {
      // A new client connects at once, without the pause of the old one after a failed attempt.
      this.#disconnect();
      return null;
    }
  }

  async #connect(): Promise<void> {
    if (this.#client !== null) return;
    const internals = this.#deps.createClient();
    const stub = await internals.getGRPCClient(GossipClient, 'gossip');
    this.#client = { internals, stub, since: this.#deps.clock.monotonic() };
  }

  #call(credentials: Credentials | undefined): Promise<ClusterInfo> {
    return new Promise((resolve, reject) => {
      if (this.#client === null || this.#isClosed) throw new Error('closed');
      const { internals, stub } = this.#client;
      const deadline = Number.POSITIVE_INFINITY;
      const [metadata, options] = internals.callArguments(
        { ...(credentials !== undefined && { credentials }), deadline },
        { deadline },
      );
      const call = stub.read(new shared.Empty(), metadata, options, (error, info) => {
        if (error === null) resolve(info);
        else reject(error);
      });
      this.#cancel = () => call.cancel();
    });
  }

  #disconnect(): void {
    this.#client?.stub.close();
    this.#client = null;
  }
}

function viewsOf(info: ClusterInfo): readonly MemberView[] {
  return info.getMembersList().flatMap((member) => {
    const endPoint = member.getHttpEndPoint();
    if (endPoint === undefined) return [];
    const address = `${endPoint.getAddress()}:${endPoint.getPort()}`;
    return [{ address, state: member.getState(), isAlive: member.getIsAlive() }];
  });
}
