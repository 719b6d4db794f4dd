import { EventEmitter } from 'node:events';
import type { Clock } from '../../../src/ports/clock.ts';
import type { Random } from '../../../src/ports/random.ts';
import { type Entry, Journal } from './journal.ts';

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

/**
 * The streams of an EventStoreDB in memory, and in a journal if they are to outlive the process. Handles appends as the real server does: a known
 * event id counts as a repetition, except at the current revision, where it is written again.
 */
export class Log {
  readonly records: LogRecord[] = [];
  readonly #streams = new Map<string, LogRecord[]>();
  readonly #ids = new Map<string, LogRecord>();
  readonly #tombstones = new Set<string>();
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

  /** All records of a stream from revision 0, including those that its metadata hides. */
  of(stream: string): readonly LogRecord[] {
    return this.#streams.get(stream) ?? [];
  }

  /** Offset of the end of the log. */
  get end(): number {
    return this.records.at(-1)?.end ?? 0;
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
    const first = Math.max($tb, $maxCount === undefined ? 0 : this.of(stream).length - $maxCount);
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
    if (softDeleted) this.#writeSystemEvent(`$$${stream}`, '$metadata', `{"$tb":${this.of(stream).length}}`);
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

  /** Calls `listener` after each append, until the returned function is called. */
  onAppend(listener: () => void): () => void {
    this.#changes.on('append', listener);
    return () => this.#changes.off('append', listener);
  }

  close(): void {
    this.#journal?.close();
  }

  #conflict(stream: string): Written {
    const current = this.of(stream).length - 1;
    return { result: 'conflict', current: current < 0 ? null : current };
  }

  #isAsExpected(stream: string, expected: Expected): boolean {
    const count = this.of(stream).length;
    if (expected === 'any') return true;
    if (expected === 'none') return count === 0;
    if (expected === 'exists') return count > 0 || this.of(`$$${stream}`).length > 0;
    return count - 1 === expected;
  }

  /** The last record of an earlier append of the same events, where the real server looks for one. */
  #repetition(stream: string, expected: Expected, events: readonly Proposed[]): LogRecord | undefined {
    if (expected === 'any' || expected === 'exists') {
      const earlier = events.map(({ id }) => this.#ids.get(id));
      return earlier.every((record) => record?.stream === stream) ? earlier.at(-1) : undefined;
    }
    const first = expected === 'none' ? 0 : expected + 1;
    const earlier = this.of(stream).slice(first, first + events.length);
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

  #replay({ stream, created, events }: Entry): void {
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
      const begin = this.end;
      const end = begin + OVERHEAD + stream.length + event.type.length + event.data.length + event.metadata.length;
      const record = { ...event, stream, revision: records.length, commit: begin, prepare: begin, end, created };
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
