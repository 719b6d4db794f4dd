import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Refusal } from '../../kernel/errors.ts';
import { HttpProblem } from './problems.ts';

/** Maximum number of fields in a form. */
const FIELDS_MAX = 1_000;

/** Bodies that were forms: their text is converted before validation. */
const forms = new WeakSet<object>();

/** Whether a parsed body was a form. */
export function isForm(body: object): boolean {
  return forms.has(body);
}

/** Rejects bodies with a `Content-Encoding`, before they are read. */
export function checkEncoding({ headers }: FastifyRequest, reply: FastifyReply): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || !hasBody(headers)) return;
  if (encoding.split(',').every((name) => ['', 'identity'].includes(name.trim().toLowerCase()))) return;
  // RFC 9110, section 15.5.16.
  reply.header('accept-encoding', 'identity');
  throw new HttpProblem('unsupported-media-type', 'the body must not be encoded: Content-Encoding must be identity');
}

function hasBody(headers: FastifyRequest['headers']): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/** Accepts JSON and form bodies only. An empty body counts as none. */
export function addBodyParsers(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (body.length === 0) return done(null, undefined);
    // Invalid UTF-8 would otherwise be replaced silently.
    if (!isUtf8(body)) return done(new Refusal('malformed', 'the body is not valid UTF-8'), undefined);
    return parseJson(request, body.toString(), (error, value) => {
      done(error === null ? null : new Refusal('malformed', 'the body is not valid JSON'), value);
    });
  });
  app.addContentTypeParser<Buffer>(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer' },
    async (_request: unknown, body: Buffer) => (body.length === 0 ? undefined : parseForm(body.toString('latin1'))),
  );
}

/**
 * The fields of a form (URL Standard, section 5.1), but strict: invalid UTF-8 is rejected, not replaced. A repeated name makes a list. The object has
 * no prototype, so that no name has a special meaning.
 */
export function parseForm(text: string): Record<string, unknown> {
  const fields: Record<string, unknown> = Object.create(null);
  const pairs = text.split('&').filter((pair) => pair !== '');
  if (pairs.length > FIELDS_MAX) throw new Refusal('malformed', `the form has more than ${FIELDS_MAX} fields`);
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1));
    const earlier = fields[name];
    if (earlier === undefined) fields[name] = value;
    else if (Array.isArray(earlier)) earlier.push(value);
    else fields[name] = [earlier, value];
  }
  forms.add(fields);
  return fields;
}

function decode(text: string): string {
  // The standard allows unescaped bytes above ASCII; decoded as Latin-1, each of them is one character here.
  const ascii = text.replaceAll('+', ' ').replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16)}`);
  try {
    return decodeURIComponent(ascii);
  } catch {
    throw new Refusal('malformed', 'the form is not percent-encoded UTF-8');
  }
}
