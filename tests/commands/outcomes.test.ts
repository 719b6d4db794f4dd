import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { manualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';
import { execute, group, message, messagesOf, newId, newUuid, startNode } from './node.ts';

const [ann, bob] = [newId(), newId()];
let stores: MemoryStores;

beforeEach(async () => {
  stores = await openMemoryStores();
});

afterEach(async () => {
  await stores.close();
});

describe('when the store is unavailable', () => {
  it('a command is refused as unavailable, nothing is written, and the next command is handled', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    node.log.faults.push('away');
    await expect(execute(node, ann, message(id, 'lost'))).rejects.toMatchObject({
      code: 'unavailable',
      retryAfterMs: 1_000,
    });
    await execute(node, ann, message(id, 'kept'));
    expect((await messagesOf(stores, id)).map(({ content, seq }) => [seq, content])).toEqual([[1, 'kept']]);
  });

  it('a refusal that depended on the failed append is reported as unavailable', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann, bob);
    node.log.faults.push('away');
    const outcomes = await Promise.allSettled([
      execute(node, ann, { type: 'RemoveMember', data: { conversationId: id, userId: bob } }),
      execute(node, bob, message(id)),
    ]);
    expect(outcomes).toMatchObject([{ reason: { code: 'unavailable' } }, { reason: { code: 'unavailable' } }]);
  });
});

describe('when an append gets no answer in time', () => {
  for (const fault of ['unknown-before-write', 'unknown-after-write'] as const) {
    it(`the identical append is repeated, and its events are stored once (${fault})`, async () => {
      const node = await startNode(stores);
      const id = await group(node, ann);
      node.log.faults.push(fault, fault, fault);
      const handled = await execute(node, ann, message(id));
      expect(handled.events).toHaveLength(1);
      const events = await messagesOf(stores, id);
      expect(events).toHaveLength(1);
      expect(handled.revision).toBe(1n);
    });
  }

  it('and another node was faster, the command is decided again on what that node wrote', async () => {
    const [one, two] = [await startNode(stores), await startNode(stores)];
    const id = await group(one, ann, bob);
    one.log.faults.push('unknown-before-write');
    one.log.beforeAppend.hook = async () => {
      one.log.beforeAppend.hook = async () => {};
      await execute(two, bob, message(id, 'first'));
    };
    await execute(one, ann, message(id, 'second'));
    expect((await messagesOf(stores, id)).map(({ content }) => content)).toEqual(['first', 'second']);
  });

  it('and the conflicting events cannot be read, the command fails with outcome-unknown, never with unavailable', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    const sent = message(id);
    const read = node.log.readStream.bind(node.log);
    node.log.faults.push('unknown-after-write');
    node.log.beforeAppend.hook = async () => {
      node.log.readStream = () => Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it'));
    };
    await expect(execute(node, ann, sent)).rejects.toMatchObject({ code: 'outcome-unknown' });
    node.log.readStream = read;
    node.log.beforeAppend.hook = async () => {};
    await execute(node, ann, sent);
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });

  it('and the store is closed before the outcome is known, the command fails with outcome-unknown', async () => {
    const node = await startNode(stores);
    const id = await group(node, ann);
    node.log.faults.push('unknown-after-write');
    const append = node.log.append.bind(node.log);
    node.log.append = async (...args) => {
      node.log.append = () => Promise.reject(new StoreError('CLOSED', 'closed, as the test wants it'));
      return append(...args);
    };
    await expect(execute(node, ann, message(id))).rejects.toMatchObject({ code: 'outcome-unknown' });
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });

  it('nor from any repetition, the command fails with outcome-unknown, and a retry with handledSince returns what was stored', async () => {
    const clock = manualClock();
    const node = await startNode(stores, clock);
    const id = await group(node, ann);
    const commandId = newUuid();
    node.log.faults.push('unknown-after-write');
    node.log.beforeAppend.hook = async () => {
      if (node.log.faults.length === 0) node.log.faults.push('unknown-before-write');
    };
    const sent = message(id);
    const passing = setInterval(() => void clock.advance(500), 1);
    await expect(execute(node, ann, sent, { commandId })).rejects.toMatchObject({ code: 'outcome-unknown' });
    clearInterval(passing);
    node.log.beforeAppend.hook = async () => {};
    node.log.faults.length = 0;
    const again = await execute(node, ann, sent, { commandId, handledSince: 0n });
    expect(again.revision).toBe(1n);
    expect(await messagesOf(stores, id)).toHaveLength(1);
  });
});

describe('with any sequence of failed appends on two nodes', () => {
  it('every acknowledged message is stored once, in a sequence without gaps', async () => {
    const fault = fc.constantFrom('away', 'unknown-before-write', 'unknown-after-write', 'none');
    const sends = fc.array(fc.tuple(fc.nat({ max: 1 }), fault), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(sends, async (plan) => {
        const nodes = [await startNode(stores), await startNode(stores)] as const;
        const id = await group(nodes[0], ann);
        const outcomes = await Promise.allSettled(
          plan.map(([which, what], i) => {
            const node = nodes[which] ?? nodes[0];
            if (what !== 'none') node.log.faults.push(what);
            return execute(node, ann, message(id, `m${i}`));
          }),
        );
        const acknowledged = outcomes.flatMap(({ status }, i) => (status === 'fulfilled' ? [`m${i}`] : []));
        const sent = await messagesOf(stores, id);
        const contents = sent.map(({ content }) => content);
        expect(new Set(contents).size).toBe(contents.length);
        // "Unavailable" means that nothing was written, so exactly the acknowledged messages are stored.
        expect(contents.toSorted()).toEqual(acknowledged.toSorted());
        expect(sent.map(({ seq }) => seq)).toEqual(sent.map((_, i) => i + 1));
      }),
      { numRuns: 40 },
    );
  });
});
