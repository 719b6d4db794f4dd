import swagger from '@fastify/swagger';
import type { FastifySchema, RouteOptions } from 'fastify';
import { Type } from 'typebox';
import type { App, HttpConfig } from './deps.ts';
import { type ProblemCode, problemKinds } from './request/problems.ts';
import { OPTIONAL_BODY } from './request/validation.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Problems of this route, beside those that follow from its schema. For the documentation. */
    problems?: readonly ProblemCode[];
    /** It takes `If-Match`, or answers with an `ETag`. */
    revision?: 'expected' | 'told';
  }
}

/** Of a body that may come as JSON or as a form. */
export const bodyTypes = ['application/json', 'application/x-www-form-urlencoded'];

/** The security requirement of routes for the signed-in. */
export const signedInOnly = [{ bearer: [] }];

const Problem = Type.Object(
  {
    type: Type.String({ description: '`urn:parley:problem:<code>`' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What is wrong, for a person to read' }),
    instance: Type.String({ description: 'The path that was asked for' }),
    code: Type.String({ enum: Object.keys(problemKinds), description: 'Stable; decide by this' }),
    errors: Type.Optional(
      Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), { description: 'What is wrong where' }),
    ),
  },
  { description: 'Problem details (RFC 9457)' },
);

const tags = [
  { name: 'accounts', description: 'Signing up, and passwords' },
  { name: 'sessions', description: 'Signing in and out, and the keys behind it' },
  { name: 'users', description: 'Oneself and others' },
  { name: 'conversations', description: 'Groups, their members, and what was read' },
  { name: 'messages', description: 'Writing and reading' },
  { name: 'one-to-one', description: 'The conversation with another user, which begins with its first message' },
  { name: 'operation', description: 'How the server is' },
];

type Operation = {
  responses: Record<string, Record<string, unknown>>;
  parameters?: unknown[];
  requestBody?: { required?: boolean };
};
type Document = { paths: Record<string, Record<string, Operation>>; components?: Record<string, unknown> };

/** Describes the routes that are added from now on, as OpenAPI 3.1 from their own schemas. */
export async function describeRoutes(app: App, config: HttpConfig): Promise<void> {
  const routes = new Map<string, RouteOptions>();
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Parley',
        version: config.version,
        description:
          'Accounts, mail, conversations and projects. A command answers 202 once it is durable, with the `position` at which a query shows it (`Min-Position`). Every error is a problem (RFC 9457).',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      // Relative to where this description was fetched from, so that trying it out stays within the origin.
      servers: [{ url: '/' }],
      tags,
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'JWT',
            description: '`POST /api/v1/sessions` gives one.',
          },
        },
      },
    },
    transform: ({ schema, url, route }) => {
      for (const method of [route.method].flat()) routes.set(`${method.toLowerCase()} ${pathOf(url)}`, route);
      return { schema, url };
    },
    transformObject: (documents) => {
      // The library's type of a document is the union of two standards; this is the one that was asked for.
      const document = ('openapiObject' in documents ? documents.openapiObject : {}) as unknown as Document;
      complete(document, routes);
      return document;
    },
  });
}

const pathOf = (url: string): string => url.replace(/:([A-Za-z]+)/g, '{$1}');

/** Adds what follows from how this server works, rather than saying it at each route. */
function complete(document: Document, routes: ReadonlyMap<string, RouteOptions>): void {
  document.components = {
    ...document.components,
    schemas: { Problem },
    responses: Object.fromEntries(statuses().map((status) => [`Problem${status}`, problemResponse(status)])),
  };
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const route = routes.get(`${method} ${path}`);
      if (route?.schema === undefined) continue;
      operation.parameters = [...(operation.parameters ?? []), ...headersOf(route, route.schema)];
      for (const status of new Set(codesOf(route, route.schema).map((code) => problemKinds[code].status))) {
        operation.responses[status] ??= { $ref: `#/components/responses/Problem${status}` };
      }
      if (route.config?.revision === 'told') operation.responses['304'] = { description: 'The one you have' };
      const good = operation.responses['202'] ?? operation.responses['200'];
      if (good !== undefined) good.headers = answerHeaders(route);
      if (operation.requestBody !== undefined && OPTIONAL_BODY in Object(route.schema.body))
        operation.requestBody.required = false;
    }
  }
}

function codesOf({ config }: RouteOptions, schema: FastifySchema): readonly ProblemCode[] {
  // Probes are always answered.
  if (schema.tags?.includes('operation')) return [];
  return [
    ...(schema.body === undefined
      ? []
      : (['malformed', 'too-large', 'unsupported-media-type', 'out-of-range'] as const)),
    ...(schema.querystring === undefined ? [] : (['malformed', 'out-of-range'] as const)),
    ...(schema.params === undefined ? [] : (['not-found'] as const)),
    ...(schema.security === undefined ? [] : (['unauthenticated'] as const)),
    ...(config?.revision === 'expected' ? (['revision-mismatch'] as const) : []),
    ...(config?.problems ?? []),
    'too-many-requests',
    'unavailable',
  ];
}

function headersOf({ config }: RouteOptions, schema: FastifySchema): readonly object[] {
  const header = (name: string, description: string, example: string) => ({
    in: 'header',
    name,
    required: false,
    description,
    schema: { type: 'string' },
    example,
  });
  const { response, querystring } = schema as { response?: object; querystring?: { properties?: object } };
  return [
    ...(response !== undefined && '202' in response
      ? [header('Idempotency-Key', 'The same key, the same answer, and nothing done twice.', '5f0c9f0e-ada')]
      : []),
    ...(querystring?.properties !== undefined && 'minPosition' in querystring.properties
      ? [header('Min-Position', 'Wait (at most 5 s) until this position shows.', '0000000000004711')]
      : []),
    ...(config?.revision === 'expected'
      ? [
          header(
            'If-Match',
            'The `ETag` it was read with; 412 when it has changed since.',
            '"12-mXgMz0Pq7vJc1bD4eR9sTw"',
          ),
        ]
      : []),
    ...(config?.revision === 'told'
      ? [
          header(
            'If-None-Match',
            'The `ETag` of what you have; 304 when it is the same.',
            '"12-mXgMz0Pq7vJc1bD4eR9sTw"',
          ),
        ]
      : []),
  ];
}

/** Headers of a good answer that say more than that it is good. */
function answerHeaders({ config, schema }: RouteOptions): object {
  const header = (description: string) => ({ description, schema: { type: 'string' } });
  const { response, querystring } = schema as { response?: object; querystring?: { properties?: object } };
  return {
    'X-Correlation-Id': header('What this request is called in the logs and in the events it caused'),
    ...(response !== undefined && '202' in response ? { Location: header('What to read') } : {}),
    ...(config?.revision === 'told'
      ? { ETag: header('`"<revision>-<hash>"`, for `If-Match` and `If-None-Match`') }
      : {}),
    ...(querystring?.properties !== undefined && 'limit' in querystring.properties
      ? { Link: header('The next page, as `rel="next"`; none on the last') }
      : {}),
  };
}

const statuses = (): readonly number[] => [...new Set(Object.values(problemKinds).map(({ status }) => status))];

function problemResponse(status: number): object {
  const kinds = Object.entries(problemKinds).filter(([, kind]) => kind.status === status);
  const examples = kinds.map(([code, { title }]) => {
    const value = { type: `urn:parley:problem:${code}`, title, status, detail: '…', instance: '/api/v1/…', code };
    return [code, { value }];
  });
  const codes = kinds.map(([code, { title }]) => `\`${code}\` (${title.toLowerCase()})`);
  const retry = {
    'Retry-After': { description: 'Seconds until it is worth trying again', schema: { type: 'integer' } },
  };
  return {
    description: codes.join(', '),
    ...(status === 429 || status === 503 ? { headers: retry } : {}),
    content: {
      'application/problem+json': {
        schema: { $ref: '#/components/schemas/Problem' },
        examples: Object.fromEntries(examples),
      },
    },
  };
}
