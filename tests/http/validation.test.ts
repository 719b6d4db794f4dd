import { Type } from 'typebox';
import { describe, expect, it } from 'vitest';
import { createConverter } from '../../src/http/request/convert.ts';
import { createValidator } from '../../src/http/request/validation.ts';
import { nullable } from '../../src/http/shapes/common.ts';
import { Refusal } from '../../src/kernel/errors.ts';

const schema = Type.Object(
  {
    content: Type.String({ minLength: 1, maxLength: 5, format: 'text' }),
    to: Type.Optional(Type.Array(Type.String({ pattern: '^[a-z]$' }), { maxItems: 2 })),
    seq: Type.Optional(Type.Integer({ minimum: 0 })),
    reply: Type.Optional(nullable(Type.String({ pattern: '^x$' }))),
    email: Type.Optional(Type.String({ maxLength: 254, format: 'email' })),
  },
  { additionalProperties: false },
);
const validate = createValidator(schema);

function refusal(value: unknown) {
  try {
    validate(value);
  } catch (error) {
    if (error instanceof Refusal) return { code: error.code, errors: error.errors };
    throw error;
  }
  return null;
}

describe('validation', () => {
  it('accepts valid values without changing them', () => {
    const value = Object.freeze({ content: 'hello', to: ['a'], seq: 0, reply: null, email: 'ada@example.org' });
    expect(refusal(value)).toBeNull();
  });

  it.each([
    ['null', null, [{ path: '', message: 'must be an object' }]],
    ['a wrong type', { content: 1 }, [{ path: '/content', message: 'must be a string' }]],
    ['a missing field', {}, [{ path: '/content', message: 'is required' }]],
    ['an unknown field', { content: 'a', 'x/y': 1 }, [{ path: '/x~1y', message: 'is not a known field' }]],
    [
      'a lone surrogate',
      { content: '\ud800' },
      [{ path: '/content', message: 'must be well-formed text, without lone surrogates' }],
    ],
    ['a fraction for an integer', { content: 'a', seq: 1.5 }, [{ path: '/seq', message: 'must be an integer' }]],
    ['a wrong type of a nullable field', { content: 'a', reply: 1 }, [{ path: '/reply', message: 'must be a string' }]],
    ['a wrong type in a list', { content: 'a', to: [1] }, [{ path: '/to/0', message: 'must be a string' }]],
  ])('reports %s as malformed', (_name, value, errors) => {
    expect(refusal(value)).toEqual({ code: 'malformed', errors });
  });

  it.each([
    ['empty text', { content: '' }, [{ path: '/content', message: 'must not be empty' }]],
    ['long text', { content: 'abcdef' }, [{ path: '/content', message: 'must have at most 5 characters' }]],
    ['a long list', { content: 'a', to: ['a', 'b', 'c'] }, [{ path: '/to', message: 'must have at most 2 items' }]],
    ['a low number', { content: 'a', seq: -1 }, [{ path: '/seq', message: 'must be at least 0' }]],
    ['an invalid format', { content: 'a', reply: 'y' }, [{ path: '/reply', message: 'has an invalid format' }]],
    ['an invalid address', { content: 'a', email: 'ada' }, [{ path: '/email', message: 'must be an e-mail address' }]],
  ])('reports %s as out of range', (_name, value, errors) => {
    expect(refusal(value)).toEqual({ code: 'out-of-range', errors });
  });

  it('counts characters, not UTF-16 units', () => {
    expect(refusal({ content: '👍'.repeat(5) })).toBeNull();
    expect(refusal({ content: '👍'.repeat(6) })?.code).toBe('out-of-range');
  });

  it('reports malformed when both are wrong, and lists both', () => {
    expect(refusal({ content: '', more: 1 })).toEqual({
      code: 'malformed',
      errors: [
        { path: '/more', message: 'is not a known field' },
        { path: '/content', message: 'must not be empty' },
      ],
    });
  });

  it('reports only the first errors of a large hostile body', () => {
    const fields = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`field${i}`, i]));
    expect(refusal({ content: 'a', ...fields })?.errors.length).toBeLessThan(10);
    expect(refusal({ content: 'a', to: Array(60_000).fill('?') })?.errors.length).toBeLessThan(10);
  });

  it.each(['ada@example.org', 'a.b+c@sub.example.org', 'jörg@müller.example', 'ada@localhost'])(
    'accepts the address %s',
    (email) => {
      expect(refusal({ content: 'a', email })).toBeNull();
    },
  );

  it.each([
    'ada@',
    '@example.org',
    'a b@example.org',
    'ada@example..org',
    'ada@example.org.',
    'ada@-example.org',
    '"a\r\nBcc: x"@example.org',
    'ada@example.org\n',
    'ada@example.org, eve@example.org',
  ])('rejects the address %j', (email) => {
    expect(refusal({ content: 'a', email })?.code).toBe('out-of-range');
  });
});

describe('conversion of text', () => {
  const convert = createConverter(
    Type.Object({
      count: Type.Integer(),
      share: Type.Number(),
      flag: Type.Boolean(),
      list: Type.Array(Type.String()),
      text: Type.String(),
    }),
  );
  const converted = (fields: Record<string, unknown>) => {
    convert(fields);
    return fields;
  };

  it('converts text that clearly is a number, a boolean or a list', () => {
    expect(converted({ count: '12', share: '-0.5', flag: 'true', list: 'a', text: '12' })).toEqual({
      count: 12,
      share: -0.5,
      flag: true,
      list: ['a'],
      text: '12',
    });
  });

  it.each(['', ' 1', '1.5', '0x10', '1e3', 'true', '99999999999999999'])(
    'leaves %j for the schema to reject',
    (count) => {
      expect(converted({ count })).toEqual({ count });
    },
  );
});
