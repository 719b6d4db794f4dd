import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TValidationError } from 'typebox/error';
import { Format } from 'typebox/format';
import { type FieldError, Refusal } from '../../kernel/errors.ts';
import { isForm } from './body-parsers.ts';
import { createConverter } from './convert.ts';

/** An address that mail can be sent to: no quotes, comments, or line breaks, which have no business in a header. */
const EMAIL = /^[\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?(?:\.|$))+$/u;

// TypeBox has one table of formats for the whole process. Formats must be there before a schema that names them is compiled.
Format.Set('text', (value) => value.isWellFormed());
Format.Set('email', (value) => value.length <= 254 && EMAIL.test(value) && !value.endsWith('.'));

/** Marks the schema of a body that may be left out. */
export const OPTIONAL_BODY = 'x-optional-body';

/**
 * Checks a value against a schema. Throws `malformed` when its shape is wrong (types, missing and surplus fields, broken text), `out-of-range` when only
 * values are. The errors' paths are JSON pointers, or names of parameters when `paths` says so.
 */
export type Validator = (value: unknown) => void;

export function createValidator(schema: TSchema, paths: 'pointers' | 'names' = 'pointers'): Validator {
  const compiled = Compile(schema);
  return (value) => {
    if (!compiled.Check(value)) throw refuse(compiled.Errors(shorten(value)), paths);
  };
}

/**
 * Fastify's validator. JSON bodies are taken strictly as they are; text (forms, query strings) is converted first. Something in the path that
 * is not an id is not there.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validate = createValidator(schema, httpPart === 'body' ? 'pointers' : 'names');
  const convert = createConverter(schema);
  const mayBeMissing = OPTIONAL_BODY in schema;
  const check = (value: unknown): void => {
    if (httpPart === 'body') {
      if (value === null && mayBeMissing) return;
      if (typeof value === 'object' && value !== null && isForm(value)) convert(value as Record<string, unknown>);
    } else if (httpPart === 'querystring') {
      convert(value as Record<string, unknown>);
    }
    validate(value);
  };
  return (value: unknown) => {
    try {
      check(value);
      return { value };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { error: httpPart === 'params' ? new Refusal('not-found', 'there is nothing here') : error };
    }
  };
};

/** What is wrong with values, not with their shape. */
const OF_RANGE: ReadonlySet<string> = new Set([
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minItems',
  'maxItems',
  'uniqueItems',
  'pattern',
  'enum',
]);

function refuse(errors: readonly TValidationError[], paths: 'pointers' | 'names'): Refusal {
  const found = errors.flatMap((error) => explain(error));
  const malformed = found.length === 0 || found.some(({ ofRange }) => !ofRange);
  const fields: FieldError[] = found.map(({ path, message }) => ({
    path: paths === 'names' ? path.slice(1) : path,
    message,
  }));
  const [first] = fields;
  const detail = first === undefined ? 'the input does not fit' : `${first.path || 'the body'} ${first.message}`;
  return new Refusal(malformed ? 'malformed' : 'out-of-range', detail, { errors: fields });
}

type Explained = FieldError & Readonly<{ ofRange: boolean }>;

function explain(error: TValidationError): readonly Explained[] {
  const { instancePath, keyword } = error;
  const at = (message: string, ofRange = OF_RANGE.has(keyword)): Explained[] => [
    { path: shortPath(instancePath), message, ofRange },
  ];
  switch (error.keyword) {
    case 'required':
      return error.params.requiredProperties.map((name) => ({
        path: shortPath(`${instancePath}/${pointerPart(name)}`),
        message: 'is missing',
        ofRange: false,
      }));
    case 'boolean':
      return at('is not known here');
    case 'additionalProperties':
    case 'anyOf':
      // What is behind it has errors of its own.
      return [];
    case 'type':
      // Said of what may be null, that is the lesser half of what it may be.
      return error.params.type === 'null' ? [] : at(`must be ${typeWords(error.params.type)}`);
    case 'minLength':
      return at(error.params.limit === 1 ? 'must not be empty' : `must have at least ${error.params.limit} characters`);
    case 'maxLength':
      return at(`must have at most ${error.params.limit} characters`);
    case 'minItems':
      return at(`must have at least ${error.params.limit} items`);
    case 'maxItems':
      return at(`must have at most ${error.params.limit} items`);
    case 'minimum':
      return at(`must be at least ${error.params.limit}`);
    case 'maximum':
      return at(`must be at most ${error.params.limit}`);
    case 'pattern':
      return at('is not of the right form');
    case 'format':
      return error.params.format === 'email'
        ? at('must be an e-mail address', true)
        : at('must be well-formed text, without lone surrogates', false);
    default:
      return at('does not fit');
  }
}

function typeWords(type: string | readonly string[]): string {
  const word = typeof type === 'string' ? type : (type.find((name) => name !== 'null') ?? 'null');
  return /^[aeiou]/.test(word) ? `an ${word}` : `a ${word}`;
}

const pointerPart = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');

/** A path holds names that the caller chose. */
const shortPath = (path: string): string => (path.length > 200 ? `${path.slice(0, 200)}…` : path).toWellFormed();

/** More items or fields than any schema of ours allows. */
const TOO_MANY = 256;

/** The value cut down to what can be explained quickly: finding every fault of a large hostile body takes a tenth of a second. */
function shorten(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.slice(0, TOO_MANY);
  const fields = Object.entries(value).slice(0, TOO_MANY);
  return Object.fromEntries(
    fields.map(([name, field]) => [name, Array.isArray(field) ? field.slice(0, TOO_MANY) : field]),
  );
}
