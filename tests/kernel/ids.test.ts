import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  derivedIds,
  directConversationId,
  eventId,
  OBJECT_ID,
  randomIds,
  UUID,
  uuidv5,
  uuidv7,
} from '../../src/kernel/ids.ts';

const objectId = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 24, maxLength: 24 });

describe('ids', () => {
  it('a UUIDv5 is that of RFC 9562, appendix A.4', () => {
    expect(uuidv5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com')).toBe(
      '2ed6657d-e927-568b-95e1-2665a8aea6a2',
    );
  });

  it('a UUIDv7 begins with its time, names its version and sorts by its time', () => {
    const [earlier, later] = [uuidv7(1_645_557_742_000), uuidv7(1_645_557_742_001)];
    expect(earlier).toMatch(/^017f22e2-79b0-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(earlier < later).toBe(true);
  });

  it('100,000 random ids of each kind are all different', () => {
    const count = 100_000;
    expect(new Set(Array.from({ length: count }, () => randomIds.objectId('x'))).size).toBe(count);
    expect(new Set(Array.from({ length: count }, () => uuidv7(0))).size).toBe(count);
  });

  it('derived ids are the same for the same scope and name, and no others', () => {
    const secret = Buffer.alloc(32, 1);
    const [one, same, other] = [derivedIds(secret, 'a'), derivedIds(secret, 'a'), derivedIds(secret, 'b')];
    expect(one.objectId('user')).toBe(same.objectId('user'));
    expect(one.uuid('command', 1)).toBe(same.uuid('command', 2));
    expect(new Set([one.objectId('user'), one.objectId('x'), other.objectId('user')]).size).toBe(3);
    expect(derivedIds(Buffer.alloc(32, 2), 'a').objectId('user')).not.toBe(one.objectId('user'));
    expect(one.objectId('user')).toMatch(OBJECT_ID);
    expect(one.uuid('command', 1)).toMatch(UUID);
  });

  it('the events of a command have ids of their own, the same at each repetition', () => {
    const command = uuidv7(0);
    expect(eventId(command, 0)).toBe(eventId(command, 0));
    expect(eventId(command, 0)).not.toBe(eventId(command, 1));
  });

  it('the 1-1 conversation of two is the same whoever starts, and another for every other two', () => {
    fc.assert(
      fc.property(objectId, objectId, objectId, (a, b, c) => {
        expect(directConversationId(a, b)).toBe(directConversationId(b, a));
        expect(directConversationId(a, b)).toMatch(OBJECT_ID);
        if (b !== c) expect(directConversationId(a, b)).not.toBe(directConversationId(a, c));
      }),
    );
  });
});
