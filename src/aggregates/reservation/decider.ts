import type { ReservationCommand } from '../../commands/reservation.ts';
import type { CommandOf } from '../../kernel/command.ts';
import type { Aggregate } from '../../kernel/decider.ts';
import { Refusal } from '../../kernel/errors.ts';
import { plainState } from '../plain-state.ts';
import { unknownCommand } from '../unknown-command.ts';
import { type ReservationEvent, reservationEvents } from './events.ts';

/** Who holds a name. A `reserved` name can be taken over from `until` on. */
export type ReservationState =
  | Readonly<{ status: 'free' }>
  | Readonly<{ status: 'reserved'; holder: string; until: string }>
  | Readonly<{ status: 'confirmed'; holder: string }>;

const initialState: ReservationState = { status: 'free' };

/**
 * Reserves the name until `until`. Its holder can extend a reservation but not shorten it; another user can take it over once it has expired
 * unconfirmed. Refused with `already-exists`.
 */
export function reserveName(
  { data, metadata }: CommandOf<ReservationCommand, 'ReserveName'>,
  state: ReservationState,
): ReservationEvent[] {
  const { kind, holder, until } = data;
  const reserved: ReservationEvent = { type: 'NameReserved', data: { kind, holder, until } };
  if (state.status === 'free') return [reserved];
  if (state.holder === holder) return state.status === 'reserved' && state.until < until ? [reserved] : [];
  if (state.status === 'confirmed' || metadata.at < state.until) throw nameTaken();
  // One event, as for a free name: the number of events must not show that the name was reserved before.
  return [reserved];
}

/**
 * Makes the reservation permanent, under the id of its user, also after it expired or was released, unless another user holds the name by then.
 * Refused with `already-exists`.
 */
export function confirmName(
  { data }: CommandOf<ReservationCommand, 'ConfirmName'>,
  state: ReservationState,
): ReservationEvent[] {
  const { kind, holder, reservedAs } = data;
  const isOwn = state.status === 'free' || state.holder === holder;
  if (!isOwn && (state.status === 'confirmed' || state.holder !== reservedAs)) throw nameTaken();
  return state.status === 'confirmed' ? [] : [{ type: 'NameConfirmed', data: { kind, holder } }];
}

/** Frees the name. `[]` unless the user holds it. */
export function releaseName(
  { data }: CommandOf<ReservationCommand, 'ReleaseName'>,
  state: ReservationState,
): ReservationEvent[] {
  const { kind, holder } = data;
  return state.status !== 'free' && state.holder === holder ? [{ type: 'NameReleased', data: { kind, holder } }] : [];
}

function nameTaken(): Refusal {
  return new Refusal('already-exists', 'this name is held by another user');
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
    weight: () => 200,
    // Each event says who holds the name now.
    books: { every: 64n, needed: () => 1, isFirstNeeded: (_state, { type }) => type in reservationEvents },
  };
}

/** A username, held by one user at a time; the id is the keyed hash of the folded name. */
export const username = reservation('username');

/** An e-mail address, held by one account at a time; the id is the keyed hash of the folded address. */
export const address = reservation('address');
