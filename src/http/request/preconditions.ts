import { hash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Refusal } from '../../kernel/errors.ts';

/** A tag of this server, without its quotes. */
const OWN_TAG = /^(\d{1,19})-[A-Za-z0-9_-]{1,64}$/;
/** The next element of a list of tags (RFC 9110, section 8.8.3); tags may contain commas. */
const ELEMENT = /[\t ]*(?:(W\/)?"([^"]*)"[\t ]*)?(?:,|$)/y;

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
  return header.trim() === '*' || tagsIn(header).some(({ value }) => `"${value}"` === tag);
}

/**
 * The revisions that `If-Match` accepts; `undefined` when any will do. Throws `revision-mismatch` when no tag can match: weak tags never do, by the
 * strong comparison (section 13.1.1), nor do those of other servers.
 */
export function expectedRevisions(request: FastifyRequest): readonly bigint[] | undefined {
  const header = request.headers['if-match'];
  if (header === undefined || header.trim() === '*') return undefined;
  const revisions = tagsIn(header).flatMap(({ isWeak, value }) => {
    const revision = OWN_TAG.exec(value)?.[1];
    return isWeak || revision === undefined ? [] : [BigInt(revision)];
  });
  if (revisions.length > 0) return revisions;
  throw new Refusal('revision-mismatch', 'If-Match names no version that this server could have');
}

/** The tags of a list, up to the first element that is not one. */
function tagsIn(header: string): readonly Readonly<{ isWeak: boolean; value: string }>[] {
  const tags: { isWeak: boolean; value: string }[] = [];
  ELEMENT.lastIndex = 0;
  while (ELEMENT.lastIndex < header.length) {
    const element = ELEMENT.exec(header);
    if (element === null) break;
    const [, weak, value] = element;
    if (value !== undefined) tags.push({ isWeak: weak !== undefined, value });
  }
  return tags;
}
