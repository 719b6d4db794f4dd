import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TValidationError } from 'typebox/error';
import { Format } from 'typebox/format';
import { addressError } from '../../identity/addresses.ts';
import { usernameError } from '../../identity/username-rules.ts';
import { type FieldError, Refusal } from '../../kernel/errors.ts';
import { contentError, nameError } from '../../kernel/visible-text.ts';
import { isForm } from './body-parsers.ts';
import { createConverter } from './convert.ts';

const ILL_FORMED = 'must be well-formed text, without lone surrogates';

/** What is wrong with a text of each format, `null` when nothing is. */
const formatErrors: Readonly<Record<string, (value: string) => string | null>> = {
  text: (value) => (value.isWellFormed() ? null : ILL_FORMED),
  email: addressError,
  username: usernameError,
  // The schema's minimum length has a message of its own.
  name: (value) => (value === '' ? null : nameError(value)),
  content: (value) => (value === '' ? null : contentError(value)),
};

// TypeBox has one table of formats per process. A format has to be registered before a schema that uses it is compiled.
for (const [name, errorOf] of Object.entries(formatErrors)) Format.Set(name, (value) => errorOf(value) === null);

/** Marks the schema of a body that may be left out. */
export const OPTIONAL_BODY = 'x-optional-body';

/**
 * Checks a value against a schema. Throws `malformed` when its shape is wrong (types, missing and unknown fields, broken text), `out-of-range` when
 * only values are. The paths of the errors are JSON pointers, or names of parameters when `paths` is `names`.
 */
export type Validator = (value: unknown) => void;

export function createValidator(schema: TSchema, paths: 'pointers' | 'names' = 'pointers'): Validator {
  const compiled = Compile(schema);
  return (value) => {
    if (compiled.Check(value)) return;
    const shortened = shorten(value);
    throw refuse(compiled.Errors(shortened), shortened, paths);
  };
}

/**
 * Fastify's validator. JSON bodies are checked strictly; the text of forms and query strings is converted first. An invalid id in the path gives
 * `not-found`.
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
      return { error: httpPart === 'params' ? new Refusal('not-found', 'there is no resource at this path') : error };
    }
  };
};

/** Keywords that restrict values, not shapes. */
const RANGE_KEYWORDS: ReadonlySet<string> = new Set([
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

function refuse(errors: readonly TValidationError[], value: unknown, paths: 'pointers' | 'names'): Refusal {
  const found = errors.flatMap((error) => explain(error, value));
  const malformed = found.length === 0 || found.some(({ ofRange }) => !ofRange);
  const fields: FieldError[] = found.map(({ path, message }) => ({
    path: paths === 'names' ? path.slice(1) : path,
    message,
  }));
  const [first] = fields;
  const detail = first === undefined ? 'the input is invalid' : `${first.path || 'the body'} ${first.message}`;
  return new Refusal(malformed ? 'malformed' : 'out-of-range', detail, { errors: fields });
}

type Explained = FieldError & Readonly<{ ofRange: boolean }>;

function explain(error: TValidationError, value: unknown): readonly Explained[] {
  const { instancePath, keyword } = error;
  const at = (message: string, ofRange = RANGE_KEYWORDS.has(keyword)): Explained[] => [
    { path: shortPath(instancePath), message, ofRange },
  ];
  switch (error.keyword) {
    case 'required':
      return error.params.requiredProperties.map((name) => ({
        path: shortPath(`${instancePath}/${pointerPart(name)}`),
        message: 'is required',
        ofRange: false,
      }));
    case 'boolean':
      return at('is not a known field');
    case 'additionalProperties':
    case 'anyOf':
      // The error that caused it is reported separately.
      return [];
    case 'type':
      // For a nullable field, the error of the other type says more.
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
      return at('has an invalid format');
    case 'format': {
      const text = valueAt(value, instancePath);
      const message = typeof text === 'string' ? formatErrors[error.params.format]?.(text) : null;
      // Ill-formed text is no text at all, whatever it stands for.
      return at(message ?? 'is invalid', typeof text === 'string' && text.isWellFormed());
    }
    default:
      return at('is invalid');
  }
}

/** The value at a JSON pointer (RFC 6901). */
function valueAt(value: unknown, pointer: string): unknown {
  const keys = pointer.split('/').slice(1);
  return keys.reduce<unknown>((inner, key) => {
    const name = key.replaceAll('~1', '/').replaceAll('~0', '~');
    return typeof inner === 'object' && inner !== null ? (inner as Readonly<Record<string, unknown>>)[name] : undefined;
  }, value);
}

function typeWords(type: string | readonly string[]): string {
  const word = typeof type === 'string' ? type : (type.find((name) => name !== 'null') ?? 'null');
  return /^[aeiou]/.test(word) ? `an ${word}` : `a ${word}`;
}

const pointerPart = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');

/** Shortened, because a path holds names that the caller chose. */
const shortPath = (path: string): string => (path.length > 200 ? `${path.slice(0, 200)}…` : path).toWellFormed();

/** More items or fields than any schema allows. */
const TOO_MANY = 256;

/** Cuts the value down to a size that is explained quickly: finding every error of a large hostile body takes 100 ms. */
function shorten(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.slice(0, TOO_MANY);
  const fields = Object.entries(value).slice(0, TOO_MANY);
  return Object.fromEntries(
    fields.map(([name, field]) => [name, Array.isArray(field) ? field.slice(0, TOO_MANY) : field]),
  );
}
