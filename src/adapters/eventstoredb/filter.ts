import { categoryOf } from '../../kernel/event.ts';
import type { EventFilter, StoredRecord } from '../../ports/event-store.ts';

/** Whether a filter selects a record. The server's filters may let through more. */
export function matches(filter: EventFilter | undefined, record: StoredRecord): boolean {
  if (filter === undefined) return true;
  return 'types' in filter ? filter.types.includes(record.type) : filter.categories.includes(categoryOf(record.stream));
}
