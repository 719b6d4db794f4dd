import type { FastifyReply, FastifyRequest } from 'fastify';
import { type TSchema, Type } from 'typebox';
import { isStoreError, Refusal } from '../../kernel/errors.ts';

export const PAGE_MAX = 100;

/** The number of items on a page. */
export const limitOf = (fallback: number) =>
  Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: PAGE_MAX,
      default: fallback,
      description: `Maximum number of items; ${fallback} by default`,
    }),
  );

/** The end of the previous page, as its `next` reported it. */
export const Cursor = Type.Optional(
  Type.String({ minLength: 1, maxLength: 512, description: 'The `next` of the previous page' }),
);

/** A page of a list. */
export type Listed<Item> = Readonly<{ items: readonly Item[]; next: string | null }>;

export const ListOf = <Item extends TSchema>(item: Item, description: string) =>
  Type.Object(
    { items: Type.Array(item), next: Type.Unsafe<string | null>({ type: ['string', 'null'] }) },
    { description },
  );

/** Sends a page, with a link to the next one (RFC 8288). `parameter`: the query parameter that takes the cursor. */
export function sendPage(
  request: FastifyRequest,
  reply: FastifyReply,
  parameter: 'before' | 'after' | 'from',
  page: Listed<unknown>,
): FastifyReply {
  if (page.next !== null) {
    const [path = '', query] = request.url.split('?', 2);
    const parameters = new URLSearchParams(query);
    parameters.set(parameter, page.next);
    reply.header('link', `<${path}?${parameters}>; rel="next"`);
  }
  return reply.send(page);
}

/** Reads a page. A cursor that does not belong to the list is `malformed`. */
export async function readPage<Page>(
  parameter: string,
  cursor: string | undefined,
  read: () => Promise<Page>,
): Promise<Page> {
  try {
    return await read();
  } catch (error) {
    if (cursor === undefined || !isStoreError(error, 'INVALID')) throw error;
    const errors = [{ path: parameter, message: 'must be the next of a page of this list' }];
    throw new Refusal('malformed', 'invalid cursor', { errors, cause: error });
  }
}
