import { isUtf8 } from 'node:buffer';
import type { FastifyInstance } from 'fastify';
import { Refusal } from '../../kernel/errors.ts';

/** Fields of a form at most. */
const FIELDS_MAX = 1_000;

/** Bodies that came as a form: their text is converted before it is validated. */
const forms = new WeakSet<object>();

/** Whether a parsed body came as a form. */
export function isForm(body: object): boolean {
  return forms.has(body);
}

/** Takes JSON and form bodies, and nothing else. An empty body is no body. */
export function addBodyParsers(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (body.length === 0) return done(null, undefined);
    // Bytes that are no UTF-8 would silently become other text.
    if (!isUtf8(body)) return done(new Refusal('malformed', 'the body is not UTF-8'), undefined);
    return parseJson(request, body.toString(), (error, value) => {
      done(error === null ? null : new Refusal('malformed', 'the body is not JSON'), value);
    });
  });
  app.addContentTypeParser<Buffer>(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer' },
    async (_request: unknown, body: Buffer) => (body.length === 0 ? undefined : parseForm(body.toString('latin1'))),
  );
}

/**
 * The fields of a form (URL Standard, section 5.1), but strict: bytes that are no UTF-8 are refused, not replaced. A name that occurs again makes
 * a list. The object has no prototype, so that no name means anything but itself.
 */
export function parseForm(text: string): Record<string, unknown> {
  const fields: Record<string, unknown> = Object.create(null);
  const pairs = text.split('&').filter((pair) => pair !== '');
  if (pairs.length > FIELDS_MAX) throw new Refusal('malformed', `the form has more than ${FIELDS_MAX} fields`);
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1));
    const before = fields[name];
    if (before === undefined) fields[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else fields[name] = [before, value];
  }
  forms.add(fields);
  return fields;
}

function decode(text: string): string {
  // As the standard has it, bytes above ASCII may stand unescaped; here they are one character each.
  const ascii = text.replaceAll('+', ' ').replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16)}`);
  try {
    return decodeURIComponent(ascii);
  } catch {
    throw new Refusal('malformed', 'the form is not UTF-8 in percent-encoding');
  }
}
