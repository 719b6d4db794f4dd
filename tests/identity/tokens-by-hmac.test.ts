import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPasswordLinks } from '../../src/identity/links.ts';
import { createNameIds } from '../../src/identity/names.ts';
import { createRefreshTokens } from '../../src/identity/refresh-tokens.ts';
import { deriveSecrets } from '../../src/identity/secrets.ts';

const secrets = deriveSecrets('a secret of the server, long enough');
const others = deriveSecrets('a secret of another server, as long');

const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));
const uuid = fc.uuid();

/** The token with one character replaced by another of its alphabet. */
function tampered(token: string, at: number, by: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const index = at % token.length;
  const changed = alphabet[(alphabet.indexOf(token.charAt(index)) + 1 + (by % 63)) % 64];
  return token.slice(0, index) + changed + token.slice(index + 1);
}

describe('the token of a mailed link', () => {
  const links = createPasswordLinks(secrets.links);

  it('is read back, and is the same each time it is made', () =>
    fc.assert(
      fc.property(hex(24), uuid, (userId, linkId) => {
        const token = links.token({ userId, linkId });
        expect(links.read(token)).toEqual({ userId, linkId });
        expect(links.token({ userId, linkId })).toBe(token);
        expect(token).toMatch(/^[A-Za-z0-9_-]{80}$/);
      }),
    ));

  it('is refused with any character changed', () =>
    fc.assert(
      fc.property(hex(24), uuid, fc.nat(), fc.nat(), (userId, linkId, at, by) => {
        expect(links.read(tampered(links.token({ userId, linkId }), at, by))).toBeNull();
      }),
    ));

  it.each(['', 'x', 'A'.repeat(80), 'A'.repeat(81), `${'A'.repeat(79)}=`, 'ä'.repeat(80)])('is not %j', (token) => {
    expect(links.read(token)).toBeNull();
  });

  it('of another server, or made for another purpose, is refused', () => {
    const ids = { userId: 'a'.repeat(24), linkId: '0190d1a4-6f2b-7000-8000-000000000001' };
    expect(links.read(createPasswordLinks(others.links).token(ids))).toBeNull();
    expect(links.read(createPasswordLinks(secrets.refresh).token(ids))).toBeNull();
  });
});

describe('a refresh token', () => {
  const tokens = createRefreshTokens(secrets.refresh);
  const subject = fc.record({ userId: hex(24), sessionId: uuid, counter: fc.nat(2 ** 32 - 1) });

  it('is read back', () =>
    fc.assert(
      fc.property(subject, (made) => {
        expect(tokens.read(tokens.token(made))).toEqual(made);
      }),
    ));

  it('is refused with any character changed, so that the next one cannot be guessed', () =>
    fc.assert(
      fc.property(subject, fc.nat(), fc.nat(), (made, at, by) => {
        expect(tokens.read(tampered(tokens.token(made), at, by))).toBeNull();
      }),
    ));

  it('of another server is refused', () => {
    const made = { userId: 'a'.repeat(24), sessionId: '0190d1a4-6f2b-7000-8000-000000000001', counter: 0 };
    expect(tokens.read(createRefreshTokens(others.refresh).token(made))).toBeNull();
  });
});

describe('ids of names', () => {
  const names = createNameIds(secrets.names);

  it('are the same for all spellings of a username', () => {
    expect(new Set(['Ada', 'ada', 'ADA', 'Ａｄａ'].map(names.username)).size).toBe(1);
    expect(names.username('ada')).not.toBe(names.username('adá'));
  });

  it('are the same for all spellings of an address', () => {
    expect(new Set(['ada@example.org', ' Ada@Example.ORG '].map(names.address)).size).toBe(1);
    expect(names.address('ada@example.org')).not.toBe(names.address('ada+1@example.org'));
  });

  it('disclose neither the name nor its kind, and differ between servers', () => {
    expect(names.username('ada')).toMatch(/^[0-9a-f]{64}$/);
    expect(names.username('ada')).not.toBe(names.address('ada'));
    expect(names.username('ada')).not.toBe(createNameIds(others.names).username('ada'));
  });
});
