import { describe, expect, it } from 'vitest';
import { displayNameOf } from '../../src/kernel/display-name.ts';

describe('a display name', () => {
  it.each([
    ['Ada', 'Lovelace', 'Ada Lovelace'],
    ['Ada', null, 'Ada'],
    [null, 'Lovelace', 'Lovelace'],
    ['', 'Lovelace', 'Lovelace'],
    [null, null, 'ada'],
    ['', '', 'ada'],
  ])('of %j and %j with the username ada is %s', (firstname, lastname, name) => {
    expect(displayNameOf({ username: 'ada', firstname, lastname })).toBe(name);
  });

  it('is null when the user was erased', () => {
    expect(displayNameOf({ username: null, firstname: null, lastname: null })).toBeNull();
  });
});
