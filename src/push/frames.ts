import type { Envelope } from '../kernel/event.ts';
import type { JsonObject } from '../kernel/json.ts';
import type { Position } from '../kernel/position.ts';
import type { Notice, PersonalPayload } from './notices/notice.ts';

/** A place among the frames of a log: after the `index`-th frame of the event at `position`, counted from 0. */
export type Place = Readonly<{ position: Position; index: number }>;

/** The last place that a client has received, and in which log. */
export type FrameId = Place & Readonly<{ epoch: string }>;

/** A notice as it goes over the wire, made once for all recipients. Its place is the one after it. */
export type Frame = Place &
  Readonly<{
    name: string;
    rooms: readonly string[];
    personal: PersonalPayload | undefined;
    /** `{"event", "id", "at", "user", "payload"}` as UTF-8 JSON. */
    bytes: Buffer;
  }>;

/** After every frame of an event. */
const END = Number.MAX_SAFE_INTEGER;

/** Stands for the position before the first event: every other is later. */
const BEFORE_ALL: Position = '!';

/** The place after everything up to a position, which need not have frames; `null` is the start of the log. */
export function endOf(position: Position | null): Place {
  return { position: position ?? BEFORE_ALL, index: END };
}

/** The place just before a frame. */
export function before({ position, index }: Frame): Place {
  return { position, index: index - 1 };
}

/** Whether `place` comes later than `other`. */
export function isAfter(place: Place, other: Place): boolean {
  return place.position > other.position || (place.position === other.position && place.index > other.index);
}

/** The id under which clients keep a place: `<log epoch>.<position>.<index>`, with `end` for after all frames; see `parseFrameId`. */
export function formatFrameId(epoch: string, { position, index }: Place): string {
  return `${epoch}.${position}.${index === END ? 'end' : index}`;
}

/** The place of a frame id, `null` for an invalid one. A position may contain dots, the other parts do not. */
export function parseFrameId(id: string): FrameId | null {
  const match = /^([A-Za-z0-9-]{1,36})\.([!-~]{1,80})\.(\d{1,9}|end)$/.exec(id);
  if (match === null) return null;
  const [, epoch = '', position = '', index = ''] = match;
  return { epoch, position, index: index === 'end' ? END : Number(index) };
}

/** The frame of the `index`-th notice of an event. */
export function frameOf(epoch: string, event: Envelope, notice: Notice, index: number): Frame {
  const place = { position: event.position, index };
  const { actor } = event.metadata;
  const bytes = encode({
    event: notice.name,
    id: formatFrameId(epoch, place),
    at: event.recordedAt,
    user: actor === null ? null : { _id: actor },
    payload: notice.payload,
  });
  return { ...place, name: notice.name, rooms: notice.rooms, personal: notice.personal, bytes };
}

/**
 * Asks a client to read what it shows again: from read models that have reached the payload's position (`null`: any), and to continue from there.
 * It has no room: it is made for one client.
 */
export function resyncFrame(epoch: string, reached: Position | null, at: string): Frame {
  const place = endOf(reached);
  const id = formatFrameId(epoch, place);
  const bytes = encode({ event: 'resync', id, at, user: null, payload: { position: reached } });
  return { ...place, name: 'resync', rooms: [], personal: undefined, bytes };
}

/** The same frame without the text of an erased person. */
export function redacted(frame: Frame): Frame {
  if (frame.personal === undefined) return frame;
  // It was encoded here.
  const content = JSON.parse(frame.bytes.toString()) as JsonObject;
  const payload = frame.personal.redact(content.payload as JsonObject);
  return { ...frame, personal: undefined, bytes: encode({ ...content, payload }) };
}

const encode = (frame: object): Buffer => Buffer.from(JSON.stringify(frame));
