import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { measureCallers } from '../support/callers.ts';
import { messageEvent, newTalk } from '../support/history.ts';
import { compareRates, type Row } from '../support/rounds.ts';
import { openStores } from '../support/stores.ts';

const CALLERS = 64;
const talk = newTalk();

/** Durable appends through the event log, by 64 callers to streams of their own, against the same rows in plain transactions of 64. */
export async function appendFigures(): Promise<readonly Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-bench-'));
  const stores = await openStores();
  const bare = new DatabaseSync(join(folder, 'bare.db'));
  bare.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  bare.exec(`CREATE TABLE events (position INTEGER PRIMARY KEY, stream INTEGER, revision INTEGER, type INTEGER, id BLOB,
    version INTEGER, at INTEGER, metadata TEXT, data TEXT, checksum INTEGER, UNIQUE (stream, revision)) STRICT`);
  const insert = bare.prepare('INSERT INTO events VALUES (NULL, ?, ?, 1, ?, 1, ?, ?, ?, 0)');
  const revisions = Array.from({ length: CALLERS }, () => -1n);
  let rows = 0;

  const run = () =>
    measureCallers(CALLERS, async (caller) => {
      const last = revisions[caller] ?? -1n;
      const events = [messageEvent(talk, Number(last) + 2)];
      const expect = last === -1n ? 'none' : last;
      ({ revision: revisions[caller] } = await stores.log.append(`conversation-bench${caller}`, events, { expect }));
    });

  /** Inserts 64 rows in one transaction. */
  const insertRows = (): void => {
    bare.exec('BEGIN IMMEDIATE');
    for (let i = 0; i < CALLERS; i++) {
      const { id, data, metadata } = messageEvent(talk, rows);
      const bytes = Buffer.from(id.replaceAll('-', ''), 'hex');
      insert.run(i, Math.floor(rows / CALLERS), bytes, Date.now(), JSON.stringify(metadata), JSON.stringify(data));
      rows++;
    }
    bare.exec('COMMIT');
  };
  const runBare = async () => {
    const { rate, cpuMicros } = await measureCallers(1, async () => insertRows());
    return { rate: rate * CALLERS, cpuMicros: cpuMicros === null ? null : cpuMicros / CALLERS };
  };

  try {
    const row = await compareRates({
      name: 'durable appends through the event log, 64 callers, 300-byte events',
      unit: '/s',
      bar: 0.7,
      baseline: { name: 'the same rows, bare node:sqlite, transactions of 64', run: runBare },
      run,
    });
    return [row];
  } finally {
    bare.close();
    await stores.remove();
    await rm(folder, { recursive: true });
  }
}
