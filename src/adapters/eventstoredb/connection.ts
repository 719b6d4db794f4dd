import { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Random } from '../../ports/random.ts';
import { LATE, within } from '../../ports/within.ts';
import { AccessLog } from './access.ts';
import { type ConnectionString, parseConnectionString } from './connection-string.ts';
import { Link } from './link.ts';
import { Members } from './members.ts';
import { isConnectionFailure } from './outcomes.ts';
import { SilenceWatch } from './silence-watch.ts';

/** After a failed connection attempt, calls fail immediately for this long, in ms. */
const PAUSE_MS = 100;

export type ConnectionDeps = Readonly<{
  clock: Clock;
  random: Pick<Random, 'fraction'>;
  logger: Logger;
  /** How long a caller waits for a connection, in ms. */
  connectMs: number;
}>;

/**
 * Access to the event store over one connection, opened when first needed and again after a failure. The client's own reconnecting and discovery are
 * not used: they leave rejections unhandled while a cluster is unavailable, appends never succeed after a failed discovery, and each silent member
 * delays the discovery (docs/decisions/0019, 0024).
 */
export class Connection {
  /** Logs what the server rejects. */
  readonly access: AccessLog;
  readonly #deps: ConnectionDeps;
  readonly #string: ConnectionString;
  /** `null`: there is only one node. */
  readonly #members: Members | null;
  readonly #findNode: () => Promise<string>;
  #link: Link | null = null;
  /** The one before, whose calls may still be running. */
  #previous: Link | null = null;
  #opening: Promise<Link> | null = null;
  #failed: { at: number; error: StoreError } | null = null;
  #closed = false;

  /** Does not connect yet. Throws `INVALID` for an invalid connection string. */
  constructor(url: string, deps: ConnectionDeps) {
    this.#deps = deps;
    this.#string = parseConnectionString(url);
    const { target, credentials, gossipClientOf } = this.#string;
    if (typeof target === 'string') {
      this.#members = null;
      this.#findNode = async () => target;
    } else {
      const { clock, random } = deps;
      const members = new Members({ clock, random, settings: target, credentials, createClient: gossipClientOf });
      this.#members = members;
      this.#findNode = () => members.find();
    }
    this.access = new AccessLog(deps.logger, credentials?.username ?? null);
  }

  /** A connected node. Throws `UNAVAILABLE` when none can be reached (nothing was sent then), `CLOSED` after `close`. */
  async link(): Promise<Link> {
    if (this.#closed) throw closedError();
    if (this.#link?.isReady === true) return this.#link;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = null;
    });
    // Finding a cluster's leader may take longer: callers stop waiting, and the search goes on.
    const link = await within(this.#deps.clock, this.#deps.connectMs, this.#opening);
    if (link === LATE) throw this.#timeout();
    return link;
  }

  /** Reports a failed call: if the node or the connection may be the cause, the next call gets a new connection. */
  failed(link: Link, error: unknown): void {
    if (this.#link !== link || !isConnectionFailure(error)) return;
    this.#deps.logger.warn({ err: error }, 'connection to the event store dropped');
    this.#drop();
  }

  close(): void {
    this.#closed = true;
    this.#members?.close();
    this.#drop();
  }

  async #open(): Promise<Link> {
    const { clock, logger, connectMs } = this.#deps;
    if (this.#failed !== null && clock.monotonic() < this.#failed.at + PAUSE_MS) throw this.#failed.error;
    // Closes a connection that was lost: a new one connects without waiting for the retry pauses of the old one.
    this.#drop();
    let link: Link;
    try {
      link = await this.#newLink();
      this.#link = link;
      const connected = await within(clock, connectMs, link.connect());
      if (connected === LATE) throw this.#timeout();
    } catch (cause) {
      if (this.#closed) {
        this.#drop();
        throw closedError();
      }
      const reason = cause instanceof Error ? cause.message : String(cause);
      const error = new StoreError('UNAVAILABLE', `cannot connect to the event store: ${reason}`, { cause });
      if (this.#failed === null) logger.warn({ err: cause }, 'cannot connect to the event store');
      this.#failed = { at: clock.monotonic(), error };
      this.#drop();
      throw error;
    }
    if (this.#closed) {
      this.#drop();
      throw closedError();
    }
    this.#failed = null;
    // Calls to a node that is no longer used would wait for it to be noticed as dead.
    if (this.#previous?.address !== link.address) this.#previous?.abandon();
    this.#previous = null;
    logger.info({ node: link.address }, 'connected to the event store');
    return link;
  }

  async #newLink(): Promise<Link> {
    const { credentials, clientOf } = this.#string;
    const address = await this.#findNode();
    const client = clientOf(address);
    const streams = await client.getGRPCClient(StreamsClient, 'streams');
    const members = this.#members;
    const watch = members && new SilenceWatch(this.#deps.clock, () => this.#leaveIfReplaced(members, address));
    return new Link({ address, streams, client, credentials, watch });
  }

  /**
   * The node has not responded to a call for a while, or could not carry it out. Only the other members know whether it was replaced: where it is just
   * slow, another node would not be faster.
   */
  async #leaveIfReplaced(members: Members, address: string): Promise<void> {
    const link = this.#link;
    const next = await members.replacementOf(address);
    if (next === null || link === null || link !== this.#link || link.address !== address) return;
    this.#deps.logger.warn({ node: address, next }, 'the node of the event store was replaced by another one');
    this.#link = null;
    link.abandon();
  }

  #timeout(): StoreError {
    return new StoreError('UNAVAILABLE', `no connection to the event store within ${this.#deps.connectMs} ms`);
  }

  #drop(): void {
    if (this.#link === null) return;
    this.#link.close();
    this.#previous = this.#link;
    this.#link = null;
  }
}

export const closedError = (): StoreError => new StoreError('CLOSED', 'the event store was closed');
