import type { Event } from '../../kernel/event.ts';
import { accountHandlers } from './accounts.ts';
import { conversationHandlers } from './conversations.ts';
import type { LiveHandler } from './notice.ts';

/** Every event that push handles, by its type. A handler is called with events of its own type only. */
export const liveHandlers: ReadonlyMap<string, LiveHandler<Event>> = new Map(
  Object.entries({ ...conversationHandlers, ...accountHandlers }) as [string, LiveHandler<Event>][],
);

/** The types of events to subscribe to. */
export const liveTypes: readonly string[] = [...liveHandlers.keys()];
