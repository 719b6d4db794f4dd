import type { Write } from '../../ports/documents.ts';
import type { Content, DocumentTable } from './documents-table.ts';
import type { Statements } from './statements.ts';

/** How long tombstones are effective. */
const TOMBSTONE_MS = 24 * 60 * 60 * 1_000;

/** Maximum number of tombstones that one transaction purges, and the pause after a purge that found fewer. */
const PURGE_AT_ONCE = 500;
const PURGE_EVERY_MS = 60_000;

/** A write with a valid body. `content` is `null` for a deletion. */
export type Prepared = Readonly<{ write: WrittenFor; table: DocumentTable; content: Content | null }>;

type WrittenFor = Pick<Write, 'id' | 'position' | 'guard'>;

/** Performs guarded writes. All methods must be called within a transaction. */
export class DocumentWriter {
  readonly #statements: Statements;
  #purgeAt = Number.NEGATIVE_INFINITY;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  /**
   * Performs a write if its guard holds, and returns whether it did.
   * @param now ms since the epoch
   */
  write({ write, table, content }: Prepared, now: number): boolean {
    const { id, guard, position } = write;
    // A new document is inserted without reading first; a conflict means that it exists.
    if (guard === null && content !== null) return !this.#isDeleted(write, table, now) && table.insert(id, content);
    const row = table.row(id);
    if (row === undefined) {
      const mayBeNew = guard === null || guard === 'older';
      if (!mayBeNew || this.#isDeleted(write, table, now)) return false;
    } else if (guard === 'older' ? row.position >= position : row.position !== guard) {
      return false;
    }
    if (content === null) {
      if (row !== undefined) table.delete(id, row);
      this.#writeTombstone(write, table, now);
    } else if (row === undefined) {
      table.insert(id, content);
    } else {
      table.update(id, row, content);
    }
    return true;
  }

  /** Removes some of the expired tombstones, if the last purge is long enough ago. */
  purge(now: number): void {
    if (now < this.#purgeAt) return;
    const sql = `DELETE FROM tombstones WHERE (collection, id) IN (SELECT collection, id FROM tombstones WHERE at <= ? ORDER BY at LIMIT ${PURGE_AT_ONCE}) RETURNING 1`;
    const removed = this.#statements.all(sql, [now - TOMBSTONE_MS]).length;
    if (removed < PURGE_AT_ONCE) this.#purgeAt = now + PURGE_EVERY_MS;
  }

  /** Whether the document was deleted at or after the position of the write. */
  #isDeleted({ id, position }: WrittenFor, table: DocumentTable, now: number): boolean {
    const sql = 'SELECT position FROM tombstones WHERE collection = ? AND id = ? AND at > ?';
    const tombstone = this.#statements.get<[string]>(sql, [table.layout.collection, id, now - TOMBSTONE_MS]);
    return tombstone !== undefined && tombstone[0] >= position;
  }

  #writeTombstone({ id, position }: WrittenFor, table: DocumentTable, now: number): void {
    const sql = 'INSERT OR REPLACE INTO tombstones (collection, id, position, at) VALUES (?, ?, ?, ?)';
    this.#statements.run(sql, [table.layout.collection, id, position, now]);
  }
}
