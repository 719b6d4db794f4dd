import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { createSealer } from '../../src/kernel/sealing.ts';

const serverSecret = new Uint8Array(32).fill(1);
const random = createSystemRandom();
const sealer = createSealer(serverSecret, random);
const invalid = expect.objectContaining({ name: 'StoreError', code: 'INVALID' });

describe('a sealed secret', () => {
  it('opens under the same name and server secret, even with another sealer', () => {
    for (const secret of [Uint8Array.of(0), randomBytes(65_536)]) {
      const sealed = sealer.seal('kind/a', secret);
      expect(Buffer.from(createSealer(serverSecret, random).open('kind/a', sealed))).toEqual(Buffer.from(secret));
    }
  });

  it('is different each time, and contains nothing of the secret', () => {
    const secret = Buffer.from('a secret that is easy to find');
    const [first, second] = [sealer.seal('kind/a', secret), sealer.seal('kind/a', secret)];
    expect(Buffer.from(first)).not.toEqual(Buffer.from(second));
    expect(Buffer.from(first).includes('easy')).toBe(false);
  });

  it('has a nonce from the given generator', () => {
    const fixed = createSealer(serverSecret, { bytes: (count) => new Uint8Array(count).fill(9) });
    const sealed = fixed.seal('kind/a', Uint8Array.of(1, 2, 3));
    expect(Buffer.from(sealed).toString('hex', 0, 13)).toBe(`01${'09'.repeat(12)}`);
    expect(fixed.seal('kind/a', Uint8Array.of(1, 2, 3))).toEqual(sealed);
    expect(Buffer.from(sealer.open('kind/a', sealed))).toEqual(Buffer.of(1, 2, 3));
  });

  it('does not open under another name', () => {
    const sealed = sealer.seal('kind/a', Uint8Array.of(1, 2, 3));
    expect(() => sealer.open('kind/b', sealed)).toThrow(invalid);
  });

  it('does not open under another server secret', () => {
    const sealed = sealer.seal('kind/a', Uint8Array.of(1, 2, 3));
    expect(() => createSealer(new Uint8Array(32).fill(2), random).open('kind/a', sealed)).toThrow(invalid);
  });

  it('does not open when any byte was changed or its end was truncated', () => {
    const sealed = sealer.seal('kind/a', Uint8Array.of(1, 2, 3));
    for (let i = 0; i < sealed.length; i++) {
      const changed = Uint8Array.from(sealed);
      changed[i] = (changed[i] ?? 0) ^ 1;
      expect(() => sealer.open('kind/a', changed)).toThrow(invalid);
      expect(() => sealer.open('kind/a', sealed.subarray(0, i))).toThrow(invalid);
    }
  });

  it('cannot be created under a server secret that is too short', () => {
    expect(() => createSealer(new Uint8Array(15), random)).toThrow(invalid);
  });

  it('still opens after upgrades: the format does not change', () => {
    const sealed = Buffer.from('AdVD7b7+Mz3g0KEB2M0oMIf1UlWczEvNDCWlIxNJa2IdOCg+Uutnmzcm8mkFpzGtuw==', 'base64');
    expect(Buffer.from(sealer.open('signing/1', sealed)).toString()).toBe('a secret of long ago');
  });
});
