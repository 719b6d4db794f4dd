import { hash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Refusal } from '../../kernel/errors.ts';

const TAG = /^"(\d{1,19})-[A-Za-z0-9_-]{1,64}"$/;

/**
 * Sends a resource with its `ETag`, `"<revision>-<hash>"`, or 304 when the caller has this version (`If-None-Match`). The revision is the
 * aggregate's, for `If-Match`; the hash is that of the representation, which differs between readers.
 */
export function sendEntity(
  request: FastifyRequest,
  reply: FastifyReply,
  revision: number,
  entity: object,
): FastifyReply {
  // Serialized once, by the response schema of the route, for both the hash and the body.
  const text = String(reply.code(200).serialize(entity));
  const tag = `"${revision}-${hash('sha256', text, 'base64url').slice(0, 22)}"`;
  reply.header('etag', tag);
  if (matches(request.headers['if-none-match'], tag)) return reply.code(304).send();
  return reply.type('application/json; charset=utf-8').send(text);
}

/** Whether an `If-None-Match` header names the tag, by weak comparison (RFC 9110, section 13.1.2). */
function matches(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const tags = header.split(',').map((one) => one.trim().replace(/^W\//, ''));
  return tags.includes('*') || tags.includes(tag);
}

/** The revision that `If-Match` requires; `undefined` when any will do. Throws `malformed` for a tag that this server did not make. */
export function expectedRevision(request: FastifyRequest): bigint | undefined {
  const header = request.headers['if-match'];
  if (header === undefined || header.trim() === '*') return undefined;
  const revision = TAG.exec(header.trim())?.[1];
  if (revision !== undefined) return BigInt(revision);
  const errors = [{ path: 'If-Match', message: 'must be a single ETag from this server' }];
  throw new Refusal('malformed', 'invalid If-Match', { errors });
}
