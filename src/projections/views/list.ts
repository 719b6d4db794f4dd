/** One part of a list; `next` is the `after` of the following one, `null` at the end. */
export type List<Item> = Readonly<{ items: readonly Item[]; next: string | null }>;

/** `limit`: items at most. `after`: the `next` of the part before, of the same list; one that was not made so is `INVALID`. */
export type Part = Readonly<{ limit: number; after?: string | undefined }>;

/** `after` as a query wants it: absent or a string. */
export const behind = (after: string | null | undefined): { after?: string } =>
  after === null || after === undefined ? {} : { after };
