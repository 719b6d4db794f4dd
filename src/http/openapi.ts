import swagger from '@fastify/swagger';
import type { FastifySchema, RouteOptions } from 'fastify';
import { Type } from 'typebox';
import type { App, HttpConfig } from './deps.ts';
import { type ProblemCode, problemKinds } from './request/problems.ts';
import { OPTIONAL_BODY } from './request/validation.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Problems of this route, besides those that follow from its schema. For the documentation. */
    problems?: readonly ProblemCode[];
    /** The conditional header that it honours: `If-Match` on commands, `If-None-Match` on queries, which answer with an `ETag`. */
    precondition?: 'if-match' | 'if-none-match';
  }
}

/** Media types of a body, which may be JSON or a form. */
export const bodyTypes = ['application/json', 'application/x-www-form-urlencoded'];

/** The security requirement of routes for signed-in users. */
export const signedInOnly = [{ bearer: [] }];

const Problem = Type.Object(
  {
    type: Type.String({ description: '`urn:parley:problem:<code>`' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What went wrong, for people to read' }),
    instance: Type.String({ description: 'The path of the request' }),
    code: Type.String({ enum: Object.keys(problemKinds), description: 'Stable; programs should decide by this' }),
    errors: Type.Optional(
      Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), { description: 'The invalid fields' }),
    ),
  },
  { description: 'Problem details (RFC 9457)' },
);

const tags = [
  { name: 'accounts', description: 'Registration and passwords' },
  { name: 'sessions', description: 'Signing in and out, and the keys that verify access tokens' },
  { name: 'users', description: 'Your own profile and other users' },
  { name: 'conversations', description: 'Groups, their members and read marks' },
  { name: 'messages', description: 'Sending and reading messages' },
  { name: 'one-to-one', description: 'The conversation with another user, which the first message creates' },
  { name: 'operation', description: 'Health and metrics of the server' },
] as const;

/** The tag under which the documentation lists a route. */
export type Tag = (typeof tags)[number]['name'];

type Operation = {
  responses: Record<string, Record<string, unknown>>;
  parameters?: unknown[];
  requestBody?: { required?: boolean };
};
type Document = { paths: Record<string, Record<string, Operation>>; components?: Record<string, unknown> };

/** Describes all routes that are added later, as OpenAPI 3.1 derived from their schemas. */
export async function describeRoutes(app: App, config: HttpConfig): Promise<void> {
  const routes = new Map<string, RouteOptions>();
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Parley',
        version: config.version,
        description: [
          'Accounts, mail, conversations and projects.',
          'A command answers 202 once it is durable, with the `position` at which queries show its outcome (`Min-Position`).',
          'Errors are problem details (RFC 9457).',
        ].join(' '),
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      // Relative, so that requests from the documentation stay within its origin.
      servers: [{ url: '/' }],
      tags: [...tags],
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'JWT',
            description:
              '`POST /api/v1/sessions` returns one. Those of the configured outside issuers are accepted too.',
          },
        },
      },
    },
    transform: ({ schema, url, route }) => {
      for (const method of [route.method].flat()) routes.set(`${method.toLowerCase()} ${pathOf(url)}`, route);
      return { schema, url };
    },
    transformObject: (documents) => {
      // The library's type is the union of two standards; this one was configured.
      const document = ('openapiObject' in documents ? documents.openapiObject : {}) as unknown as Document;
      complete(document, routes);
      return document;
    },
  });
}

const pathOf = (url: string): string => url.replace(/:([A-Za-z]+)/g, '{$1}');

/** Adds what holds for many routes: headers and problems that follow from their schemas and configuration. */
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
      if (route.config?.precondition === 'if-none-match') operation.responses['304'] = { description: 'Not modified' };
      const success = operation.responses['202'] ?? operation.responses['200'];
      if (success !== undefined) success.headers = responseHeaders(route);
      if (operation.requestBody !== undefined && OPTIONAL_BODY in Object(route.schema.body))
        operation.requestBody.required = false;
    }
  }
}

function codesOf({ config }: RouteOptions, schema: FastifySchema): readonly ProblemCode[] {
  // Never limited, and independent of the stores.
  if (schema.tags?.includes('operation')) return config?.problems ?? [];
  return [
    ...(schema.body === undefined
      ? []
      : (['malformed', 'too-large', 'unsupported-media-type', 'out-of-range'] as const)),
    ...(schema.querystring === undefined ? [] : (['malformed', 'out-of-range'] as const)),
    ...(schema.params === undefined ? [] : (['not-found'] as const)),
    ...(schema.security === undefined ? [] : (['unauthenticated'] as const)),
    ...(config?.precondition === 'if-match' ? (['revision-mismatch'] as const) : []),
    ...(config?.problems ?? []),
    'too-many-requests',
    'unavailable',
  ];
}

const ETAG = '"12-mXgMz0Pq7vJc1bD4eR9sTw"';

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
      ? [
          header(
            'Idempotency-Key',
            'A repeated request with the same key gets the same answer and changes nothing again, for 48 hours. Refused requests do not use up a key.',
            '5f0c9f0e-ada',
          ),
        ]
      : []),
    ...(querystring?.properties !== undefined && 'minPosition' in querystring.properties
      ? [
          header(
            'Min-Position',
            'Wait (at most 5 s) until the read model has reached this position.',
            '0000000000004711',
          ),
        ]
      : []),
    ...(config?.precondition === 'if-match'
      ? [
          header(
            'If-Match',
            'The `ETag` of the version you read, or a list of them; 412 if the resource has changed.',
            ETAG,
          ),
        ]
      : []),
    ...(config?.precondition === 'if-none-match'
      ? [header('If-None-Match', 'The `ETag` of the version you have, or a list of them; 304 if one is current.', ETAG)]
      : []),
  ];
}

/** Headers of a successful response. */
function responseHeaders({ config, schema }: RouteOptions): object {
  const header = (description: string) => ({ description, schema: { type: 'string' } });
  const { response, querystring } = schema as { response?: object; querystring?: { properties?: object } };
  return {
    'X-Correlation-Id': header('Id of this request in the logs and in the metadata of its events'),
    ...(response !== undefined && '202' in response ? { Location: header('The resource that shows the outcome') } : {}),
    ...(config?.precondition === 'if-none-match'
      ? { ETag: header('`"<revision>-<hash>"`, for `If-Match` and `If-None-Match`') }
      : {}),
    ...(querystring?.properties !== undefined && 'limit' in querystring.properties
      ? { Link: header('The next page, as `rel="next"`; missing on the last') }
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
    'Retry-After': { description: 'Seconds after which to try again', schema: { type: 'integer' } },
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
