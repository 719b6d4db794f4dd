import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import type { SqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { manualClock } from '../support/manual-clock.ts';
import { openMemoryStores, system } from '../support/stores.ts';
import { execute, group, message, newId, startNode } from './node.ts';

const HOUR = 60 * 60_000;
const COMMANDS = 300;

/** What the event store's file holds. */
function contentOf(path: string) {
  const database = new DatabaseSync(path, { readOnly: true });
  const number = (sql: string): number => Number(Object.values(database.prepare(sql).get() ?? {})[0]);
  const content = {
    streams: number('SELECT COUNT(*) FROM streams'),
    retention: number('SELECT COUNT(*) FROM retention'),
    claims: number("SELECT COUNT(*) FROM events JOIN streams s ON s.id = stream WHERE s.name LIKE 'command-%'"),
    events: number('SELECT COUNT(*) FROM events'),
    /** Of all rows and index entries, without free space in pages. */
    bytes: number('SELECT SUM(payload) FROM dbstat'),
    pages: number('PRAGMA page_count') - number('PRAGMA freelist_count'),
  };
  database.close();
  return content;
}

it('a command with a key leaves nothing in the embedded store once its claim was forgotten', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-claims-'));
  const other = await mkdtemp(join(tmpdir(), 'parley-claims-'));
  const path = join(folder, 'events.db');
  const clock = manualClock(system.clock.now());
  const stores = await openMemoryStores({ clock, folder });
  try {
    const node = await startNode(stores, clock);
    const [ann, bob] = [newId(), newId()];
    const id = await group(node, ann, bob);
    const target = { aggregate: conversation, id: () => id };
    const before = contentOf(path);
    for (let i = 0; i < COMMANDS; i++) {
      const claim = { owner: ann, route: 'POST', key: `k${i}`, bodyHash: 'b', actor: ann, correlationId: 'c' };
      // Every third one changes nothing, so that its answer is noted on its claim.
      await node.claims.run(claim, target, async ({ ids, ...options }) => {
        const add = { type: 'AddMember' as const, data: { conversationId: id, userId: bob } };
        return execute(node, ann, i % 3 === 0 ? add : message(id, 'hello', ids.uuid('message', 0)), options);
      });
    }
    await node.claims.close();
    const written = contentOf(path);
    expect(written).toMatchObject({
      streams: before.streams + COMMANDS,
      retention: COMMANDS,
      claims: COMMANDS + COMMANDS / 3,
    });

    await clock.advance(48 * HOUR + 60_000);
    await execute(node, ann, message(id, 'the last event of the log is not removed'));
    await (stores.store as SqliteEventStore).scavenge();
    const after = contentOf(path);
    const messages = (COMMANDS * 2) / 3 + 1;
    expect(after).toMatchObject({ streams: before.streams, retention: 0, claims: 0, events: before.events + messages });

    // As many bytes as the same messages take without keys.
    const plain = await openMemoryStores({ clock, folder: other });
    const otherNode = await startNode(plain, clock);
    const otherId = await group(otherNode, ann, bob);
    for (let i = 0; i < messages; i++) await execute(otherNode, ann, message(otherId));
    await plain.close();
    const expected = contentOf(join(other, 'events.db'));
    expect(written.bytes - after.bytes).toBeGreaterThan(COMMANDS * 300);
    expect(Math.abs(after.bytes - expected.bytes)).toBeLessThan(COMMANDS);
  } finally {
    await stores.close();
    await Promise.all([folder, other].map((each) => rm(each, { recursive: true })));
  }
});
