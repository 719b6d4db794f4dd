import { describe, expect, it } from 'vitest';
import { passwordErrors } from '../../src/identity/password-rules.ts';

const owner = { email: 'Ada.Lovelace@Example.org', username: 'AnalyticalAda' };
const wrongWith = (password: string, confirm = password) => passwordErrors(password, confirm, owner);
const tried = [{ path: '/password', message: 'is one of the passwords that are tried first; choose another' }];
const ofOwner = [{ path: '/password', message: 'must not be your e-mail address or username' }];

describe('a password', () => {
  it.each(['correct horse', '  leading and trailing  ', 'пароль-из-слов', '🐙🐙🦑🦑🐡🐡🦀🦞', `${'x'.repeat(127)}y`])(
    'such as %j will do: only its length counts, no mixture is asked for',
    (password) => {
      expect(wrongWith(password)).toEqual([]);
    },
  );

  it('has 8 to 128 characters, where a character outside the basic plane counts once', () => {
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

  it('is well-formed text', () => {
    expect(wrongWith('a lone \ud800 surrogate')).toEqual([{ path: '/password', message: 'must be well-formed text' }]);
  });

  it.each(['password', 'PassWord1', 'qwertyuiop', 'iloveyou', '1q2w3e4r', 'Summer2025!', 'letmein123'])(
    '%j is one of those tried first',
    (password) => {
      expect(wrongWith(password)).toEqual(tried);
    },
  );

  it.each(['aaaaaaaaaaaa', 'abababababab', 'ABABABABA', '23456789', 'cdefghijkl', '76543210'])(
    '%j is a run of characters',
    (password) => {
      expect(wrongWith(password)).toEqual(tried);
    },
  );

  it.each(['ada.lovelace@example.org', 'ADA.LOVELACE', 'analyticalada'])(
    '%j is the owner’s name or address',
    (password) => {
      expect(wrongWith(password)).toEqual(ofOwner);
    },
  );

  it('is asked for twice', () => {
    expect(wrongWith('correct horse', 'correct hörse')).toEqual([
      { path: '/confirmPassword', message: 'must be the same as the password' },
    ]);
    expect(wrongWith('short', 'shorts').map(({ path }) => path)).toEqual(['/password', '/confirmPassword']);
  });

  it('of an erased owner is checked all the same', () => {
    expect(passwordErrors('correct horse', 'correct horse', { email: null, username: null })).toEqual([]);
  });
});
