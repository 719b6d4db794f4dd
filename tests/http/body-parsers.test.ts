import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isForm, parseForm } from '../../src/http/request/body-parsers.ts';

const plain = (fields: Record<string, unknown>) => Object.fromEntries(Object.entries(fields));

describe('a form', () => {
  it('is parsed as browsers encode it', () => {
    expect(plain(parseForm('name=Analytical+engines&note=50%25+%26+more&empty=&bare'))).toEqual({
      name: 'Analytical engines',
      note: '50% & more',
      empty: '',
      bare: '',
    });
  });

  it('makes a list of a repeated name', () => {
    expect(plain(parseForm('p=a&p=b&p=c&q=d'))).toEqual({ p: ['a', 'b', 'c'], q: 'd' });
  });

  it('gives names of the prototype no special meaning', () => {
    const form = parseForm('__proto__=a&constructor=b&toString=c&__proto__=d');
    expect(Object.getPrototypeOf(form)).toBeNull();
    expect(Object.entries(form)).toEqual([
      ['__proto__', ['a', 'd']],
      ['constructor', 'b'],
      ['toString', 'c'],
    ]);
  });

  it('is rejected when it is not valid UTF-8', () => {
    expect(() => parseForm('a=%ff')).toThrow(expect.objectContaining({ code: 'malformed' }));
    expect(() => parseForm('a=%zz')).toThrow(expect.objectContaining({ code: 'malformed' }));
    expect(() => parseForm('a=%ed%a0%80')).toThrow(expect.objectContaining({ code: 'malformed' }));
    expect(() => parseForm('a=\xff')).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  it('is rejected when it has too many fields', () => {
    expect(() => parseForm('a=1&'.repeat(1_001))).toThrow(expect.objectContaining({ code: 'malformed' }));
    expect(Object.keys(parseForm(`${'&'.repeat(2_000)}a=1`))).toEqual(['a']);
  });

  it('parses everything that URLSearchParams encodes', () => {
    const field = fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }));
    fc.assert(
      fc.property(fc.uniqueArray(field, { selector: ([name]) => name, maxLength: 20 }), (pairs) => {
        const form = parseForm(new URLSearchParams(pairs).toString());
        expect(isForm(form)).toBe(true);
        expect(new Map(Object.entries(form))).toEqual(new Map(pairs));
      }),
    );
  });
});
