import { describe, expect, it } from 'vitest';
import { passwordErrors } from '../../src/identity/password-rules.ts';

const owner = { email: 'Ada.Lovelace@Example.org', username: 'AnalyticalAda' };
const wrongWith = (password: string, confirm = password) => passwordErrors(password, confirm, owner);
const tooEasy = [{ path: '/password', message: 'is too easy to guess; choose another one' }];
const ofOwner = [{ path: '/password', message: 'must not be your e-mail address or username' }];

describe('a password', () => {
  it.each(['correct horse', '  leading and trailing  ', 'пароль-из-слов', '🐙🐙🦑🦑🐡🐡🦀🦞', `${'x'.repeat(127)}y`])(
    'such as %j is accepted: only the length counts, no mix of characters is required',
    (password) => {
      expect(wrongWith(password)).toEqual([]);
    },
  );

  it('has 8 to 128 characters; a character outside the basic plane counts once', () => {
    expect(wrongWith('7 chars')).toEqual([{ path: '/password', message: 'must have at least 8 characters' }]);
    expect(wrongWith('🐙🦑🐡🦀🦞🦐🐚')).toEqual([{ path: '/password', message: 'must have at least 8 characters' }]);
    expect(wrongWith('🐙🦑🐡🦀'.repeat(32))).toEqual([]);
    expect(wrongWith(`${'🐙🦑🐡🦀'.repeat(32)}!`)).toEqual([
      { path: '/password', message: 'must have at most 128 characters' },
    ]);
    expect(wrongWith('a long one '.repeat(100_000))).toEqual([
      { path: '/password', message: 'must have at most 128 characters' },
    ]);
  });

  it('is counted and compared in its canonical form', () => {
    expect(wrongWith('e\u0301'.repeat(7))).toEqual([{ path: '/password', message: 'must have at least 8 characters' }]);
    expect(wrongWith('e\u0301xy'.repeat(42))).toEqual([]);
    expect(wrongWith('correct hörse', 'correct ho\u0308rse')).toEqual([]);
    expect(wrongWith('ｐａｓｓｗｏｒｄ')).toEqual(tooEasy);
  });

  it('must be well-formed text', () => {
    expect(wrongWith('a lone \ud800 surrogate')).toEqual([{ path: '/password', message: 'must be well-formed text' }]);
  });

  it.each(['password', 'PassWord1', 'qwertyuiop', 'iloveyou', '1q2w3e4r', 'Summer2025!', 'letmein123'])(
    '%j is too common',
    (password) => {
      expect(wrongWith(password)).toEqual(tooEasy);
    },
  );

  it.each(['aaaaaaaaaaaa', 'abababababab', 'ABABABABA', '23456789', 'cdefghijkl', '76543210'])(
    '%j is a run of characters',
    (password) => {
      expect(wrongWith(password)).toEqual(tooEasy);
    },
  );

  it.each(['ada.lovelace@example.org', 'ADA.LOVELACE', 'analyticalada'])(
    '%j is the owner’s username or address',
    (password) => {
      expect(wrongWith(password)).toEqual(ofOwner);
    },
  );

  it('must be entered twice', () => {
    expect(wrongWith('correct horse', 'correct hörse')).toEqual([
      { path: '/confirmPassword', message: 'must be the same as the password' },
    ]);
    expect(wrongWith('short', 'shorts').map(({ path }) => path)).toEqual(['/password', '/confirmPassword']);
  });

  it('is also checked when the owner was erased', () => {
    expect(passwordErrors('correct horse', 'correct horse', { email: null, username: null })).toEqual([]);
  });
});
