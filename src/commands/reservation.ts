import { Type } from 'typebox';
import { type CommandsOf, closed, UserId } from './fields.ts';

const Kind = Type.Enum(['username', 'address']);

/** What may be asked of a name that must be unique. */
export const reservationCommands = {
  /** Holds it until then; refused with `already-exists` while another holds it. */
  ReserveName: closed({ kind: Kind, holder: UserId, until: Type.String() }),
  /** Keeps it for good; refused with `already-exists` when another holds it. */
  ConfirmName: closed({ kind: Kind, holder: UserId }),
  /** Gives it up, if the holder has it. */
  ReleaseName: closed({ kind: Kind, holder: UserId }),
};

export type ReservationCommand = CommandsOf<typeof reservationCommands>;
