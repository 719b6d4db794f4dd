import { Type } from 'typebox';
import { type EventsOf, event, Uuid } from '../event-spec.ts';

/** What belongs to the event log and is stored apart from it; one event, in the stream `installation-parley`. */
export const installationEvents = {
  /** `secretCheck`: an HMAC by which the server secret is recognized. `keyStoreId`: the id that the key store holds too. */
  InstallationCreated: event({ secretCheck: Type.String({ maxLength: 64 }), keyStoreId: Uuid }),
};

export type InstallationEvent = EventsOf<typeof installationEvents>;
