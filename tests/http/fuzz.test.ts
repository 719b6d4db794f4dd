import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Asking, group, type Person, type Server, signUp, startServer } from '../support/http.ts';

let server: Server;
let ada: Person;
let bob: Person;
let team: string;

beforeAll(async () => {
  server = await startServer();
  [ada, bob] = await Promise.all([signUp(server, 'ada'), signUp(server, 'bob')]);
  team = await group(server, ada, bob);
});
afterAll(() => server.close());

const id = fc.oneof(
  fc.constantFrom('me', 'current', '0123456789abcdef01234567', '%00', '..', '%2e%2e', 'ADA'),
  fc.string({ maxLength: 30 }).map(encodeURIComponent),
);

/** Known field names with values that are sometimes of the right type. */
const body = fc.oneof(
  fc.record(
    {
      content: fc.oneof(fc.string({ unit: 'binary' }), fc.anything()),
      message_content: fc.oneof(fc.string({ unit: 'grapheme' }), fc.anything()),
      messageId: fc.oneof(fc.uuid(), fc.string()),
      replyTo: fc.oneof(fc.uuid(), fc.constant(null)),
      mentions: fc.oneof(fc.array(fc.string()), fc.string()),
      name: fc.oneof(fc.string(), fc.integer()),
      participants: fc.array(fc.oneof(fc.constant('0123456789abcdef01234567'), fc.string())),
      participant_id: fc.string(),
      seq: fc.oneof(fc.integer(), fc.double(), fc.string()),
      refreshToken: fc.string(),
      token: fc.string(),
      extra: fc.jsonValue(),
    },
    { requiredKeys: [] },
  ),
  fc.jsonValue(),
  fc.string(),
);

const request = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH'),
  path: fc.constantFrom(
    '/api/v1/conversations/TEAM/messages',
    '/api/v1/conversations/TEAM/read',
    '/api/v1/conversations/TEAM',
    '/api/v1/conversations/TEAM/messages/ID',
    '/api/v1/conversations/ID/members/ID',
    '/conversations/TEAM',
    '/conversations/TEAM/members',
    '/conversations/',
    '/conversations/ID/leave',
    '/api/v1/conversations',
    '/api/v1/chat/convo/one-to-one/message',
    '/api/v1/users',
    '/api/v1/users/ID',
    '/api/v1/sessions/refresh',
    '/api/v1/password-tokens/ID',
    '/api/v1/passwords',
    '/set-password',
    '/ID/ID',
  ),
  ids: fc.array(id, { minLength: 2, maxLength: 2 }),
  query: fc.dictionary(
    fc.constantFrom('limit', 'before', 'after', 'from', 'otherUserId', 'search', 'token', 'x'),
    fc.oneof(fc.string(), fc.integer().map(String)),
  ),
  type: fc.constantFrom('application/json', 'application/x-www-form-urlencoded', 'text/plain', ''),
  body,
  key: fc.option(fc.string({ maxLength: 140 }), { nil: undefined }),
});

describe('random requests', () => {
  it('are answered, with a problem where they are rejected, and never with a server error', async () => {
    await fc.assert(
      fc.asyncProperty(request, async ({ method, path, ids, query, type, body, key }) => {
        let i = 0;
        const url = path.replaceAll('TEAM', team).replaceAll('ID', () => ids[i++] ?? '');
        const payload = typeof body === 'string' ? body : (JSON.stringify(body) ?? '');
        // Clients cannot send headers with other characters.
        const isHeader = key !== undefined && /^[\t\x20-\x7e]*$/.test(key);
        const asking: Asking = {
          method: method as 'POST',
          url,
          query,
          headers: {
            ...(type === '' ? {} : { 'content-type': type }),
            ...(isHeader ? { 'idempotency-key': key } : {}),
          },
          ...(method === 'GET' ? {} : { payload }),
        };
        const answer = await server.ask(ada, asking);
        expect(answer.status).toBeLessThan(500);
        if (answer.status >= 400 && !answer.headers['content-type']?.startsWith('text/html')) {
          expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
          expect(answer.json).toMatchObject({
            status: answer.status,
            code: expect.any(String),
            detail: expect.any(String),
          });
        }
      }),
      { numRuns: 400 },
    );
  });
});
