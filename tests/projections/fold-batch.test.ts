import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { memberships } from '../../src/projections/models/memberships.ts';
import type { Projection } from '../../src/projections/models/projection.ts';
import { createDocumentCache } from '../../src/projections/runner/document-cache.ts';
import { BatchFold, type DocumentSource, type DocumentVersion } from '../../src/projections/runner/fold-batch.ts';
import { added, counter, created, removed, sent } from './node.ts';
import { objectId, positionOf, recorded } from './support.ts';

/** A source that notes what was loaded. */
function sourceOf(stored: Record<string, DocumentVersion>, trustFresh = true): DocumentSource & { loads: string[][] } {
  const loads: string[][] = [];
  return {
    trustFresh,
    loads,
    known: () => undefined,
    async load(_collection, ids) {
      loads.push([...ids]);
      return new Map(ids.flatMap((id) => (stored[id] === undefined ? [] : [[id, stored[id]]])));
    },
  };
}

describe('folding a batch', () => {
  it('loads every document once and changes it in memory', async () => {
    const source = sourceOf({ [objectId(1)]: { position: positionOf(0), body: { count: 10 } } });
    const fold = new BatchFold(counter({}), source);
    expect(await fold.add(recorded([sent(1, 1, 1), sent(2, 1, 1), sent(1, 2, 1)]))).toEqual({
      consumed: 3,
      poison: null,
    });
    await fold.add(recorded([sent(9, 1, 1), sent(9, 1, 1), sent(9, 1, 1), sent(2, 2, 1)]).slice(3));
    expect(source.loads).toEqual([[objectId(1), objectId(2)]]);
    expect(fold.documents.map(({ ref, body, position, changed }) => [ref.id, body?.count, position, changed])).toEqual([
      [objectId(1), 12, positionOf(3), true],
      [objectId(2), 2, positionOf(4), true],
    ]);
  });

  it('ignores events that a document already includes', async () => {
    const source = sourceOf({ [objectId(1)]: { position: positionOf(2), body: { count: 10 } } });
    const fold = new BatchFold(counter({}), source);
    await fold.add(recorded([sent(1, 1, 1), sent(1, 2, 1), sent(1, 3, 1)]));
    expect(fold.documents[0]).toMatchObject({ body: { count: 11 }, position: positionOf(3) });
  });

  it('does not load documents that an event creates, unless the source requires it', async () => {
    const trusting = sourceOf({});
    await new BatchFold(memberships, trusting).add(recorded([created(1, [1, 2]), added(1, 3, 0)]));
    expect(trusting.loads).toEqual([]);
    const careful = sourceOf({}, false);
    await new BatchFold(memberships, careful).add(recorded([created(1, [1, 2]), added(1, 3, 0)]));
    expect(careful.loads).toEqual([[1, 2, 3].map((n) => `${objectId(1)}:${objectId(n)}`)]);
  });

  it('treats a document that was created and deleted within it as changed, so that the deletion is written', async () => {
    const fold = new BatchFold(memberships, sourceOf({}));
    await fold.add(recorded([added(1, 3, 0), removed(1, 3)]));
    expect(fold.documents[0]).toMatchObject({
      loaded: undefined,
      body: undefined,
      position: positionOf(2),
      changed: true,
    });
  });

  it('folds nothing of an event that fails for one of its documents, and stops there', async () => {
    const pair: Projection = {
      ...counter({}),
      touches: ({ data }) => ['a', 'b'].map((id) => ({ collection: 'counts', id: `${id}${data.conversationId}` })),
      evolve(ref, body, event) {
        if (ref.id.startsWith('b') && event.data.content === 'poison') throw new Error('no');
        return counter({}).evolve(ref, body, event);
      },
    };
    const fold = new BatchFold(pair, sourceOf({}));
    const events = recorded([sent(1, 1, 1), sent(1, 2, 1, 'poison'), sent(1, 3, 1)]);
    expect(await fold.add(events)).toEqual({ consumed: 1, poison: { event: events[1], error: new Error('no') } });
    expect(fold.documents.map(({ body, position }) => [body?.count, position])).toEqual([
      [1, positionOf(1)],
      [1, positionOf(1)],
    ]);
    expect(fold.events).toEqual(events.slice(0, 1));
  });

  it('stops before an event whose documents cannot be determined', async () => {
    const lost: Projection = {
      ...counter({}),
      touches(event) {
        if (event.data.content === 'poison') throw new Error('unknown documents');
        return counter({}).touches(event);
      },
    };
    const events = recorded([sent(1, 1, 1), sent(1, 2, 1, 'poison'), sent(1, 3, 1)]);
    const folded = await new BatchFold(lost, sourceOf({})).add(events);
    expect(folded).toEqual({ consumed: 1, poison: { event: events[1], error: new Error('unknown documents') } });
  });

  it('may be repeated after the store was unavailable', async () => {
    const source = sourceOf({ [objectId(1)]: { position: positionOf(0), body: { count: 10 } } });
    let isAway = true;
    const failing: DocumentSource = {
      ...source,
      load: (collection, ids) =>
        isAway ? Promise.reject(new StoreError('UNAVAILABLE', 'away')) : source.load(collection, ids),
    };
    const fold = new BatchFold(counter({}), failing);
    const events = recorded([sent(1, 1, 1)]);
    await expect(fold.add(events)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(fold.events).toEqual([]);
    isAway = false;
    await fold.add(events);
    expect(fold.documents.map(({ body }) => body?.count)).toEqual([11]);
  });

  it('holds a limited number of documents, however many the events touch', async () => {
    const many: Projection = {
      ...counter({}),
      touches: ({ data }) =>
        Array.from({ length: 3_000 }, (_, i) => ({ collection: 'counts', id: `${data.seq}.${i}`, fresh: true })),
    };
    const fold = new BatchFold(many, sourceOf({}));
    const events = recorded(Array.from({ length: 10 }, (_, i) => sent(1, i + 1, 1)));
    expect((await fold.add(events)).consumed).toBe(3);
    expect(fold.isFull).toBe(true);
    // A single event may exceed the limit: it has to be folded somehow.
    expect((await new BatchFold(many, sourceOf({})).add(events.slice(9))).consumed).toBe(1);
  });

  it('folds an event into further documents too, each once', async () => {
    const source = sourceOf({
      [objectId(1)]: { position: positionOf(0), body: { count: 10 } },
      [objectId(2)]: { position: positionOf(9), body: { count: 20 } },
      [objectId(3)]: { position: positionOf(0), body: { count: 30 } },
    });
    const fold = new BatchFold(counter({}), source);
    const further = [1, 2, 3].map((n) => ({ collection: 'counts', id: objectId(n) }));
    expect(await fold.add(recorded([sent(1, 1, 1)]), further)).toEqual({ consumed: 1, poison: null });
    expect(fold.documents.map(({ body, position, changed }) => [body?.count, position, changed])).toEqual([
      [11, positionOf(1), true],
      [20, positionOf(9), false],
      [31, positionOf(1), true],
    ]);
  });
});

describe('the cache of documents', () => {
  const ref = { collection: 'counts', id: 'a' };
  const folded = (count: number, more: object = {}) => ({
    ref,
    loaded: undefined,
    body: { count },
    position: positionOf(count),
    changed: true,
    grown: 10,
    wanted: true,
    ...more,
  });

  it('keeps documents that are used again as they were last written', () => {
    const cache = createDocumentCache(['counts']);
    cache.settle([folded(1)]);
    cache.settle([folded(2)]);
    expect(cache.get(ref)).toEqual({ body: { count: 2 }, position: positionOf(2) });
    cache.clear();
    expect(cache.get(ref)).toBeUndefined();
  });

  it('keeps neither documents that were only created nor deleted ones', () => {
    const cache = createDocumentCache(['counts']);
    cache.settle([folded(1, { wanted: false })]);
    expect(cache.get(ref)).toBeUndefined();
    cache.settle([folded(2)]);
    cache.settle([folded(3, { body: undefined })]);
    expect(cache.get(ref)).toBeUndefined();
  });

  it('is limited by the size of its documents', () => {
    const cache = createDocumentCache(['counts']);
    const body = { text: 'x'.repeat(1024 * 1024) };
    const refs = Array.from({ length: 40 }, (_, i) => ({ collection: 'counts', id: String(i) }));
    for (const each of refs) cache.settle([folded(1, { ref: each, body })]);
    const kept = refs.filter((each) => cache.get(each) !== undefined);
    expect(kept.length).toBeGreaterThan(10);
    expect(kept.length).toBeLessThanOrEqual(16);
  });
});
