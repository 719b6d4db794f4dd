import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressError, canonicalAddress } from '../../src/identity/addresses.ts';
import { createNameIds } from '../../src/identity/names.ts';
import { canonicalPassword } from '../../src/identity/password-rules.ts';
import { deriveSecrets } from '../../src/identity/secrets.ts';
import { canonicalUsername, usernameError } from '../../src/identity/username-rules.ts';
import { contentError, nameError } from '../../src/kernel/visible-text.ts';

const names = createNameIds(deriveSecrets('a secret of the server, long enough').names);

const CHARACTERS = 'must consist of letters, digits, dots, underscores and hyphens, and begin with a letter or digit';
const INVISIBLE = 'must not contain invisible characters';
const MIXED = 'must not mix letters of several scripts';
const RESERVED = 'is reserved; choose another one';

describe('a username', () => {
  it.each([
    ['Ada', 'Latin'],
    ['ada.lovelace_1815-x', 'with dots, digits, underscores and hyphens'],
    ['4ever', 'beginning with a digit'],
    ['José', 'composed'],
    ['Jose\u0301', 'decomposed'],
    ['ग्रेस', 'Hindi, with vowel signs and a virama'],
    ['सीता', 'Hindi'],
    ['สมชาย', 'Thai'],
    ['ทองคำ', 'Thai, with a vowel that NFKC takes apart'],
    ['محمد', 'Arabic'],
    ['عائشة٢', 'Arabic, with an Arabic digit'],
    ['דוד', 'Hebrew'],
    ['김철수', 'Korean, composed'],
    ['\u1100\u1161\u11a8\u1100\u1161\u1100\u1161', 'Korean, decomposed'],
    ['Иван', 'Cyrillic'],
    ['Ελένη', 'Greek'],
    ['田中さん', 'Japanese, Han and Hiragana'],
    ['kenタナカ田', 'Japanese with Latin letters'],
    ['kim김철', 'Korean with Latin letters'],
    ['王小明', 'Chinese'],
    ['straße', 'with a sharp s'],
    ['Ａｄａ', 'full-width letters, which compare like others'],
    ['a'.repeat(32), '32 characters'],
    ['e\u0301'.repeat(32), '32 characters once they are composed'],
    ['𐐷𐐲𐑌', 'outside the basic plane'],
    ['admin2', 'only similar to a reserved name'],
  ])('accepts %j (%s)', (username) => {
    expect(usernameError(username)).toBeNull();
    expect(usernameError(canonicalUsername(username))).toBeNull();
    expect(names.username(username)).toBe(names.username(canonicalUsername(username)));
  });

  it.each([
    ['', 'must have at least 3 characters'],
    ['ab', 'must have at least 3 characters'],
    ['e\u0301e\u0301', 'must have at least 3 characters'],
    ['a'.repeat(33), 'must have at most 32 characters'],
    ['a'.repeat(1_000_000), 'must have at most 32 characters'],
    ['lone\ud800', 'must be well-formed text, without lone surrogates'],
    ['...', CHARACTERS],
    ['.ada', CHARACTERS],
    ['-ada', CHARACTERS],
    ['_ada', CHARACTERS],
    ['\u0301ada', CHARACTERS],
    ['ada.\u0301x', CHARACTERS],
    ['ada l', CHARACTERS],
    ['   ', CHARACTERS],
    ['ada\u0000', CHARACTERS],
    ['ada\u001b', CHARACTERS],
    ['ada\u202e', CHARACTERS],
    ['ada\u200bx', CHARACTERS],
    ['\u200b\u200b\u200b', CHARACTERS],
    ['ada@x', CHARACTERS],
    ['ada²', CHARACTERS],
    ['Ⅷ-ada', CHARACTERS],
    ['ada😀', CHARACTERS],
    ['\u3164\u3164\u3164', INVISIBLE],
    ['\u115f\u115f\u115f', INVISIBLE],
    ['ada\u3164', INVISIBLE],
    ['аdmin', MIXED],
    ['admiп', MIXED],
    ['раypal', MIXED],
    ['ada-Δ', MIXED],
    ['αdmin', MIXED],
    ['kimИван', MIXED],
    ['ada١٢', MIXED],
    ['Иванタ', MIXED],
    ['admin', RESERVED],
    ['ADMIN', RESERVED],
    ['Ａｄｍｉｎ', RESERVED],
    ['admın', RESERVED],
    ['ſupport', RESERVED],
    ['no-reply', RESERVED],
  ])('refuses %j: %s', (username, reason) => {
    expect(usernameError(username)).toBe(reason);
  });

  it('compares alike in every spelling', () => {
    for (const spellings of [
      ['José', 'Jose\u0301', 'JOSÉ', 'jose\u0301'],
      ['ada', 'ADA', 'Ａｄａ'],
      ['sam', 'ſam', 'SAM'],
      ['office', 'oﬃce', 'OFFICE'],
      ['straße', 'strasse', 'STRASSE'],
      ['김철수', '김철수'.normalize('NFD')],
    ]) {
      expect(new Set(spellings.map(names.username)).size).toBe(1);
    }
    expect(names.username('Jose')).not.toBe(names.username('José'));
    expect(canonicalUsername('Jose\u0301')).toBe('José');
  });
});

const NO_ADDRESS = 'must be an e-mail address';
const COMPATIBILITY = 'must not contain compatibility forms of letters before the @';

describe('an e-mail address', () => {
  it.each([
    ['ada@example.org', 'ada@example.org'],
    [' Ada@Example.ORG ', 'ada@example.org'],
    ["o'brien+tag/x=y@example.org", "o'brien+tag/x=y@example.org"],
    ['ada@bücher.example', 'ada@xn--bcher-kva.example'],
    ['ada@BU\u0308CHER.example', 'ada@xn--bcher-kva.example'],
    ['ada@xn--bcher-kva.example', 'ada@xn--bcher-kva.example'],
    ['ada@XN--BCHER-KVA.example', 'ada@xn--bcher-kva.example'],
    ['ada@ｅｘａｍｐｌｅ.org', 'ada@example.org'],
    ['ada@example。org', 'ada@example.org'],
    ['ada@faß.example', 'ada@xn--fa-hia.example'],
    ['ada@उदाहरण.भारत', 'ada@xn--p1b6ci4b4b3a.xn--h2brj9c'],
    ['jose\u0301@example.org', 'josé@example.org'],
    ['JOSÉ@example.org', 'josé@example.org'],
    ['राम@example.org', 'राम@example.org'],
    ['김철수@example.org', '김철수@example.org'],
    ['ada@localhost', 'ada@localhost'],
    ['ada@a_b', null],
    ['', null],
    ['ada', null],
    ['ada@', null],
    ['@example.org', null],
    ['a b@example.org', null],
    ['ada@example..org', null],
    ['ada@example.org.', null],
    ['ada@-example.org', null],
    ['ada@192.0.2.1', null],
    ['ada@[192.0.2.1]', null],
    ['ada@0x7f.1', null],
    ['ada@exa mple.org', null],
    ['ada@example.org/x', null],
    ['ada@user:secret@example.org', null],
    ['"a\r\nBcc: x"@example.org', null],
    ['ada\u0000@example.org', null],
    ['ada\u200b@example.org', null],
    ['ada\u202e@example.org', null],
    ['\u3164@example.org', null],
    ['ada@example.org\n', null],
    ['lone\ud800@example.org', null],
  ])('%j has the canonical form %j', (given, canonical) => {
    expect(addressError(given)).toBe(canonical === null ? NO_ADDRESS : null);
    if (canonical !== null) expect(canonicalAddress(given)).toBe(canonical);
  });

  it.each([
    ['ａda@example.org', COMPATIBILITY],
    ['ſam@example.org', COMPATIBILITY],
    ['oﬃce@example.org', COMPATIBILITY],
    ['ada²@example.org', COMPATIBILITY],
    ['ⅷ@example.org', COMPATIBILITY],
  ])('is refused as %j, whose local part NFKC would change', (given, reason) => {
    expect(addressError(given)).toBe(reason);
  });

  it('has at most 64 bytes before the @ and 254 in all, in its canonical form', () => {
    const tooLong = 'must have at most 64 bytes before the @, and 254 in all';
    expect(addressError(`${'a'.repeat(64)}@example.org`)).toBeNull();
    expect(addressError(`${'a'.repeat(65)}@example.org`)).toBe(tooLong);
    expect(addressError(`${'é'.repeat(33)}@example.org`)).toBe(tooLong);
    const label = 'a'.repeat(62);
    expect(addressError(`ada@${label}.${label}.${label}.${'a'.repeat(61)}`)).toBeNull();
    expect(addressError(`ada@${label}.${label}.${label}.${'a'.repeat(62)}`)).toBe(tooLong);
    expect(addressError(`ada@${'x'.repeat(1_000_000)}`)).toBe(NO_ADDRESS);
  });

  it('is one account in all spellings, and not that of a text that is no address', () => {
    const spellings = [
      'ada@bücher.example',
      'ADA@BÜCHER.example',
      'ada@xn--bcher-kva.example',
      'ada@bu\u0308cher.example',
    ];
    expect(new Set(spellings.map(names.address)).size).toBe(1);
    expect(names.address('ada')).not.toBe(names.address('ada@example.org'));
  });

  it('has a canonical form that is its own', () => {
    const text = fc.string({
      unit: fc.constantFrom(...'aZé.-_ÜßΣςİıſ२김\u0301\u0308\u0323👩\u200d@ \n'),
      maxLength: 12,
    });
    fc.assert(
      fc.property(text, text, (local, domain) => {
        const given = `${local}@${domain}`;
        if (addressError(given) !== null) return;
        const canonical = canonicalAddress(given);
        expect(addressError(canonical)).toBeNull();
        expect(canonicalAddress(canonical)).toBe(canonical);
      }),
    );
  });
});

describe('a name that others see', () => {
  it.each([
    'Ada',
    'José',
    'ग्रेस हॉपर',
    'สมชาย',
    'محمد علی',
    'דוד',
    '김철수',
    'می‌خواهم',
    'क्‍ष',
    '👩‍👩‍👧‍👦',
    'O’Brien-Smith, Jr. 3',
    'a\u200b',
  ])('accepts %j', (name) => {
    expect(nameError(name)).toBeNull();
    expect(contentError(name)).toBeNull();
  });

  const HIDDEN = 'must contain a visible character';
  const CONTROL = 'must not contain control characters';
  const DIRECTION = 'must not contain characters that override the direction of text';
  it.each([
    ['\u3164', HIDDEN],
    ['\u115f', HIDDEN],
    ['\u1160', HIDDEN],
    ['\u200b', HIDDEN],
    ['\u200d\u200c', HIDDEN],
    ['\ufeff', HIDDEN],
    ['\u2800', HIDDEN],
    ['   ', HIDDEN],
    ['\u00a0\u3000', HIDDEN],
    ['\u0301', HIDDEN],
    ['', HIDDEN],
    ['a\u0000', CONTROL],
    ['a\u001b[31m', CONTROL],
    ['a\u0085', CONTROL],
    ['a\u007f', CONTROL],
    ['a\u202eb', DIRECTION],
    ['a\u202db', DIRECTION],
    ['a\ud800', 'must be well-formed text, without lone surrogates'],
  ])('refuses %j: %s', (name, reason) => {
    expect(nameError(name)).toBe(reason);
    expect(contentError(name)).toBe(reason);
  });

  it('has one line and no change of direction, which the content of a message may have', () => {
    for (const text of ['a\nb', 'a\tb', 'a\r\nb', 'a\u2028b']) {
      expect(nameError(text)).toBe(CONTROL);
      expect(contentError(text)).toBeNull();
    }
    for (const text of ['a\u2067ב\u2069', 'a\u202a+49\u202c']) {
      expect(nameError(text)).toBe(DIRECTION);
      expect(contentError(text)).toBeNull();
    }
    expect(contentError('\n\t')).toBe(HIDDEN);
  });
});

it('a password has one canonical form, composed or not', () => {
  expect(canonicalPassword('cafe\u0301 crème')).toBe(canonicalPassword('café crème'));
  expect(canonicalPassword('ｐａｓｓ')).toBe('pass');
});
