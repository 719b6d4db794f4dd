import { Type } from 'typebox';
import { type EventsOf, event, ObjectId, Time } from '../event-spec.ts';

const Kind = Type.Enum(['username', 'address']);

/**
 * Who holds a name that must be unique; streams `username-<hash>` and `address-<hash>`, where the hash is an HMAC of the folded name under the
 * server's secret, so that the log does not disclose the name.
 */
export const reservationEvents = {
  /** Held for `holder` until `until`; after that, unless it was confirmed, another may reserve it. */
  NameReserved: event({ kind: Kind, holder: ObjectId, until: Time }),
  /** Held without an end. */
  NameConfirmed: event({ kind: Kind, holder: ObjectId }),
  /** Free again. */
  NameReleased: event({ kind: Kind, holder: ObjectId }),
};

export type ReservationEvent = EventsOf<typeof reservationEvents>;
