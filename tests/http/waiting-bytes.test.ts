import { expect, it } from 'vitest';
import { WaitingBytes } from '../../src/http/live/waiting-bytes.ts';

const MIB = 1024 * 1024;

it('what waits is bounded per user and per node, and makes room again', () => {
  const waiting = new WaitingBytes();
  expect([waiting.add('ann', 2 * MIB), waiting.add('ann', 1)]).toEqual([null, 'user']);
  for (let n = 1; n < 32; n++) expect(waiting.add(`user ${n}`, 2 * MIB)).toBe(null);
  expect([waiting.total, waiting.add('bob', 1)]).toEqual([64 * MIB, 'node']);
  waiting.remove('ann', MIB);
  expect([waiting.add('bob', 1), waiting.add('ann', MIB - 1), waiting.add('ann', 1)]).toEqual([null, null, 'node']);
});
