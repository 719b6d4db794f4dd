import { EventEmitter } from 'node:events';
import type { Clock } from '../../../src/ports/clock.ts';
import type { Random } from '../../../src/ports/random.ts';
import { type Appended, type Entry, Journal } from './journal.ts';
import { partitionPoint } from './sorted.ts';

/** An event as a client sent it. */
export type Proposed = Readonly<{ id: string; type: string; isJson: boolean; data: Uint8Array; metadata: Uint8Array }>;

/** A written event. Its position is a byte offset, as in the real server: only the order of offsets has a meaning. */
export type LogRecord = Proposed &
  Readonly<{
    stream: string;
    revision: number;
    commit: number;
    prepare: number;
    /** Offset of its end, where the next event begins. */
    end: number;
    /** ms since the epoch. */
    created: number;
  }>;

export type LogDeps = Readonly<{ clock: Clock; random: Random }>;

export type Expected = 'any' | 'none' | 'exists' | number;

export type Written =
  | Readonly<{ result: 'appended'; revision: number; position: number }>
  | Readonly<{ result: 'conflict'; current: number | null }>
  | Readonly<{ result: 'deleted' }>;

/** The retention in a stream's metadata: maximum age in seconds, maximum count, first visible revision. */
type Metadata = Readonly<{ $maxAge?: number; $maxCount?: number; $tb?: number }>;

/** `$tb` of a stream that was deleted but may be written again: the largest 64-bit number, as close as JSON.parse gets. */
const SOFT_DELETED = 2 ** 63;
/** What deletes a stream: as text, because JSON.stringify cannot write this number, which the server reads as an integer. */
const SOFT_DELETION = '{"$tb":9223372036854775807}';
/** Bytes of a record in addition to its content. */
const OVERHEAD = 96;
/** Bytes of a chunk. Positions count its free space, too. */
const CHUNK = 65_536;

/**
 * The streams of an EventStoreDB in memory, and in a journal if they are to outlive the process. Handles appends as the real server does: a known
 * event id counts as a repetition, except at the current revision, where it is written again.
 */
export class Log {
  readonly records: LogRecord[] = [];
  readonly #streams = new Map<string, LogRecord[]>();
  readonly #ids = new Map<string, LogRecord>();
  readonly #tombstones = new Set<string>();
  /** Where each scavenge ended, and whether it rewrote what was before it. */
  readonly #scavenges: { end: number; rewritten: boolean }[] = [];
  #end = 0;
  readonly #journal: Journal | null;
  readonly #changes = new EventEmitter();
  readonly #deps: LogDeps;

  /** `path`: the journal file; without it, the log ends with the process. */
  constructor(deps: LogDeps, path?: string) {
    this.#deps = deps;
    this.#changes.setMaxListeners(0);
    this.#journal = path === undefined ? null : new Journal(path, (entry) => this.#replay(entry));
    if (this.records.length > 0) return;
    // A new server has already written events of its own.
    this.#writeSystemEvent('$users', '$UserCreated', '{"loginName":"admin"}');
    this.#writeSystemEvent('$$$users', '$metadata', '{"$acl":{"$r":"$admins"}}');
  }

  /** All records of a stream that were not scavenged, including those that its metadata hides. */
  of(stream: string): readonly LogRecord[] {
    return this.#streams.get(stream) ?? [];
  }

  /** The last revision of a stream, -1 when it has none. Scavenging leaves the last record of a stream. */
  lastRevision(stream: string): number {
    return this.of(stream).at(-1)?.revision ?? -1;
  }

  /** Offset of the end of the log. */
  get end(): number {
    return this.#end;
  }

  /** Whether an offset is in a part of the log that a scavenge has rewritten: there, every offset is accepted. */
  isRewritten(offset: number): boolean {
    return this.#scavenges.find(({ end }) => offset < end)?.rewritten === true;
  }

  isTombstoned(stream: string): boolean {
    return this.#tombstones.has(stream);
  }

  isSoftDeleted(stream: string): boolean {
    return (this.#metadataOf(stream).$tb ?? 0) >= SOFT_DELETED;
  }

  /** A test for which records of a stream are visible. */
  visibility(stream: string): (record: LogRecord) => boolean {
    const { $maxAge, $maxCount, $tb = 0 } = this.#metadataOf(stream);
    const first = Math.max($tb, $maxCount === undefined ? 0 : this.lastRevision(stream) + 1 - $maxCount);
    const since = $maxAge === undefined ? 0 : this.#deps.clock.now() - $maxAge * 1_000;
    return ({ revision, created }) => revision >= first && created >= since;
  }

  append(stream: string, expected: Expected, events: readonly Proposed[]): Written {
    if (this.isTombstoned(stream)) return { result: 'deleted' };
    const softDeleted = this.isSoftDeleted(stream);
    if (expected === 'exists' && softDeleted) return { result: 'deleted' };
    const repeated = this.#repetition(stream, expected, events);
    if (repeated !== undefined) return { result: 'appended', revision: repeated.revision, position: repeated.prepare };
    const asExpected = this.#isAsExpected(stream, expected) || (expected === 'none' && softDeleted);
    if (!asExpected) return this.#conflict(stream);
    if (softDeleted) this.#writeSystemEvent(`$$${stream}`, '$metadata', `{"$tb":${this.lastRevision(stream) + 1}}`);
    const last = this.#write(stream, events);
    return { result: 'appended', revision: last.revision, position: last.prepare };
  }

  /** Deletes a stream, so that it may be written again, or permanently. */
  delete(stream: string, expected: Expected, { permanent }: Readonly<{ permanent: boolean }>): Written {
    if (this.isTombstoned(stream)) return { result: 'deleted' };
    if (!this.#isAsExpected(stream, expected)) return this.#conflict(stream);
    const last = permanent
      ? this.#writeSystemEvent(stream, '$streamDeleted', '{}')
      : this.#writeSystemEvent(`$$${stream}`, '$metadata', SOFT_DELETION);
    return { result: 'appended', revision: last.revision, position: last.prepare };
  }

  /**
   * Removes the records that metadata hides, and all but the last of each metadata stream, up to here. The last record of every stream stays. As the
   * real server does, it writes a record of its own and begins a new chunk. Returns the number of removed records.
   */
  scavenge(): number {
    const { clock } = this.#deps;
    const data = { threshold: 0, effectiveNow: clock.now() };
    const point = this.#writeSystemEvent('$scavengePoints', '$scavengePoint', JSON.stringify(data));
    const scavenged = this.records.filter((record) => record.end < point.end && this.#isScavenged(record));
    return this.#scavenge(scavenged.map(({ commit }) => commit));
  }

  /** Removes every record that the test selects, as a scavenge does, whatever the metadata says. */
  remove(selects: (record: LogRecord) => boolean): number {
    return this.#scavenge(this.records.filter(selects).map(({ commit }) => commit));
  }

  /** Calls `listener` after each append, until the returned function is called. */
  onAppend(listener: () => void): () => void {
    this.#changes.on('append', listener);
    return () => this.#changes.off('append', listener);
  }

  close(): void {
    this.#journal?.close();
  }

  #conflict(stream: string): Written {
    const current = this.lastRevision(stream);
    return { result: 'conflict', current: current < 0 ? null : current };
  }

  #isAsExpected(stream: string, expected: Expected): boolean {
    const last = this.lastRevision(stream);
    if (expected === 'any') return true;
    if (expected === 'none') return last === -1;
    if (expected === 'exists') return last >= 0 || this.of(`$$${stream}`).length > 0;
    return last === expected;
  }

  /** The last record of an earlier append of the same events, where the real server looks for one. */
  #repetition(stream: string, expected: Expected, events: readonly Proposed[]): LogRecord | undefined {
    if (expected === 'any' || expected === 'exists') {
      const earlier = events.map(({ id }) => this.#ids.get(id));
      return earlier.every((record) => record?.stream === stream) ? earlier.at(-1) : undefined;
    }
    const first = expected === 'none' ? 0 : expected + 1;
    const index = partitionPoint(this.of(stream), ({ revision }) => revision < first);
    const earlier = this.of(stream).slice(index, index + events.length);
    const same = earlier.length === events.length && earlier.every(({ id }, i) => id === events[i]?.id);
    return same ? earlier.at(-1) : undefined;
  }

  #metadataOf(stream: string): Metadata {
    const last = this.of(`$$${stream}`).at(-1);
    return last === undefined ? {} : (JSON.parse(Buffer.from(last.data).toString()) as Metadata);
  }

  #writeSystemEvent(stream: string, type: string, json: string): LogRecord {
    const { clock, random } = this.#deps;
    const id = random.uuid(clock.now());
    return this.#write(stream, [{ id, type, isJson: true, data: Buffer.from(json), metadata: Buffer.alloc(0) }]);
  }

  #write(stream: string, events: readonly Proposed[]): LogRecord {
    const created = this.#deps.clock.now();
    const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
    this.#journal?.write({
      stream,
      created,
      events: events.map((event) => ({ ...event, data: base64(event.data), metadata: base64(event.metadata) })),
    });
    const last = this.#add(stream, events, created);
    this.#changes.emit('append');
    return last;
  }

  #isScavenged(record: LogRecord): boolean {
    const { stream } = record;
    if (record === this.of(stream).at(-1)) return false;
    return stream.startsWith('$$') || this.isTombstoned(stream) || !this.visibility(stream)(record);
  }

  #scavenge(offsets: readonly number[]): number {
    this.#journal?.write({ scavenged: offsets });
    this.#removeAt(offsets);
    return offsets.length;
  }

  #removeAt(offsets: readonly number[]): void {
    const removed = new Set(offsets);
    const parts = this.#scavenges.map(({ end }) => end);
    this.#end = Math.ceil(this.#end / CHUNK) * CHUNK;
    this.#scavenges.push({ end: this.#end, rewritten: false });
    for (const offset of offsets) {
      const part = this.#scavenges[partitionPoint(parts, (end) => end <= offset)];
      if (part !== undefined) part.rewritten = true;
    }
    for (const record of this.records) if (removed.has(record.commit)) this.#ids.delete(record.id);
    const streams = new Set(this.records.filter(({ commit }) => removed.has(commit)).map(({ stream }) => stream));
    for (const records of [this.records, ...[...streams].map((stream) => this.#streams.get(stream) ?? [])]) {
      const left = records.filter(({ commit }) => !removed.has(commit));
      records.length = 0;
      for (const record of left) records.push(record);
    }
  }

  #replay(entry: Entry): void {
    if ('scavenged' in entry) this.#removeAt(entry.scavenged);
    else this.#replayAppend(entry);
  }

  #replayAppend({ stream, created, events }: Appended): void {
    const bytes = (base64: string) => Buffer.from(base64, 'base64');
    this.#add(
      stream,
      events.map((event) => ({ ...event, data: bytes(event.data), metadata: bytes(event.metadata) })),
      created,
    );
  }

  #add(stream: string, events: readonly Proposed[], created: number): LogRecord {
    const records = this.#streams.get(stream) ?? [];
    this.#streams.set(stream, records);
    for (const event of events) {
      const begin = this.#end;
      const end = begin + OVERHEAD + stream.length + event.type.length + event.data.length + event.metadata.length;
      const revision = (records.at(-1)?.revision ?? -1) + 1;
      const record = { ...event, stream, revision, commit: begin, prepare: begin, end, created };
      this.#end = end;
      records.push(record);
      this.records.push(record);
      this.#ids.set(event.id, record);
      if (event.type === '$streamDeleted') this.#tombstones.add(stream);
    }
    const last = records.at(-1);
    if (last === undefined) throw new Error('an append must have at least one event');
    return last;
  }
}
