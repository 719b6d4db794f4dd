import { describe, expect, it } from 'vitest';
import type { Guard } from '../../src/ports/documents.ts';
import type { DocumentsContext } from './documents.ts';
import { put, read, remove } from './documents-fixtures.ts';

/** The state of a document before the write. */
type Before = 'absent' | 'at 05' | 'deleted at 05';

/** The state of the document, the guard and position of the write, and whether the write is done. */
const table: readonly (readonly [Before, Guard, string, boolean])[] = [
  ['absent', null, '05', true],
  ['absent', 'older', '05', true],
  ['absent', '05', '06', false],
  ['at 05', null, '04', false],
  ['at 05', null, '06', false],
  ['at 05', 'older', '04', false],
  ['at 05', 'older', '05', false],
  ['at 05', 'older', '050', true],
  ['at 05', 'older', '06', true],
  ['at 05', '05', '06', true],
  ['at 05', '05', '05', true],
  ['at 05', '04', '06', false],
  ['at 05', '06', '07', false],
  ['deleted at 05', null, '04', false],
  ['deleted at 05', null, '05', false],
  ['deleted at 05', null, '06', true],
  ['deleted at 05', 'older', '04', false],
  ['deleted at 05', 'older', '05', false],
  ['deleted at 05', 'older', '06', true],
  ['deleted at 05', '05', '06', false],
];

const DAY_MS = 24 * 60 * 60 * 1_000;

export function guardsContract(get: () => DocumentsContext): void {
  async function prepare(before: Before): Promise<string> {
    const { store, collection } = get();
    const name = await collection();
    if (before === 'at 05') await store.apply({ writes: [put(name, 'a', { old: true }, { position: '05' })] });
    if (before === 'deleted at 05') {
      await store.apply({ writes: [put(name, 'a', { old: true }, { position: '03' })] });
      await store.apply({ writes: [remove(name, 'a', '05', '03')] });
    }
    return name;
  }

  describe('guards', () => {
    it.each(table)('writing over a document %s: guard %s at %s, done %s', async (before, guard, position, isDone) => {
      const { store } = get();
      const name = await prepare(before);
      const write = put(name, 'a', { new: true }, { position, guard });
      const old = await read(store, name, 'a');
      expect(await store.apply({ writes: [write] })).toEqual({ rejected: isDone ? [] : [write] });
      expect(await read(store, name, 'a')).toEqual(isDone ? { id: 'a', position, body: { new: true } } : old);
    });

    it.each(table)('deleting a document %s: guard %s at %s, deleted %s', async (before, guard, position, isDone) => {
      const { store } = get();
      const name = await prepare(before);
      const write = remove(name, 'a', position, guard);
      const old = await read(store, name, 'a');
      expect(await store.apply({ writes: [write] })).toEqual({ rejected: isDone ? [] : [write] });
      expect(await read(store, name, 'a')).toEqual(isDone ? undefined : old);
    });
  });

  describe('a deletion', () => {
    it('leaves a tombstone even if the document does not exist', async () => {
      const { store, collection } = get();
      const name = await collection();
      expect(await store.apply({ writes: [remove(name, 'a', '05', null)] })).toEqual({ rejected: [] });
      const late = put(name, 'a', {}, { position: '04' });
      expect(await store.apply({ writes: [late] })).toEqual({ rejected: [late] });
    });

    it('prevents every late write', async () => {
      const { store } = get();
      const name = await prepare('deleted at 05');
      for (const guard of ['03', '05', null, 'older'] as const) {
        const late = put(name, 'a', { late: true }, { position: '04', guard });
        expect(await store.apply({ writes: [late] })).toEqual({ rejected: [late] });
      }
      expect(await read(store, name, 'a')).toBeUndefined();
    });

    it('can be repeated after the document was created again', async () => {
      const { store } = get();
      const name = await prepare('deleted at 05');
      await store.apply({ writes: [put(name, 'a', {}, { position: '06' })] });
      expect(await store.apply({ writes: [remove(name, 'a', '07', '06')] })).toEqual({ rejected: [] });
      const late = put(name, 'a', {}, { position: '06' });
      expect(await store.apply({ writes: [late] })).toEqual({ rejected: [late] });
      expect(await store.apply({ writes: [put(name, 'a', {}, { position: '08' })] })).toEqual({ rejected: [] });
    });

    it('updates an existing tombstone when its position is later', async () => {
      const { store } = get();
      const name = await prepare('deleted at 05');
      await store.apply({ writes: [remove(name, 'a', '08', 'older')] });
      const between = put(name, 'a', {}, { position: '07', guard: 'older' });
      expect(await store.apply({ writes: [between] })).toEqual({ rejected: [between] });
    });

    it('is effective for 24 hours', async () => {
      const { store, clock } = get();
      const name = await prepare('deleted at 05');
      const late = put(name, 'a', { late: true }, { position: '04' });
      await clock.advance(DAY_MS - 1);
      expect(await store.apply({ writes: [late] })).toEqual({ rejected: [late] });
      await clock.advance(1);
      expect(await store.apply({ writes: [late] })).toEqual({ rejected: [] });
      expect((await read(store, name, 'a'))?.body).toEqual({ late: true });
    });

    it('can be repeated at an earlier position after 24 hours', async () => {
      const { store, clock } = get();
      const name = await prepare('deleted at 05');
      await clock.advance(DAY_MS);
      expect(await store.apply({ writes: [remove(name, 'a', '02', 'older')] })).toEqual({ rejected: [] });
      const [late, later] = [put(name, 'a', {}, { position: '01' }), put(name, 'a', {}, { position: '03' })];
      expect(await store.apply({ writes: [late] })).toEqual({ rejected: [late] });
      expect(await store.apply({ writes: [later] })).toEqual({ rejected: [] });
    });
  });

  describe('exactly one of several writers with the same guard succeeds', () => {
    it.each([
      ['null', 'absent', null],
      ["'older'", 'absent', 'older'],
      ['a position', 'at 05', '05'],
      ["'older', over an existing document", 'at 05', 'older'],
      ['null, over a tombstone', 'deleted at 05', null],
    ] as const)('%s', async (_what, before, guard) => {
      const { store, other } = get();
      const name = await prepare(before);
      const writers = Array.from({ length: 16 }, (_, i) => put(name, 'a', { i }, { position: '06', guard }));
      const outcomes = await Promise.all(
        writers.map((write, i) => (i % 2 === 0 ? store : other).apply({ writes: [write] })),
      );
      const winners = writers.filter((_, i) => outcomes[i]?.rejected.length === 0);
      expect(winners).toHaveLength(1);
      expect(await read(other, name, 'a')).toEqual({ id: 'a', position: '06', body: winners[0]?.body });
    });
  });
}
