import { describe, expect, it } from 'vitest';
import { Gathering } from '../../src/projections/runner/batch-delay.ts';
import { manualClock } from '../support/manual-clock.ts';

/** A pause after a batch of so many ms, and how it is going. */
function begin(tookMs: number, isAwaited: boolean) {
  const clock = manualClock();
  const gathering = new Gathering({ isAwaited: () => isAwaited, sleep: clock.sleep });
  const stop = new AbortController();
  const pause = { isOver: false };
  const over = gathering.pause(tookMs, stop.signal).then(() => {
    pause.isOver = true;
  });
  return { clock, gathering, stop, pause, over };
}

describe('gathering between two batches', () => {
  it('takes four times what the batch took, while nobody waits', async () => {
    const { clock, pause } = begin(50, false);
    await clock.advance(50);
    await clock.advance(149);
    expect(pause.isOver).toBe(false);
    await clock.advance(1);
    expect(pause.isOver).toBe(true);
  });

  it('takes no longer than the batch for those who wait already', async () => {
    const { clock, pause } = begin(50, true);
    await clock.advance(49);
    expect(pause.isOver).toBe(false);
    await clock.advance(1);
    expect(pause.isOver).toBe(true);
  });

  it('takes half a second at most', async () => {
    const { clock, pause } = begin(10_000, false);
    await clock.advance(500);
    await clock.advance(0);
    expect(pause.isOver).toBe(true);
  });

  it('ends when somebody begins to wait, after the time of the batch', async () => {
    const { clock, gathering, pause, over } = begin(50, false);
    await clock.advance(50);
    expect(pause.isOver).toBe(false);
    gathering.hurry();
    await over;
    expect(pause.isOver).toBe(true);
  });

  it('ends when the node stops', async () => {
    const { stop, pause, over } = begin(50, false);
    stop.abort();
    await over;
    expect(pause.isOver).toBe(true);
  });
});
