import type { ReservationCommand } from '../../commands/reservation.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import { Refusal } from '../../kernel/errors.ts';
import { plainState } from '../plain-state.ts';
import { unknownCommand } from '../unknown-command.ts';
import type { ReservationEvent } from './events.ts';

/** Who holds a name. One that is `reserved` is anybody's from `until` on. */
export type ReservationState =
  | Readonly<{ status: 'free' }>
  | Readonly<{ status: 'reserved'; holder: string; until: string }>
  | Readonly<{ status: 'confirmed'; holder: string }>;

type Asked<Type extends ReservationCommand['type']> = Extract<ReservationCommand, { type: Type }>;

const initialState: ReservationState = { status: 'free' };

/**
 * Holds the name until then. The holder may extend, never shorten; somebody else takes over only what ran out unconfirmed.
 * Refused with `already-exists`.
 */
export function reserveName({ data, metadata }: Asked<'ReserveName'>, state: ReservationState): ReservationEvent[] {
  const { kind, holder, until } = data;
  const reserved: ReservationEvent = { type: 'NameReserved', data: { kind, holder, until } };
  if (state.status === 'free') return [reserved];
  if (state.holder === holder) return state.status === 'reserved' && state.until < until ? [reserved] : [];
  if (state.status === 'confirmed' || metadata.at < state.until) throw taken();
  return [{ type: 'NameReleased', data: { kind, holder: state.holder } }, reserved];
}

/**
 * Holds the name for good, also when the reservation ran out or was released, as long as nobody else took it.
 * Refused with `already-exists`.
 */
export function confirmName({ data }: Asked<'ConfirmName'>, state: ReservationState): ReservationEvent[] {
  const { kind, holder } = data;
  if (state.status !== 'free' && state.holder !== holder) throw taken();
  return state.status === 'confirmed' ? [] : [{ type: 'NameConfirmed', data: { kind, holder } }];
}

/** Gives the name up. `[]` from anybody but its holder. */
export function releaseName({ data }: Asked<'ReleaseName'>, state: ReservationState): ReservationEvent[] {
  const { kind, holder } = data;
  return state.status !== 'free' && state.holder === holder ? [{ type: 'NameReleased', data: { kind, holder } }] : [];
}

function taken(): Refusal {
  return new Refusal('already-exists', 'another holds this name');
}

function evolve(state: ReservationState, event: ReservationEvent): ReservationState {
  switch (event.type) {
    case 'NameReserved':
      return { status: 'reserved', holder: event.data.holder, until: event.data.until };
    case 'NameConfirmed':
      return { status: 'confirmed', holder: event.data.holder };
    case 'NameReleased':
      return initialState;
    default:
      event satisfies never;
      return state;
  }
}

function reservation(
  category: ReservationCommand['data']['kind'],
): Aggregate<ReservationState, ReservationCommand, ReservationEvent> {
  return {
    category,
    snapshotVersion: 1,
    initialState,
    decide(command, state) {
      switch (command.type) {
        case 'ReserveName':
          return reserveName(command, state);
        case 'ConfirmName':
          return confirmName(command, state);
        case 'ReleaseName':
          return releaseName(command, state);
        default:
          return unknownCommand(command);
      }
    },
    evolve,
    ...plainState<ReservationState>(),
    weight: () => 1,
  };
}

/** A username, which one user has at a time; the id is the keyed hash of the folded name. */
export const username = reservation('username');

/** A mail address, which one account has at a time; the id is the keyed hash of the folded address. */
export const address = reservation('address');
