import { Compile } from 'typebox/compile';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { problemKinds } from '../../src/http/request/problems.ts';
import { type Server, startServer } from '../support/http.ts';

type Media = { schema: object; example?: unknown; examples?: Record<string, unknown> };
type Operation = {
  summary?: string;
  tags?: string[];
  security?: object[];
  parameters?: { in: string; name: string; required?: boolean; schema: object }[];
  requestBody?: { required?: boolean; content: Record<string, Media> };
  responses: Record<string, { description?: string; content?: Record<string, Media>; headers?: object; $ref?: string }>;
};

let server: Server;
let document: {
  openapi: string;
  info: object;
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object>; responses: Record<string, object>; securitySchemes: object };
};
let operations: { name: string; method: string; path: string; operation: Operation }[];

beforeAll(async () => {
  server = await startServer();
  document = (await server.ask(null, { method: 'GET', url: '/openapi.json' })).json;
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, method, path, operation })),
  );
});
afterAll(() => server.close());

/** Every `$ref` within a value. */
function refsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = '$ref' in value && typeof value.$ref === 'string' ? [value.$ref] : [];
  return [...own, ...Object.values(value).flatMap(refsIn)];
}

describe('/openapi.json', () => {
  it('is OpenAPI 3.1, and every reference in it resolves', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(document.info).toMatchObject({ title: 'Parley', version: '0.0.0' });
    const refs = new Set(refsIn(document));
    expect(refs.size).toBeGreaterThan(10);
    for (const ref of refs) {
      const target = ref
        .slice(2)
        .split('/')
        .reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], document);
      expect(target, ref).toBeDefined();
    }
  });

  it('describes the routes of the specification', () => {
    expect(operations.map(({ name }) => name).sort()).toEqual([
      'delete /api/v1/conversations/{id}',
      'delete /api/v1/conversations/{id}/delete',
      'delete /api/v1/conversations/{id}/members/{userId}',
      'delete /api/v1/sessions/current',
      'delete /api/v1/users/me',
      'delete /conversations/{id}',
      'delete /conversations/{id}/delete',
      'delete /conversations/{id}/members/{userId}',
      'get /.well-known/jwks.json',
      'get /.well-known/openid-configuration',
      'get /api/v1/chat/convo/one-to-one/message',
      'get /api/v1/conversations',
      'get /api/v1/conversations/one-to-one/message',
      'get /api/v1/conversations/{id}',
      'get /api/v1/conversations/{id}/members',
      'get /api/v1/conversations/{id}/messages',
      'get /api/v1/conversations/{id}/messages/{messageId}',
      'get /api/v1/password-tokens/{token}',
      'get /api/v1/users',
      'get /api/v1/users/me',
      'get /api/v1/users/me/export',
      'get /api/v1/users/{id}',
      'get /healthz',
      'get /metrics',
      'get /readyz',
      'post /api/v1/chat/convo/one-to-one',
      'post /api/v1/chat/convo/one-to-one/message',
      'post /api/v1/conversations',
      'post /api/v1/conversations/one-to-one',
      'post /api/v1/conversations/one-to-one/message',
      'post /api/v1/conversations/{id}',
      'post /api/v1/conversations/{id}/leave',
      'post /api/v1/conversations/{id}/members',
      'post /api/v1/conversations/{id}/messages',
      'post /api/v1/passwords',
      'post /api/v1/sessions',
      'post /api/v1/sessions/refresh',
      'post /api/v1/users',
      'post /conversations/',
      'post /conversations/{id}',
      'post /conversations/{id}/leave',
      'post /conversations/{id}/members',
      'put /api/v1/conversations/{id}/read',
    ]);
  });

  it('gives each operation a summary and a tag that is described', () => {
    const tags = document.tags.map(({ name }) => name);
    for (const { name, operation } of operations) {
      expect(operation.summary, name).toMatch(/^[A-Z].{2,}/);
      expect(tags, name).toContain(operation.tags?.[0]);
      expect(operation.tags, name).toHaveLength(1);
    }
  });

  it('lists every parameter of a path, and only those', () => {
    for (const { name, path, operation } of operations) {
      const named = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      expect(named.map((parameter) => parameter.name).sort(), name).toEqual(inPath.sort());
      expect(
        named.every(({ required }) => required),
        name,
      ).toBe(true);
    }
  });

  it('lists one successful response with a description, and problems as references', () => {
    for (const { name, operation } of operations) {
      const good = Object.entries(operation.responses).filter(([status]) => /^2/.test(status));
      expect(good.length, name).toBe(1);
      expect(good[0]?.[1].description, name).not.toBe('Default Response');
      const bad = Object.entries(operation.responses).filter(([status]) => /^[45]/.test(status));
      if (operation.tags?.[0] === 'operation') continue;
      expect(bad.length, name).toBeGreaterThan(0);
      for (const [status, { $ref }] of bad) {
        expect($ref, `${name} ${status}`).toBe(`#/components/responses/Problem${status}`);
      }
    }
  });

  it('requires a token wherever the server does', async () => {
    for (const { name, method, path, operation } of operations) {
      const url = path.replace(/\{\w+\}/g, '0123456789abcdef01234567');
      const answer = await server.ask(null, { method: method.toUpperCase() as 'GET', url });
      expect(operation.security !== undefined, name).toBe(answer.status === 401);
      expect('401' in operation.responses, name).toBe(answer.status === 401 || path.startsWith('/api/v1/sessions'));
    }
  });

  it('accepts every body as JSON and as a form, with a valid example', () => {
    const bodies = operations.filter(({ operation }) => operation.requestBody !== undefined);
    expect(bodies.length).toBeGreaterThan(10);
    for (const { name, operation } of bodies) {
      const { content = {} } = operation.requestBody ?? {};
      expect(Object.keys(content), name).toEqual(['application/json', 'application/x-www-form-urlencoded']);
      for (const { schema, example } of Object.values(content)) {
        expect(example, name).toBeDefined();
        expect(Compile(schema).Errors(example), name).toEqual([]);
        expect(schema, name).toMatchObject({ type: 'object', additionalProperties: false });
      }
    }
  });

  it('documents the request headers of commands and queries', () => {
    for (const { name, operation } of operations) {
      const headers = (operation.parameters ?? []).filter((parameter) => parameter.in === 'header');
      const names = headers.map((parameter) => parameter.name);
      expect(names.includes('Idempotency-Key'), name).toBe('202' in operation.responses);
      const query = (operation.parameters ?? []).some((parameter) => parameter.name === 'minPosition');
      expect(names.includes('Min-Position'), name).toBe(query);
      expect(names.includes('If-Match'), name).toBe('412' in operation.responses);
      expect(names.includes('If-None-Match'), name).toBe('304' in operation.responses);
    }
  });

  it('returns a position from every operation that writes for somebody who is signed in, and from no other', () => {
    const anonymous = ['post /api/v1/users', 'post /api/v1/passwords'];
    const queries = ['post /api/v1/chat/convo/one-to-one', 'post /api/v1/conversations/one-to-one'];
    const writing = operations.filter(({ name, method }) => method !== 'get' && !queries.includes(name));
    expect(writing.length).toBeGreaterThan(20);
    for (const { name, operation } of writing) {
      const { content = {} } = operation.responses['202'] ?? operation.responses['200'] ?? {};
      if (anonymous.includes(name)) {
        expect(content['application/json']?.schema, name).toMatchObject({ required: ['_id'] });
        expect(JSON.stringify(content['application/json']?.schema), name).not.toContain('position');
        continue;
      }
      expect(content['application/json']?.schema, name).toMatchObject({
        properties: { position: { type: 'string' } },
        required: expect.arrayContaining(['position']),
      });
    }
  });

  it('documents the response headers, and which body is optional', () => {
    const good = (name: string) => {
      const operation = operations.find((candidate) => candidate.name === name)?.operation;
      return Object.keys((operation?.responses['202'] ?? operation?.responses['200'])?.headers ?? {});
    };
    expect(good('post /conversations/')).toEqual(['X-Correlation-Id', 'Location']);
    expect(good('get /api/v1/conversations')).toEqual(['X-Correlation-Id', 'Link']);
    expect(good('get /api/v1/conversations/{id}')).toEqual(['X-Correlation-Id', 'ETag']);
    const optional = operations.filter(({ operation }) => operation.requestBody?.required === false);
    expect(optional.map(({ name }) => name)).toEqual([
      'delete /api/v1/users/me',
      'put /api/v1/conversations/{id}/read',
    ]);
  });

  it('lists each code of a problem', () => {
    const text = JSON.stringify(document.components.responses);
    for (const [code, { status, title }] of Object.entries(problemKinds)) {
      expect(Object.keys(document.components.responses)).toContain(`Problem${status}`);
      expect(text).toContain(`urn:parley:problem:${code}`);
      expect(text).toContain(title);
    }
  });
});

describe('/docs', () => {
  it('is a page of files from this server, with a policy that allows no others', async () => {
    const page = await server.ask(null, { method: 'GET', url: '/docs' });
    expect(page.status).toBe(200);
    const policy = page.headers['content-security-policy'] ?? '';
    expect(policy).toContain("default-src 'none';");
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toContain('unsafe');
    const files = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(files.length).toBeGreaterThan(4);
    for (const file of files) {
      const url = new URL(file, 'http://localhost/docs').pathname;
      expect((await server.ask(null, { method: 'GET', url })).status, url).toBe(200);
    }
    expect(page.text).not.toMatch(/<script>|<style>|style=/);
  });
});
