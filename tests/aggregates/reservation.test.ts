import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { address, type ReservationState, username } from '../../src/aggregates/reservation/decider.ts';
import type { ReservationEvent } from '../../src/aggregates/reservation/events.ts';
import type { ReservationCommand } from '../../src/commands/reservation.ts';
import { given } from '../support/decider-spec.ts';
import { alice, at, bob, by, carol } from './fixtures.ts';
import { checkRules } from './properties.ts';

const kind = 'username' as const;
const reserve = (holder: string, until: number, seconds = 0): ReservationCommand => ({
  type: 'ReserveName',
  data: { kind, holder, until: at(until) },
  metadata: by(null, seconds),
});
const confirm = (holder: string, seconds = 0, reservedAs = holder): ReservationCommand => ({
  type: 'ConfirmName',
  data: { kind, holder, reservedAs },
  metadata: by(null, seconds),
});
const release = (holder: string, seconds = 0): ReservationCommand => ({
  type: 'ReleaseName',
  data: { kind, holder },
  metadata: by(null, seconds),
});

const reserved = (holder: string, until: number): ReservationEvent => ({
  type: 'NameReserved',
  data: { kind, holder, until: at(until) },
});
const confirmed = (holder: string): ReservationEvent => ({ type: 'NameConfirmed', data: { kind, holder } });
const released = (holder: string): ReservationEvent => ({ type: 'NameReleased', data: { kind, holder } });

it('usernames and addresses follow the same rules, in separate streams', () => {
  expect([username.category, address.category]).toEqual(['username', 'address']);
  const ofAddress = { kind: 'address' as const, holder: alice };
  given(address, [])
    .when({ type: 'ConfirmName', data: { ...ofAddress, reservedAs: alice }, metadata: by(null) })
    .decides([{ type: 'NameConfirmed', data: ofAddress }]);
});

describe('ReserveName', () => {
  it('reserves a free name', () => {
    const state = given(username, [])
      .when(reserve(alice, 100))
      .decides([reserved(alice, 100)]);
    expect(state).toStrictEqual({ status: 'reserved', holder: alice, until: at(100) });
    given(username, [reserved(alice, 100), released(alice)])
      .when(reserve(bob, 200))
      .decides([reserved(bob, 200)]);
  });

  it('extends a reservation of the same holder, but does not shorten it', () => {
    const { when } = given(username, [reserved(alice, 100)]);
    when(reserve(alice, 101, 50)).decides([reserved(alice, 101)]);
    when(reserve(alice, 200, 150)).decides([reserved(alice, 200)]);
    when(reserve(alice, 100, 50)).decides([]);
    when(reserve(alice, 99, 50)).decides([]);
  });

  it('decides nothing for a name that the holder has confirmed', () => {
    given(username, [reserved(alice, 100), confirmed(alice)])
      .when(reserve(alice, 200, 150))
      .decides([]);
  });

  it('is refused while another user holds the name', () => {
    given(username, [reserved(alice, 100)])
      .when(reserve(bob, 200, 99.999))
      .refused('already-exists');
    given(username, [reserved(alice, 100), confirmed(alice)])
      .when(reserve(bob, 200, 150))
      .refused('already-exists');
  });

  it('takes over a name whose reservation expired unconfirmed, with as many events as for a free name', () => {
    const state = given(username, [reserved(alice, 100)])
      .when(reserve(bob, 200, 100))
      .decides([reserved(bob, 200)]);
    expect(state).toStrictEqual({ status: 'reserved', holder: bob, until: at(200) });
  });
});

describe('ConfirmName', () => {
  it('makes the reservation permanent', () => {
    const state = given(username, [reserved(alice, 100)])
      .when(confirm(alice, 50))
      .decides([confirmed(alice)]);
    expect(state).toStrictEqual({ status: 'confirmed', holder: alice });
  });

  it('decides nothing the second time', () => {
    given(username, [confirmed(alice)])
      .when(confirm(alice))
      .decides([]);
  });

  it('works after expiry or release as long as no other user holds the name', () => {
    given(username, [reserved(alice, 100)])
      .when(confirm(alice, 150))
      .decides([confirmed(alice)]);
    given(username, [reserved(alice, 100), released(alice)])
      .when(confirm(alice, 150))
      .decides([confirmed(alice)]);
  });

  it('takes over a reservation made under another id for this user, but no confirmed name', () => {
    const state = given(username, [reserved(carol, 100)])
      .when(confirm(alice, 50, carol))
      .decides([confirmed(alice)]);
    expect(state).toStrictEqual({ status: 'confirmed', holder: alice });
    given(username, [confirmed(alice)])
      .when(confirm(alice, 50, carol))
      .decides([]);
    given(username, [confirmed(carol)])
      .when(confirm(alice, 50, carol))
      .refused('already-exists');
    given(username, [reserved(bob, 100)])
      .when(confirm(alice, 50, carol))
      .refused('already-exists');
  });

  it('is refused when another user holds the name, even if that reservation has expired', () => {
    given(username, [reserved(bob, 100)])
      .when(confirm(alice, 150))
      .refused('already-exists');
    given(username, [confirmed(bob)])
      .when(confirm(alice))
      .refused('already-exists');
  });
});

describe('ReleaseName', () => {
  it('frees a reserved and a confirmed name', () => {
    const state = given(username, [reserved(alice, 100)])
      .when(release(alice, 50))
      .decides([released(alice)]);
    expect(state).toStrictEqual({ status: 'free' });
    given(username, [confirmed(alice)])
      .when(release(alice))
      .decides([released(alice)]);
  });

  it('decides nothing unless the user holds the name', () => {
    given(username, []).when(release(alice)).decides([]);
    given(username, [confirmed(bob)])
      .when(release(alice))
      .decides([]);
  });
});

it('a name has one holder at a time for any sequence of commands', () => {
  const holder = fc.constantFrom(alice, bob, carol);
  const seconds = fc.integer({ min: 0, max: 50 });
  checkRules<ReservationState, ReservationCommand, ReservationEvent>(username, {
    commands: fc.oneof(
      fc.tuple(holder, seconds, seconds).map(([who, until, s]) => reserve(who, until, s)),
      fc.tuple(holder, seconds, holder).map(([who, s, reservedAs]) => confirm(who, s, reservedAs)),
      fc.tuple(holder, seconds).map(([who, s]) => release(who, s)),
    ),
    again: () => 'nothing',
    invariant: (state, history) => {
      let holder: string | null = null;
      let isConfirmed = false;
      for (const { type, data } of history) {
        // A confirmed name changes its holder only after it was released, and only its holder releases a name.
        if (isConfirmed || type === 'NameReleased') expect(data.holder).toBe(holder);
        holder = type === 'NameReleased' ? null : data.holder;
        isConfirmed = type === 'NameConfirmed';
      }
      expect(state.status === 'free' ? null : state.holder).toBe(holder);
    },
    reaches: ['NameReserved', 'NameConfirmed', 'NameReleased', 'already-exists'],
  });
});
