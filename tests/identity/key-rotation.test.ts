import { decodeProtectedHeader, importJWK, SignJWT } from 'jose';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { openSqliteKeys } from '../../src/adapters/sqlite/keys.ts';
import { ACCESS_TOKEN_S, type AccessTokens, createAccessTokens } from '../../src/identity/access-tokens.ts';
import { PUBLISH_MS, RETIRE_MS } from '../../src/identity/signing-keys.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { system } from '../support/stores.ts';

const ISSUER = 'https://parley.test';
const USER = 'a'.repeat(24);
const SESSION = '0190d1a4-6f2b-7000-8000-000000000001';
const refused = { code: 'unauthenticated' };
const GRADUAL = { atOnce: false };
const AT_ONCE = { atOnce: true };

let keys: KeyStore;
let clock: ManualClock;
let [here, there]: AccessTokens[] = [];

beforeEach(async () => {
  const secret = Buffer.alloc(32, 9);
  keys = await openSqliteKeys({ path: ':memory:', secret, random: system.random });
  clock = manualClock();
  [here, there] = [await node(), await node()];
  return () => keys.close();
});

const node = (): Promise<AccessTokens> => createAccessTokens({ keys, clock, issuer: ISSUER });
const nodes = (): readonly AccessTokens[] => [here, there].map((one) => one ?? expect.fail('there is no node'));
const sign = (on: AccessTokens | undefined): Promise<string> =>
  on?.sign(USER, SESSION) ?? expect.fail('there is no node');
const kidOf = (token: string): unknown => decodeProtectedHeader(token).kid;
const kidsOf = async (on: AccessTokens | undefined): Promise<unknown[]> =>
  ((await on?.recentJwks())?.keys ?? []).map(({ kid }) => kid);

/** Lets background reads finish. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a rotation', () => {
  it('publishes the next key on every node long before it signs, and the old one for as long as its tokens live', async () => {
    const first = kidOf(await sign(here));
    await here?.keys.rotate(GRADUAL);
    const [, next] = await kidsOf(here);
    await clock.advance(60_000);
    // Also on a node that has had no requests.
    expect(await kidsOf(there)).toEqual([first, next]);
    await clock.advance(PUBLISH_MS - 60_001);
    const last = await sign(there);
    expect(kidOf(last)).toBe(first);
    await clock.advance(1);
    for (const one of nodes()) expect(kidOf(await sign(one))).toBe(next);
    // Its times are whole seconds.
    const rest = ACCESS_TOKEN_S * 1_000 - 1_001;
    await clock.advance(rest);
    for (const one of nodes()) await expect(one.verify(last)).resolves.toMatchObject({ userId: USER });
    expect(await kidsOf(there)).toEqual([first, next]);
    await clock.advance(RETIRE_MS - rest);
    for (const one of nodes()) expect(await kidsOf(one)).toEqual([next]);
  });

  it('refuses no token at any time, on any node', async () => {
    const tokens: { token: string; until: number }[] = [];
    for (let second = 0; second < 3_000; second += 20) {
      if (second === 100) await here?.keys.rotate(GRADUAL);
      for (const one of nodes()) tokens.push({ token: await sign(one), until: clock.now() + ACCESS_TOKEN_S * 1_000 });
      for (const { token, until } of tokens.filter((_, index) => index % 7 === 0)) {
        if (clock.now() >= until) continue;
        for (const one of nodes()) await expect(one.verify(token)).resolves.toMatchObject({ userId: USER });
      }
      await clock.advance(20_000);
    }
    expect(new Set(tokens.map(({ token }) => kidOf(token))).size).toBe(2);
  });

  it('is refused while the next key waits, and makes one key of two rotations at the same time', async () => {
    const outcomes = await Promise.allSettled([here?.keys.rotate(GRADUAL), there?.keys.rotate(GRADUAL)]);
    expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true);
    expect(await keys.list('signing/')).toEqual(['signing/000001', 'signing/000002']);
    await expect(here?.keys.rotate(GRADUAL)).rejects.toMatchObject({
      code: 'rule-broken',
      message: `the next key is published already, and signs from ${new Date(clock.now() + PUBLISH_MS).toISOString()}`,
    });
  });

  it('destroys the keys that no token needs any more, and numbers on', async () => {
    await here?.keys.rotate(GRADUAL);
    await clock.advance(PUBLISH_MS + RETIRE_MS);
    await here?.keys.rotate(GRADUAL);
    expect(await keys.list('signing/')).toEqual(['signing/000002', 'signing/000003']);
    await clock.advance(PUBLISH_MS);
    const list = await here?.keys.list();
    expect(list?.map(({ state }) => state)).toEqual(['old', 'current']);
    await clock.advance(RETIRE_MS);
    expect((await here?.keys.rotate(GRADUAL))?.map(({ state }) => state)).toEqual(['current', 'next']);
    // A destroyed key does not come back with a restart.
    expect(await kidsOf(await node())).toHaveLength(2);
  });

  it('a token that a retired key signed is refused, also when it claims to be valid for long', async () => {
    const kid = String(kidOf(await sign(here)));
    const jwk = JSON.parse(Buffer.from((await keys.get('signing/000001')) ?? []).toString());
    const claims = { sid: SESSION, iss: ISSUER, aud: 'parley', sub: USER, iat: 0, exp: clock.now() };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid })
      .sign(await importJWK(jwk, 'ES256'));
    await here?.keys.rotate(GRADUAL);
    await clock.advance(PUBLISH_MS + RETIRE_MS - 1);
    await expect(there?.verify(token)).resolves.toMatchObject({ userId: USER });
    await settled();
    await clock.advance(1);
    expect(await kidsOf(here)).toHaveLength(1);
    await expect(here?.verify(token)).rejects.toMatchObject(refused);
    await clock.advance(60_000);
    // Also where it was verified before, once the keys were read again.
    await kidsOf(there);
    await expect(there?.verify(token)).rejects.toMatchObject(refused);
    expect(there?.isGenuine(token)).toBe(false);
  });
});

describe('a rotation at once', () => {
  it('refuses the tokens of all other keys, on other nodes within a minute', async () => {
    const tokens = [await sign(here), await sign(there)];
    for (const token of tokens) for (const one of nodes()) await one.verify(token);
    await here?.keys.rotate(GRADUAL);
    const [{ kid, state } = expect.fail('there is no key'), ...more] = (await here?.keys.rotate(AT_ONCE)) ?? [];
    expect({ state, more }).toEqual({ state: 'current', more: [] });
    expect(kidOf(await sign(here))).toBe(kid);
    for (const token of tokens) await expect(here?.verify(token)).rejects.toMatchObject(refused);
    await clock.advance(60_000);
    // The first use reads the keys again in the background.
    await there?.verify(tokens[0] ?? '');
    await vi.waitUntil(() => there?.jwks().keys[0]?.kid === kid);
    for (const token of tokens) await expect(there?.verify(token)).rejects.toMatchObject(refused);
    expect(kidOf(await sign(there))).toBe(kid);
    expect(await keys.list('signing/')).toHaveLength(1);
  });
});

describe('while the keys cannot be read', () => {
  it('the last ones sign for five minutes and verify without a limit', async () => {
    const token = await sign(here);
    const list = vi.spyOn(keys, 'list').mockRejectedValue(new StoreError('UNAVAILABLE', 'away: fault of this test'));
    await clock.advance(299_999);
    await sign(here);
    await settled();
    expect(await kidsOf(here)).toEqual([kidOf(token)]);
    await clock.advance(1);
    await expect(sign(here)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(here?.verify(token)).resolves.toMatchObject({ userId: USER });
    list.mockRestore();
    await expect(sign(here)).resolves.toEqual(expect.any(String));
  });
});
