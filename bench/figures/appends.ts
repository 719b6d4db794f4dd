import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { NewEvent } from '../../src/kernel/event.ts';
import { eventId, randomIds, uuidv7 } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { seconds } from '../support/environment.ts';
import { compareRates, type Row } from '../support/rounds.ts';

const CALLERS = 64;
const conversationId = randomIds.objectId('bench');
const senderId = randomIds.objectId('bench');

/** A message whose data is about 300 bytes of JSON. */
function messageEvent(seq: number): NewEvent {
  const commandId = uuidv7(Date.now());
  const data = {
    conversationId,
    messageId: commandId,
    seq,
    senderId,
    content: 'Shall we meet at noon?',
    replyTo: null,
    mentions: [],
    sentAt: '2026-01-01T00:00:00.000Z',
  };
  const metadata = { actor: senderId, correlationId: commandId, causationId: null, commandId };
  return { id: eventId(commandId, 0), type: 'MessageSent', data, metadata };
}

/** Durable appends through the port, by 64 callers to streams of their own, against the same rows in bare transactions of 64. */
export async function appendFigures(): Promise<readonly Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-bench-'));
  const store = await openSqliteEventStore({
    path: join(folder, 'events.db'),
    registry: eventRegistry,
    logger: silentLogger,
  });
  const bare = new DatabaseSync(join(folder, 'bare.db'));
  bare.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  bare.exec(`CREATE TABLE events (position INTEGER PRIMARY KEY, stream INTEGER, revision INTEGER, type INTEGER, id BLOB,
    version INTEGER, at INTEGER, metadata TEXT, data TEXT, checksum INTEGER, UNIQUE (stream, revision)) STRICT`);
  const insert = bare.prepare('INSERT INTO events VALUES (NULL, ?, ?, 1, ?, 1, ?, ?, ?, 0)');
  const revisions = Array.from({ length: CALLERS }, () => -1n);
  let rows = 0;

  const run = async (): Promise<number> => {
    const end = performance.now() + seconds() * 1_000;
    const started = performance.now();
    let appended = 0;
    const caller = async (index: number): Promise<void> => {
      while (performance.now() < end) {
        const last = revisions[index] ?? -1n;
        const expect = last === -1n ? 'none' : last;
        const { revision } = await store.append(`conversation-bench${index}`, [messageEvent(Number(last) + 2)], {
          expect,
        });
        revisions[index] = revision;
        appended++;
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, (_, index) => caller(index)));
    return (appended / (performance.now() - started)) * 1_000;
  };

  const runBare = async (): Promise<number> => {
    const end = performance.now() + seconds() * 1_000;
    const started = performance.now();
    let appended = 0;
    while (performance.now() < end) {
      bare.exec('BEGIN IMMEDIATE');
      for (let i = 0; i < CALLERS; i++) {
        const { id, data, metadata } = messageEvent(rows);
        const bytes = Buffer.from(id.replaceAll('-', ''), 'hex');
        insert.run(i, Math.floor(rows / CALLERS), bytes, Date.now(), JSON.stringify(metadata), JSON.stringify(data));
        rows++;
      }
      bare.exec('COMMIT');
      appended += CALLERS;
    }
    return (appended / (performance.now() - started)) * 1_000;
  };

  try {
    const row = await compareRates({
      name: 'durable appends through the port, 64 callers, 300-byte events',
      unit: '/s',
      bar: 0.7,
      baseline: { name: 'the same rows, bare node:sqlite, transactions of 64', run: runBare },
      run,
    });
    return [row];
  } finally {
    await store.close();
    bare.close();
    await rm(folder, { recursive: true });
  }
}
