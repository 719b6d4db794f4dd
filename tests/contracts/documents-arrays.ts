import { describe, expect, it } from 'vitest';
import type { Condition, IndexDefinition, Sort } from '../../src/kernel/query.ts';
import type { DocumentsContext } from './documents.ts';
import { fill, idsOf } from './documents-fixtures.ts';

export function arraysContract(get: () => DocumentsContext): void {
  describe('conditions on an array', () => {
    const indexes: readonly IndexDefinition[] = [
      { fields: [], array: 'tags' },
      { fields: ['n'], array: 'tags' },
    ];
    const bodies = {
      a: { n: 3, tags: ['red', 'green', 'red'] },
      b: { n: 2, tags: ['Red', 'redder', 'x%y', 7] },
      c: { n: 1, tags: ['re', 'x_y', 'x\\y', '7', 'x.y', '^x', 'x*'] },
      d: { n: 4, tags: [] },
      e: { n: 5 },
      f: { n: 6, tags: null },
      g: { tags: ['red', '漢字', '漢', '😀😀', '\uffff', '\u{10ffff}', '\u{10ffff}b'] },
    };
    let name: string | undefined;
    async function filled(): Promise<string> {
      const { store, collection } = get();
      if (name !== undefined) return name;
      name = await collection(...indexes);
      await fill(store, name, bodies);
      return name;
    }

    it.each([
      [{ contains: 'red' }, ['a', 'g']],
      [{ contains: 'Red' }, ['b']],
      [{ contains: 7 }, ['b']],
      [{ contains: '7' }, ['c']],
      [{ contains: 'none' }, []],
      [{ containsPrefix: 're' }, ['a', 'b', 'c', 'g']],
      [{ containsPrefix: 'red' }, ['a', 'b', 'g']],
      [{ containsPrefix: 'x%' }, ['b']],
      [{ containsPrefix: 'x_' }, ['c']],
      [{ containsPrefix: 'x\\' }, ['c']],
      [{ containsPrefix: 'x.' }, ['c']],
      [{ containsPrefix: 'x*' }, ['c']],
      [{ containsPrefix: '^' }, ['c']],
      [{ containsPrefix: 'x' }, ['b', 'c']],
      [{ containsPrefix: '漢' }, ['g']],
      [{ containsPrefix: '漢字' }, ['g']],
      [{ containsPrefix: '😀' }, ['g']],
      [{ containsPrefix: '\uffff' }, ['g']],
      [{ containsPrefix: '\u{10ffff}' }, ['g']],
      [{ containsPrefix: 'Z' }, []],
      [{ containsPrefix: '' }, ['a', 'b', 'c', 'g']],
    ] as readonly (readonly [Condition, readonly string[]])[])('%j', async (condition, expected) => {
      const { store } = get();
      const tagged = await filled();
      expect(await idsOf(store, tagged, { filter: { tags: condition } })).toEqual(expected);
      expect(await store.count(tagged, { tags: condition }, 100)).toBe(expected.length);
    });

    it('return each document once, sorted by other fields, without documents that lack them', async () => {
      const { store } = get();
      const tagged = await filled();
      const sort: Sort = { fields: ['n'], direction: 'asc' };
      expect(await idsOf(store, tagged, { filter: { tags: { contains: 'red' } }, sort }, 1)).toEqual(['a']);
      expect(await idsOf(store, tagged, { filter: { tags: { containsPrefix: '' } }, sort }, 1)).toEqual([
        'c',
        'b',
        'a',
      ]);
      expect(await idsOf(store, tagged, { filter: { tags: { contains: 'red' }, n: { gte: 3 } }, sort })).toEqual(['a']);
      expect(await idsOf(store, tagged, { filter: { tags: { contains: 'red' }, n: null } })).toEqual(['g']);
    });
  });
}
