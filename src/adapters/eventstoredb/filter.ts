import { categoryOf, type RecordedEvent } from '../../kernel/event.ts';
import type { EventFilter } from '../../ports/event-store.ts';

/** Whether a filter lets an event through. The server's filters are only a first sieve. */
export function fits(filter: EventFilter | undefined, event: RecordedEvent): boolean {
  if (filter === undefined) return true;
  return 'types' in filter ? filter.types.includes(event.type) : filter.categories.includes(categoryOf(event.stream));
}
