import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { manualClock } from '../support/manual-clock.ts';
import { ask, group, message, messagesOf, newId, newUuid, openShared, type Shared, startNode } from './node.ts';

const [ann, bob] = [newId(), newId()];
let shared: Shared;

beforeEach(async () => {
  shared = await openShared();
});

afterEach(async () => {
  await shared.close();
});

describe('when the store is away', () => {
  it('a command is refused as unavailable, nothing is written, and the next one goes on', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    node.events.faults.push('away');
    await expect(ask(node, ann, message(id, 'lost'))).rejects.toMatchObject({
      code: 'unavailable',
      retryAfterMs: 1_000,
    });
    await ask(node, ann, message(id, 'kept'));
    expect((await messagesOf(shared, id)).map(({ content, seq }) => [seq, content])).toEqual([[1, 'kept']]);
  });

  it('a refusal that hung on the lost append is not told as one', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann, bob);
    node.events.faults.push('away');
    const outcomes = await Promise.allSettled([
      ask(node, ann, { type: 'RemoveMember', data: { conversationId: id, userId: bob } }),
      ask(node, bob, message(id)),
    ]);
    expect(outcomes).toMatchObject([{ reason: { code: 'unavailable' } }, { reason: { code: 'unavailable' } }]);
  });
});

describe('when no answer comes in time', () => {
  for (const fault of ['unknown-before-write', 'unknown-after-write'] as const) {
    it(`(${fault}) the identical append is repeated, and the event is there once`, async () => {
      const node = await startNode(shared);
      const id = await group(node, ann);
      node.events.faults.push(fault, fault, fault);
      const handled = await ask(node, ann, message(id));
      expect(handled.events).toHaveLength(1);
      const events = await messagesOf(shared, id);
      expect(events).toHaveLength(1);
      expect(handled.revision).toBe(1n);
    });
  }

  it('and another node was first, the command is decided again on what that one wrote', async () => {
    const [one, two] = [await startNode(shared), await startNode(shared)];
    const id = await group(one, ann, bob);
    one.events.faults.push('unknown-before-write');
    one.events.beforeAppend.hook = async () => {
      one.events.beforeAppend.hook = async () => {};
      await ask(two, bob, message(id, 'first'));
    };
    await ask(one, ann, message(id, 'second'));
    expect((await messagesOf(shared, id)).map(({ content }) => content)).toEqual(['first', 'second']);
  });

  it('and what then is in the way cannot be read, the answer is outcome-unknown, and never that nothing was written', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    const asked = message(id);
    const read = shared.log.readStream.bind(shared.log);
    node.events.faults.push('unknown-after-write');
    node.events.beforeAppend.hook = async () => {
      shared.log.readStream = () => Promise.reject(new StoreError('UNAVAILABLE', 'away, as the test wants it'));
    };
    await expect(ask(node, ann, asked)).rejects.toMatchObject({ code: 'outcome-unknown' });
    shared.log.readStream = read;
    node.events.beforeAppend.hook = async () => {};
    await ask(node, ann, asked);
    expect(await messagesOf(shared, id)).toHaveLength(1);
  });

  it('and the store is closed before it is known, the answer is outcome-unknown', async () => {
    const node = await startNode(shared);
    const id = await group(node, ann);
    node.events.faults.push('unknown-after-write');
    const append = shared.log.append.bind(shared.log);
    shared.log.append = async (...args) => {
      shared.log.append = () => Promise.reject(new StoreError('CLOSED', 'closed, as the test wants it'));
      return append(...args);
    };
    await expect(ask(node, ann, message(id))).rejects.toMatchObject({ code: 'outcome-unknown' });
    expect(await messagesOf(shared, id)).toHaveLength(1);
  });

  it('at all, the answer is outcome-unknown, and a retry with handledSince finds out: once in the log', async () => {
    const clock = manualClock();
    const node = await startNode(shared, clock);
    const id = await group(node, ann);
    const commandId = newUuid();
    node.events.faults.push('unknown-after-write');
    node.events.beforeAppend.hook = async () => {
      if (node.events.faults.length === 0) node.events.faults.push('unknown-before-write');
    };
    const asked = message(id);
    const passing = setInterval(() => void clock.advance(500), 1);
    await expect(ask(node, ann, asked, { commandId })).rejects.toMatchObject({ code: 'outcome-unknown' });
    clearInterval(passing);
    node.events.beforeAppend.hook = async () => {};
    node.events.faults.length = 0;
    const again = await ask(node, ann, asked, { commandId, handledSince: 0n });
    expect(again.revision).toBe(1n);
    expect(await messagesOf(shared, id)).toHaveLength(1);
  });
});

describe('whatever goes wrong with appends, on whichever node', () => {
  it('every acknowledged message is there once, in sequence without gaps', async () => {
    const fault = fc.constantFrom('away', 'unknown-before-write', 'unknown-after-write', 'none');
    const sends = fc.array(fc.tuple(fc.nat({ max: 1 }), fault), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(sends, async (plan) => {
        const nodes = [await startNode(shared), await startNode(shared)] as const;
        const id = await group(nodes[0], ann);
        const outcomes = await Promise.allSettled(
          plan.map(([which, what], i) => {
            const node = nodes[which] ?? nodes[0];
            if (what !== 'none') node.events.faults.push(what);
            return ask(node, ann, message(id, `m${i}`));
          }),
        );
        const acknowledged = outcomes.flatMap(({ status }, i) => (status === 'fulfilled' ? [`m${i}`] : []));
        const sent = await messagesOf(shared, id);
        const contents = sent.map(({ content }) => content);
        expect(new Set(contents).size).toBe(contents.length);
        // "Unavailable" means not written, so what is there is exactly what was acknowledged.
        expect(contents.toSorted()).toEqual(acknowledged.toSorted());
        expect(sent.map(({ seq }) => seq)).toEqual(sent.map((_, i) => i + 1));
      }),
      { numRuns: 40 },
    );
  });
});
