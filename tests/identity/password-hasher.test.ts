import { describe, expect, it } from 'vitest';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { PasswordHasher } from '../../src/identity/password-hasher.ts';

const random = createSystemRandom();

describe('the password hasher', () => {
  it('makes argon2id hashes with 19 MiB and two passes, each with its own salt', async () => {
    const hasher = new PasswordHasher(random);
    const [one, two] = await Promise.all([hasher.hash('correct horse'), hasher.hash('correct horse')]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(two).not.toBe(one);
  });

  it('distinguishes the password from others that differ in the last character only', async () => {
    const hasher = new PasswordHasher(random);
    const long = 'x'.repeat(127);
    const hash = await hasher.hash(`${long}y`);
    expect(await hasher.verify(hash, `${long}y`)).toBe(true);
    expect(await hasher.verify(hash, `${long}z`)).toBe(false);
    expect(await hasher.verify(hash, long)).toBe(false);
  });

  it('takes the salt from its random source', async () => {
    const salt = Buffer.from('0123456789abcdef');
    const asked: number[] = [];
    const bytes = (count: number): Buffer => {
      asked.push(count);
      return salt;
    };
    const hash = await new PasswordHasher({ ...random, bytes }).hash('correct horse');
    expect(asked).toEqual([16]);
    expect(hash.split('$')[4]).toBe(salt.toString('base64').replaceAll('=', ''));
  });

  it('verifies no password without a hash', async () => {
    expect(await new PasswordHasher(random).verify(null, 'anything')).toBe(false);
  });

  it('refuses at once when too many are waiting, and continues afterwards', async () => {
    const hasher = new PasswordHasher(random, { atOnce: 1, waiting: 2 });
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
