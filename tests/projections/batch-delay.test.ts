import { describe, expect, it } from 'vitest';
import { BatchDelay } from '../../src/projections/runner/batch-delay.ts';
import { manualClock } from '../support/manual-clock.ts';

/** Begins the pause after a batch that took so many ms. */
function begin(tookMs: number, isAwaited: boolean) {
  const clock = manualClock();
  const delay = new BatchDelay({ isAwaited: () => isAwaited, clock });
  const stop = new AbortController();
  const pause = { isOver: false };
  const over = delay.pause(tookMs, stop.signal).then(() => {
    pause.isOver = true;
  });
  return { clock, delay, stop, pause, over };
}

describe('the pause between two batches', () => {
  it('lasts four times as long as the batch while no request waits', async () => {
    const { clock, pause } = begin(50, false);
    await clock.advance(50);
    await clock.advance(149);
    expect(pause.isOver).toBe(false);
    await clock.advance(1);
    expect(pause.isOver).toBe(true);
  });

  it('lasts as long as the batch while a request waits', async () => {
    const { clock, pause } = begin(50, true);
    await clock.advance(49);
    expect(pause.isOver).toBe(false);
    await clock.advance(1);
    expect(pause.isOver).toBe(true);
  });

  it('lasts half a second at most', async () => {
    const { clock, pause } = begin(10_000, false);
    await clock.advance(500);
    await clock.advance(0);
    expect(pause.isOver).toBe(true);
  });

  it('ends when a request begins to wait, after the time of the batch', async () => {
    const { clock, delay, pause, over } = begin(50, false);
    await clock.advance(50);
    expect(pause.isOver).toBe(false);
    delay.hurry();
    await over;
    expect(pause.isOver).toBe(true);
  });

  it('lasts until a later turn of the event loop after a short batch', async () => {
    const { pause, over } = begin(0.5, false);
    await Promise.resolve();
    expect(pause.isOver).toBe(false);
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
