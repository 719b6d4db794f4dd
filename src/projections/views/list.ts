/** One page of a list; `next` is the `after` of the following page, `null` on the last one. */
export type List<Item> = Readonly<{ items: readonly Item[]; next: string | null }>;

/** `limit`: items at most. `after`: the `next` of the previous page of the same list; any other text is `INVALID`. */
export type PageRequest = Readonly<{ limit: number; after?: string | undefined }>;

/** `after` as an option of a query: absent, or a string. */
export const afterOption = (after: string | null | undefined): { after?: string } =>
  after === null || after === undefined ? {} : { after };
