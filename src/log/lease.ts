import { isStoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Position } from '../kernel/position.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { DocumentStore } from '../ports/documents.ts';
import {
  LEASES,
  type LeaseDocument,
  type LeaseDocuments,
  nodeId,
  partitionBody,
  partitionId,
  positionAt,
  readLeases,
  removeLeases,
  writeLease,
} from './lease-documents.ts';

/** A node that did not renew its lease for this long, in ms, has lost its partitions. Others have taken them within 12 s. */
export const LEASE_TTL_MS = 10_000;
const RENEW_EVERY_MS = 3_000;
/** Pace of reading the leases, in ms. */
const LOOK_EVERY_MS = 1_000;
/** Pause before a node takes a partition again whose work has just ended on it, in ms: every other node looks before. */
const STAND_BACK_MS = 1_500;

/** Another node writes the same documents: this one has to stop at once. */
export class FencedOff extends Error {
  override readonly name = 'FencedOff';
}

/** The right to be the only one who works on a partition, until `lost` is aborted. */
export type HeldPartition = Readonly<{
  /** From 0 to one less than the number of partitions. */
  partition: number;
  /** Higher than that of every earlier holder of the partition: guards what is written under it. */
  fence: number;
  lost: AbortSignal;
}>;

export type LeasesOptions = Readonly<{
  documents: DocumentStore;
  clock: Clock;
  logger: Logger;
  /** What the partitions are for. */
  role: string;
  /** Unique among the running nodes. A node that finds its own name in a partition was killed holding it, and continues at once. */
  node: string;
  /** Into how many partitions the role's work is divided; the same on every node. Keys are assigned by `partitionOf`. */
  partitions: number;
}>;

type Work = (held: HeldPartition) => Promise<void>;
type Held = Readonly<{ fence: number; position: Position; lost: AbortController }>;

/** The partition of a key: the same on every node. */
export function partitionOf(key: string, partitions: number): number {
  // FNV-1a, 32 bits: spreads ids evenly, and needs no secrecy.
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % partitions;
}

/**
 * Divides the partitions of one role among the nodes that run it. Each node renews one document, however many partitions there are; the document of
 * a partition is written only when its owner changes. Clocks are never compared: a node takes a partition when it has seen no renewal of its owner
 * for the TTL by its own monotonic clock. A node that was suspended may still believe in its lease; what it writes has to be guarded by the fence.
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #held = new Map<number, Held>();
  readonly #tasks = new Set<Promise<void>>();
  /** The last renewal of each other node that was seen, and when it was first seen. */
  #seen: ReadonlyMap<string, Readonly<{ position: Position; at: number }>> = new Map();
  readonly #standBackUntil = new Map<number, number>();
  /** Whether this node's document may exist. */
  #isShown = false;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #expiry: Timer | null = null;
  #unavailable: string | null = null;

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /** Why the leases cannot be read or renewed, `null` when they can. */
  get unavailable(): string | null {
    return this.#unavailable;
  }

  /**
   * Takes this node's share of the partitions and runs `work` for each, until the signal is aborted; then waits for the work to end and gives the
   * partitions up, so that others can take them at once. `work` ends when `held.lost` is aborted. When it ends or throws before, the partition is
   * given up and may be taken again after a pause. Throws what is not a failure of the store.
   */
  async run(signal: AbortSignal, work: Work): Promise<void> {
    const { clock, documents } = this.#options;
    // The work ends at once, also while a call to the store is in progress.
    const loseAll = (): void => this.#loseAll();
    signal.addEventListener('abort', loseAll);
    try {
      for (let isDefined = false; !signal.aborted; ) {
        try {
          if (!isDefined) await documents.define([LEASES]);
          isDefined = true;
          await this.#look(signal, work);
          this.#unavailable = null;
        } catch (error) {
          if (isStoreError(error, 'CLOSED')) return;
          if (!isStoreError(error, 'UNAVAILABLE', 'UNKNOWN')) throw error;
          this.#unavailable = error.message;
        }
        await clock.sleep(LOOK_EVERY_MS, signal);
      }
    } finally {
      signal.removeEventListener('abort', loseAll);
      await this.#leave();
    }
  }

  async #look(signal: AbortSignal, work: Work): Promise<void> {
    const { clock, documents, role, node, partitions } = this.#options;
    const readAt = clock.monotonic();
    const all = await readLeases(documents, role);
    // At the third look after the last renewal, also when a timer fires a little early.
    const isDue = clock.monotonic() - this.#renewedAt >= RENEW_EVERY_MS - LOOK_EVERY_MS / 2;
    if (isDue) await this.#renew(all.get(nodeId(role, node)));
    const nodes = this.#runningNodes(all, readAt);
    const share = this.#share(all, nodes);
    for (let partition = 0; partition < partitions && !signal.aborted; partition++) {
      const document = all.get(partitionId(role, partition));
      const held = this.#held.get(partition);
      if (held !== undefined) this.#verify(held, document);
      else if (!this.#isFree(partition, document, nodes)) continue;
      else if (this.#held.size < share) await this.#take(partition, document, signal, work);
      else await this.#disclaim(document);
    }
    const kept = [...this.#held.values()].filter(({ lost }) => !lost.signal.aborted);
    for (const { lost } of kept.slice(share)) lost.abort();
    const ended = [...all.values()].filter(({ body }) => body.kind === 'node' && !nodes.has(body.node));
    await removeLeases(documents, ended);
  }

  /** Shows that this node runs. A renewal whose answer was lost is in effect nevertheless: the next look finds it, and renews again. */
  async #renew(document: LeaseDocument | undefined): Promise<void> {
    const { clock, documents } = this.#options;
    const startedAt = clock.monotonic();
    this.#isShown = true;
    const written =
      document === undefined
        ? // It begins with a time, so that a node that comes back does not repeat positions that others have seen.
          await writeLease(documents, this.#body(true), null, positionAt(clock.now()))
        : await writeLease(documents, this.#body(true), document.position);
    // It had lapsed before this was answered, and others may have seen that.
    if (!this.#isRenewed) this.#expire();
    if (written === null) return;
    this.#renewedAt = startedAt;
    this.#expiry?.cancel();
    const left = LEASE_TTL_MS - (clock.monotonic() - startedAt);
    this.#expiry = clock.after(Math.max(0, left), () => this.#expire());
  }

  #body(running: boolean) {
    const { role, node } = this.#options;
    return { role, kind: 'node', node, running } as const;
  }

  /** Whether no other node may have taken what this one holds. */
  get #isRenewed(): boolean {
    return this.#options.clock.monotonic() - this.#renewedAt < LEASE_TTL_MS;
  }

  /** The lease was not renewed in time: others may take the partitions from now on. */
  #expire(): void {
    if (this.#held.size > 0) this.#options.logger.warn({ role: this.#options.role }, 'lease not renewed in time');
    this.#loseAll();
  }

  #loseAll(): void {
    for (const { lost } of this.#held.values()) lost.abort();
  }

  /** This node and those whose renewals are seen. `readAt`: a time before the documents were read; later renewals are not among them. */
  #runningNodes(all: LeaseDocuments, readAt: number): ReadonlySet<string> {
    const { clock, node } = this.#options;
    const now = clock.monotonic();
    const running = new Set([node]);
    const seen = new Map<string, { position: Position; at: number }>();
    for (const { position, body } of all.values()) {
      if (body.kind !== 'node' || body.node === node) continue;
      const before = this.#seen.get(body.node);
      const at = before?.position === position ? before.at : now;
      seen.set(body.node, { position, at });
      if (body.running && readAt - at < LEASE_TTL_MS) running.add(body.node);
    }
    this.#seen = seen;
    return running;
  }

  /** How many partitions this node may hold: an equal share, rounded up, and rounded down for as long as another node has even less. */
  #share(all: LeaseDocuments, nodes: ReadonlySet<string>): number {
    const { node, partitions } = this.#options;
    const least = Math.floor(partitions / nodes.size);
    const counts = new Map<string | null, number>();
    for (const document of all.values()) {
      const owner = partitionBody(document)?.owner ?? null;
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    const isShort = (other: string): boolean => other !== node && (counts.get(other) ?? 0) < least;
    return [...nodes].some(isShort) ? least : Math.ceil(partitions / nodes.size);
  }

  #verify(held: Held, document: LeaseDocument | undefined): void {
    const stored = partitionBody(document);
    if (stored?.owner !== this.#options.node || stored.fence !== held.fence) held.lost.abort();
  }

  #isFree(partition: number, document: LeaseDocument | undefined, nodes: ReadonlySet<string>): boolean {
    const { clock, node } = this.#options;
    if (clock.monotonic() < (this.#standBackUntil.get(partition) ?? Number.NEGATIVE_INFINITY)) return false;
    // Only with an own lease that other nodes can see.
    if (!this.#isRenewed) return false;
    const owner = partitionBody(document)?.owner ?? null;
    return owner === null || owner === node || !nodes.has(owner);
  }

  async #take(partition: number, document: LeaseDocument | undefined, signal: AbortSignal, work: Work): Promise<void> {
    const { documents, logger, node, role } = this.#options;
    const fence = (partitionBody(document)?.fence ?? 0) + 1;
    const body = { role, kind: 'partition', partition, owner: node, fence } as const;
    const position = await writeLease(documents, body, document?.position ?? null);
    // After a slow write, others may hold it already; otherwise it is taken anew, under this node's own name.
    if (position === null || !this.#isRenewed || signal.aborted) return;
    logger.info({ role, partition, fence }, 'lease taken');
    const held: Held = { fence, position, lost: new AbortController() };
    this.#held.set(partition, held);
    const task: Promise<void> = this.#perform(partition, held, work).finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }

  /** Gives up a partition that is stored as this node's own and is not held: a write failed, or its answer was lost. */
  async #disclaim(document: LeaseDocument | undefined): Promise<void> {
    const body = partitionBody(document);
    if (document === undefined || body?.owner !== this.#options.node) return;
    await writeLease(this.#options.documents, { ...body, owner: null }, document.position);
  }

  /** Runs the work, and then gives the partition up. Never rejects. */
  async #perform(partition: number, { fence, position, lost }: Held, work: Work): Promise<void> {
    const { documents, logger, role, clock } = this.#options;
    try {
      await work({ partition, fence, lost: lost.signal });
    } catch (error) {
      const level = error instanceof FencedOff || isStoreError(error) ? 'warn' : 'error';
      logger[level]({ err: error, role, partition }, 'work under a lease failed');
    }
    const isLost = lost.signal.aborted;
    lost.abort();
    this.#standBackUntil.set(partition, clock.monotonic() + STAND_BACK_MS);
    try {
      await writeLease(documents, { role, kind: 'partition', partition, owner: null, fence }, position);
    } catch (error) {
      logger.warn({ err: error, role, partition }, 'lease not released: others take it after its time');
    }
    this.#held.delete(partition);
    logger.info({ role, partition, fence, lost: isLost }, 'lease given up');
  }

  async #leave(): Promise<void> {
    const { documents, logger, role, node } = this.#options;
    this.#loseAll();
    await Promise.all(this.#tasks);
    this.#expiry?.cancel();
    this.#renewedAt = Number.NEGATIVE_INFINITY;
    if (!this.#isShown) return;
    try {
      const id = nodeId(role, node);
      const document = (await documents.getMany(LEASES.name, [id])).get(id);
      if (document !== undefined) await writeLease(documents, this.#body(false), document.position);
    } catch (error) {
      logger.warn({ err: error, role }, 'the end of a lease was not stored');
    }
  }
}
