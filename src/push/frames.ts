import type { Envelope } from '../kernel/event.ts';
import { type JsonObject, jsonSize } from '../kernel/json.ts';
import type { Position } from '../kernel/position.ts';
import type { Notice, PersonalPayload } from './notices/notice.ts';

/**
 * A place among the frames of a log: after the `index`-th frame of the event at `position`, counted from 0. `mark`: see `markOf`; it is missing where
 * the place is not sent to clients.
 */
export type Place = Readonly<{ position: Position; index: number; mark?: string | undefined }>;

/** The last place that a client has received, and in which log. */
export type FrameId = Place & Readonly<{ epoch: string }>;

/** A notice as it goes over the wire, the same for all recipients. Its place is the one after it. */
export type Frame = Place &
  Readonly<{
    name: string;
    rooms: readonly string[];
    personal: PersonalPayload | undefined;
    /** `{"event", "id", "at", "user", "payload"}` as UTF-8 JSON: encoded when it is first read, and then kept. */
    bytes: Buffer;
    /** Memory that it takes, in bytes, roughly; never changes. */
    size: number;
  }>;

/** After every frame of an event. */
const END = Number.MAX_SAFE_INTEGER;

/** Stands for the position before the first event: every other is later. */
const BEFORE_ALL: Position = '!';

/**
 * Eight digits by which the event of a place is recognised: in a log that was restored from an older copy, another event may have its position.
 * FNV-1a, because it is made for every event.
 */
export function markOf(eventId: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < eventId.length; i++) hash = Math.imul(hash ^ eventId.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

/** The place after an event, and before the next one; `null` is the start of the log. */
export function endOfEvent(event: Readonly<{ position: Position; id: string }> | null): Place {
  return event === null ? endOf(null) : { ...endOf(event.position), mark: markOf(event.id) };
}

/** Whether a place is before all events, and so in every log. */
export const isStart = ({ position }: Place): boolean => position === BEFORE_ALL;

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

/** The id under which clients keep a place: `<log epoch>.<position>.<index>-<mark>`, with `end` for after all frames; see `parseFrameId`. */
export function formatFrameId(epoch: string, { position, index, mark }: Place): string {
  return `${epoch}.${position}.${index === END ? 'end' : index}${mark === undefined ? '' : `-${mark}`}`;
}

/** The place of a frame id, `null` for an invalid one. A position may contain dots, the other parts do not. */
export function parseFrameId(id: string): FrameId | null {
  const match = /^([A-Za-z0-9-]{1,36})\.([!-~]{1,80})\.(\d{1,9}|end)(?:-([0-9a-f]{8}))?$/.exec(id);
  if (match === null) return null;
  const [, epoch = '', position = '', index = '', mark] = match;
  return { epoch, position, index: index === 'end' ? END : Number(index), ...(mark !== undefined && { mark }) };
}

/** The frame of the `index`-th notice of an event. */
export function frameOf(epoch: string, event: Envelope, notice: Notice, index: number): Frame {
  const place = { position: event.position, index, mark: markOf(event.id) };
  const { actor } = event.metadata;
  const content = {
    event: notice.name,
    id: formatFrameId(epoch, place),
    at: event.recordedAt,
    user: actor === null ? null : { _id: actor },
    payload: notice.payload,
  };
  return new EncodedOnDemand(place, notice, content);
}

/**
 * Asks a client to read what it shows again: from read models that have reached the payload's position (`null`: any), and to continue from there.
 * It has no room: it is made for one client.
 * `place`: from where it goes on, by default after the position.
 */
export function resyncFrame(epoch: string, reached: Position | null, at: string, place: Place = endOf(reached)): Frame {
  const id = formatFrameId(epoch, place);
  const content = { event: 'resync', id, at, user: null, payload: { position: reached } };
  return new EncodedOnDemand(place, { name: 'resync', rooms: [] }, content);
}

/** The same frame without the text of an erased person. */
export function redacted(frame: Frame): Frame {
  if (frame.personal === undefined) return frame;
  // It was encoded here.
  const content = JSON.parse(frame.bytes.toString()) as Content;
  const payload = frame.personal.redact(content.payload);
  return new EncodedOnDemand(frame, { ...frame, personal: undefined }, { ...content, payload });
}

type Content = Readonly<{
  event: string;
  id: string;
  at: string;
  user: Readonly<{ _id: string }> | null;
  payload: JsonObject;
}>;

/** What a frame takes in addition to its payload, in bytes. */
const OVERHEAD_BYTES = 400;

/** Most frames of a node concern users who are connected elsewhere or not at all, and are never encoded. */
class EncodedOnDemand implements Frame {
  readonly position: Position;
  readonly index: number;
  readonly mark: string | undefined;
  readonly name: string;
  readonly rooms: readonly string[];
  readonly personal: PersonalPayload | undefined;
  readonly size: number;
  #content: Content | Buffer;

  constructor(place: Place, { name, rooms, personal }: Omit<Notice, 'payload'>, content: Content) {
    this.position = place.position;
    this.index = place.index;
    this.mark = place.mark;
    this.name = name;
    this.rooms = rooms;
    this.personal = personal;
    this.size = OVERHEAD_BYTES + jsonSize(content.payload);
    this.#content = content;
  }

  get bytes(): Buffer {
    if (!Buffer.isBuffer(this.#content)) this.#content = Buffer.from(JSON.stringify(this.#content));
    return this.#content;
  }
}
