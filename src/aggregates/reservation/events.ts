import { Type } from 'typebox';
import { closed, type EventsOf, ObjectId, Time } from '../schema.ts';

const Kind = Type.Enum(['username', 'address']);

/**
 * Who holds a name that must be unique; streams `username-<hash>` and `address-<hash>`, where the hash is an HMAC of the folded name
 * under the server's secret, so that the log does not tell the name.
 */
export const reservationEvents = {
  /** Held for `holder` until `until`; whoever asks after that gets it, unless it was confirmed. */
  NameReserved: closed({ kind: Kind, holder: ObjectId, until: Time }),
  /** Held for good. */
  NameConfirmed: closed({ kind: Kind, holder: ObjectId }),
  /** Free again. */
  NameReleased: closed({ kind: Kind, holder: ObjectId }),
};

export type ReservationEvent = EventsOf<typeof reservationEvents>;
