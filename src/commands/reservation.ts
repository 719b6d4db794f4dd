import { Type } from 'typebox';
import { type CommandsOf, closed, UserId } from './fields.ts';

const Kind = Type.Enum(['username', 'address']);

/** Commands of a name that must be unique. */
export const reservationCommands = {
  /** Holds the name until `until`. Refused with `already-exists` while another user holds it. */
  ReserveName: closed({ kind: Kind, holder: UserId, until: Type.String() }),
  /** Holds the name without an end, if it is free or reserved by `holder` or under `reservedAs`. Refused with `already-exists` when another user holds it. */
  ConfirmName: closed({ kind: Kind, holder: UserId, reservedAs: UserId }),
  /** Frees the name if `holder` holds it. */
  ReleaseName: closed({ kind: Kind, holder: UserId }),
};

export type ReservationCommand = CommandsOf<typeof reservationCommands>;
