import { describe, expect, it } from 'vitest';
import { PasswordHasher } from '../../src/identity/password-hasher.ts';

describe('the password hasher', () => {
  it('makes argon2id hashes of 19 MiB and two passes, with a salt of their own', async () => {
    const hasher = new PasswordHasher();
    const [one, two] = await Promise.all([hasher.hash('correct horse'), hasher.hash('correct horse')]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(two).not.toBe(one);
  });

  it('knows the password of a hash from any other, to the last of its characters', async () => {
    const hasher = new PasswordHasher();
    const long = 'x'.repeat(127);
    const hash = await hasher.hash(`${long}y`);
    expect(await hasher.verify(hash, `${long}y`)).toBe(true);
    expect(await hasher.verify(hash, `${long}z`)).toBe(false);
    expect(await hasher.verify(hash, long)).toBe(false);
  });

  it('says no without a hash', async () => {
    expect(await new PasswordHasher().verify(null, 'anything')).toBe(false);
  });

  it('refuses at once what would have to wait behind too many, and goes on after', async () => {
    const hasher = new PasswordHasher({ atOnce: 1, waiting: 2 });
    const asked = Array.from({ length: 5 }, (_, i) => hasher.hash(`password ${i}`));
    const outcomes = await Promise.allSettled(asked);
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
      'rejected',
    ]);
    await expect(asked[3]).rejects.toMatchObject({ name: 'Refusal', code: 'unavailable', retryAfterMs: 2_000 });
    await expect(hasher.hash('afterwards')).resolves.toMatch(/^\$argon2id/);
  });
});
