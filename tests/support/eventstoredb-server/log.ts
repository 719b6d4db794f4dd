import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { type Entry, Journal } from './journal.ts';

/** An event as a client sent it. */
export type Proposed = Readonly<{ id: string; type: string; isJson: boolean; data: Uint8Array; metadata: Uint8Array }>;

/** A written event. Its place is a byte offset, as in the real server: only its order means something. */
export type LogRecord = Proposed &
  Readonly<{
    stream: string;
    revision: number;
    commit: number;
    prepare: number;
    /** Offset behind it: where the next one begins. */
    end: number;
    /** ms since the epoch. */
    created: number;
  }>;

export type Expected = 'any' | 'none' | 'exists' | number;

export type Written =
  | Readonly<{ result: 'appended'; revision: number; position: number }>
  | Readonly<{ result: 'conflict'; current: number | null }>
  | Readonly<{ result: 'deleted' }>;

/** What `$maxAge`, `$maxCount` and `$tb` of a stream's metadata say. */
type Metadata = Readonly<{ $maxAge?: number; $maxCount?: number; $tb?: number }>;

/** `$tb` of a stream that was deleted, but may be written again: the largest 64-bit number, as near as JSON.parse gets. */
const SOFT_DELETED = 2 ** 63;
/** Bytes of a record beside its content. */
const OVERHEAD = 96;

/**
 * The streams of an EventStoreDB in memory, and in a journal when it is to outlive the process. Decides on appends as the real server does:
 * a repeated event id is taken for a repetition, except at the current revision, where it is written once more.
 */
export class Log {
  readonly records: LogRecord[] = [];
  readonly #streams = new Map<string, LogRecord[]>();
  readonly #ids = new Map<string, LogRecord>();
  readonly #tombstones = new Set<string>();
  readonly #journal: Journal | null;
  readonly #changes = new EventEmitter();

  /** @param path file to keep it in; without it, it is gone with the process */
  constructor(path?: string) {
    this.#changes.setMaxListeners(0);
    this.#journal = path === undefined ? null : Journal.open(path, (entry) => this.#replay(entry));
    if (this.records.length > 0) return;
    // A fresh server has written events of its own already.
    this.#write('$users', [systemEvent('$UserCreated', { loginName: 'admin' })], Date.now());
    this.#write('$$$users', [systemEvent('$metadata', { $acl: { $r: '$admins' } })], Date.now());
  }

  /** The records of a stream from revision 0, also those that its metadata hides. */
  of(stream: string): readonly LogRecord[] {
    return this.#streams.get(stream) ?? [];
  }

  /** Where the log ends. */
  get end(): number {
    return this.records.at(-1)?.end ?? 0;
  }

  isTombstoned(stream: string): boolean {
    return this.#tombstones.has(stream);
  }

  isSoftDeleted(stream: string): boolean {
    return (this.#metadataOf(stream).$tb ?? 0) >= SOFT_DELETED;
  }

  /** Which records a stream still shows. */
  visibility(stream: string): (record: LogRecord) => boolean {
    const { $maxAge, $maxCount, $tb = 0 } = this.#metadataOf(stream);
    const first = Math.max($tb, $maxCount === undefined ? 0 : this.of(stream).length - $maxCount);
    const since = $maxAge === undefined ? 0 : Date.now() - $maxAge * 1_000;
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
    if (softDeleted)
      this.#write(`$$${stream}`, [systemEvent('$metadata', { $tb: this.of(stream).length })], Date.now());
    const last = this.#write(stream, events, Date.now());
    return { result: 'appended', revision: last.revision, position: last.prepare };
  }

  /** Deletes a stream: it may be written again, or, with `forGood`, never. */
  delete(stream: string, expected: Expected, forGood: boolean): Written {
    if (this.isTombstoned(stream)) return { result: 'deleted' };
    if (!this.#isAsExpected(stream, expected)) return this.#conflict(stream);
    const last = forGood
      ? this.#write(stream, [systemEvent('$streamDeleted', {})], Date.now())
      : this.#write(`$$${stream}`, [softDeletion()], Date.now());
    return { result: 'appended', revision: last.revision, position: last.prepare };
  }

  /** Calls `listener` after each append, until the function it gives back is called. */
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

  /** The last record of an earlier append of the same events, where the server looks for one. */
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

  #write(stream: string, events: readonly Proposed[], created: number): LogRecord {
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
      const place = this.end;
      const end = place + OVERHEAD + stream.length + event.type.length + event.data.length + event.metadata.length;
      const record = { ...event, stream, revision: records.length, commit: place, prepare: place, end, created };
      records.push(record);
      this.records.push(record);
      this.#ids.set(event.id, record);
      if (event.type === '$streamDeleted') this.#tombstones.add(stream);
    }
    const last = records.at(-1);
    if (last === undefined) throw new Error('an append has at least one event');
    return last;
  }
}

function systemEvent(type: string, data: object): Proposed {
  return jsonEvent(type, JSON.stringify(data));
}

/** JSON.stringify cannot write this number, and the server reads it as a whole one. */
const softDeletion = (): Proposed => jsonEvent('$metadata', '{"$tb":9223372036854775807}');

function jsonEvent(type: string, json: string): Proposed {
  return { id: randomUUID(), type, isJson: true, data: Buffer.from(json), metadata: Buffer.alloc(0) };
}
