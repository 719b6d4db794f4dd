import type { FastifyRequest, FastifySchema } from 'fastify';
import { type TObject, type TSchema, Type } from 'typebox';
import { closed } from '../../commands/fields.ts';
import { bodyTypes } from '../openapi.ts';
import { OPTIONAL_BODY } from '../request/validation.ts';
import type { CommandDescription, CommandInput, CommandPath } from './command-description.ts';

/** Names in a part of the request, each with the field of the input that it gives. */
type Bindings = Readonly<Record<string, string>>;

/** How the requests of one path carry a command. */
export type RequestMapping = Readonly<{
  /** Schemas of the parts of the request. */
  schema: Pick<FastifySchema, 'params' | 'querystring' | 'body' | 'consumes'>;
  /** The command's input, from a request that passed these schemas. */
  read(request: Pick<FastifyRequest, 'params' | 'query' | 'body'>): CommandInput;
}>;

/** Derives the schemas and the reader of a path. Throws when the description leaves open where a parameter or a required field is. */
export function mapRequest(
  { name, input, example = {} }: Pick<CommandDescription, 'name' | 'input' | 'example'>,
  path: CommandPath,
): RequestMapping {
  const { params = {}, query = {} } = path;
  const body = path.body ?? bodyFields(input, { ...params, ...query });
  requireComplete(name, input, path, { ...params, ...query, ...body });
  return {
    schema: {
      ...(isEmpty(params) ? {} : { params: closed(rename(params, input.properties)) }),
      // Not closed: surplus parameters of a query string are ignored.
      ...(isEmpty(query) ? {} : { querystring: Type.Object(rename(query, input.properties)) }),
      ...(isEmpty(body) ? {} : { body: bodySchema(input, body, example), consumes: bodyTypes }),
    },
    read: (request) => ({
      ...fieldsOf(request.params, params),
      ...fieldsOf(request.query, query),
      ...fieldsOf(request.body, body),
    }),
  };
}

/** By default, every field that is elsewhere neither in the path nor in the query string, under its own name. */
function bodyFields({ properties }: TObject, elsewhere: Bindings): Bindings {
  const bound = new Set(Object.values(elsewhere));
  return Object.fromEntries(
    Object.keys(properties)
      .filter((field) => !bound.has(field))
      .map((field) => [field, field]),
  );
}

function requireComplete(
  name: string,
  input: TObject,
  { method, path, params = {} }: CommandPath,
  all: Bindings,
): void {
  const inPath = [...path.matchAll(/:(\w+)/g)].map(([, parameter = '']) => parameter);
  const unbound = [
    ...inPath.filter((parameter) => !Object.hasOwn(params, parameter)),
    ...Object.keys(params).filter((parameter) => !inPath.includes(parameter)),
    ...(input.required ?? []).filter((field) => !Object.values(all).includes(field)),
  ];
  if (unbound.length > 0) throw new Error(`${name}: ${method} ${path} does not bind ${unbound.join(', ')}`);
}

/** A body whose fields are all optional may be left out. */
function bodySchema(input: TObject, body: Bindings, example: Readonly<Record<string, unknown>>): TSchema {
  const properties = rename(body, input.properties);
  const isOptional = Object.values(properties).every(Type.IsOptional);
  return Type.Object(properties, {
    additionalProperties: false,
    examples: [rename(body, example)],
    ...(isOptional ? { [OPTIONAL_BODY]: true } : {}),
  });
}

/** Values of fields under the names by which a part of the request knows them. */
function rename<Value>(bindings: Bindings, values: Readonly<Record<string, Value>>): Record<string, Value> {
  const pairs = Object.entries(bindings).flatMap(([name, field]): [string, Value][] => {
    const value = values[field];
    return value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(pairs);
}

/** The reverse: the fields that a part of a request gives. A missing body gives none. */
function fieldsOf(part: unknown, bindings: Bindings): Record<string, unknown> {
  const values = (part ?? {}) as Readonly<Record<string, unknown>>;
  const pairs = Object.entries(bindings).map(([name, field]): [string, unknown] => [field, values[name]]);
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
}

const isEmpty = (bindings: Bindings): boolean => Object.keys(bindings).length === 0;
