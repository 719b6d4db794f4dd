import type { Envelope } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';
import type { Notice } from './notices.ts';

/** A notice as it goes over the wire, made once for all who hear it. */
export type Frame = Readonly<{
  position: Position;
  /** Place among the frames of its event, from 0. */
  index: number;
  name: string;
  rooms: readonly string[];
  /** `{"event", "id", "at", "user", "payload"}` as UTF-8 JSON. */
  bytes: Buffer;
}>;

/** Where a client left off: in which log, behind which event, and behind which of its frames. */
export type FrameId = Readonly<{ epoch: string; position: Position; index: number }>;

/** A position with no frame of its own: everything up to it was delivered. */
const NO_INDEX = Number.MAX_SAFE_INTEGER;

/** The id of a frame as clients keep it: `<log epoch>.<position>.<index>`; see `parseFrameId`. */
export function formatFrameId(epoch: string, position: Position, index: number | 'end'): string {
  return `${epoch}.${position}.${index}`;
}

/** A client's `after`, or `null` when it is no frame id. */
export function parseFrameId(text: string): FrameId | null {
  const match = /^([A-Za-z0-9-]{1,36})\.([\x21-\x2d\x2f-\x7e]{1,64})\.(\d{1,9}|end)$/.exec(text);
  if (match === null) return null;
  const [, epoch = '', position = '', index = ''] = match;
  return { epoch, position, index: index === 'end' ? NO_INDEX : Number(index) };
}

/** The frame of the `index`-th notice of an event. */
export function frameOf(epoch: string, event: Envelope, notice: Notice, index: number): Frame {
  const { position, recordedAt, metadata } = event;
  const frame = {
    event: notice.name,
    id: formatFrameId(epoch, position, index),
    at: recordedAt,
    user: metadata.actor === null ? null : { _id: metadata.actor },
    payload: notice.payload,
  };
  return { position, index, name: notice.name, rooms: notice.rooms, bytes: Buffer.from(JSON.stringify(frame)) };
}

/** Whether a frame comes behind the place a client left off. */
export function isBehind(frame: Frame, after: FrameId): boolean {
  return frame.position > after.position || (frame.position === after.position && frame.index > after.index);
}
