import { type Static, type TSchema, Type } from 'typebox';
import { closed } from '../../commands/fields.ts';
import { Refusal } from '../../kernel/errors.ts';
import type { CommandInput, SignedInCommand } from '../commands/command-description.ts';
import { signedInCommands } from '../commands/index.ts';
import { createValidator, type Validator } from '../request/validation.ts';

const ID_MAX = 64;

/** The client's name for a frame, repeated in its `ack`. A frame without one is answered only when it fails. */
const Id = Type.Optional(Type.String({ minLength: 1, maxLength: ID_MAX }));

/** The id of a server frame, as the client last received one. */
const After = Type.String({ minLength: 1, maxLength: 128 });

/** Frames about the connection itself, by their `type` (spec, section 7). */
const connectionFrames = {
  /** Authenticates. The first frame, within 5 s; a later one renews the token. With `after`, delivery starts after that server frame. */
  auth: closed({
    type: Type.Literal('auth'),
    id: Id,
    token: Type.String({ minLength: 1, maxLength: 8_192 }),
    after: Type.Optional(After),
  }),
  /** Starts delivery after the server frame `after`. Only as the first frame after `auth`. */
  resume: closed({ type: Type.Literal('resume'), id: Id, after: After }),
  /** Asks for an `ack`, to check that the connection works. */
  ping: closed({ type: Type.Literal('ping'), id: Id }),
};

type ConnectionFrame = {
  [Name in keyof typeof connectionFrames]: Static<(typeof connectionFrames)[Name]>;
}[keyof typeof connectionFrames];

/** A frame that carries a command: the same input as over REST. */
export type CommandFrame = Readonly<{
  type: 'command';
  id?: string | undefined;
  command: SignedInCommand;
  input: CommandInput;
}>;

export type ClientFrame = ConnectionFrame | CommandFrame;

type Fields = Readonly<Record<string, unknown>>;

/** Checks a frame and reads it. Throws `malformed` or `out-of-range`, as REST does for a body. */
type FrameReader = (fields: Fields) => ClientFrame;

/** The readers of all frames, by `type`. */
const readers = new Map<unknown, FrameReader>();
for (const [type, schema] of Object.entries(connectionFrames)) readers.set(type, connectionReader(schema));
for (const [type, commands] of Map.groupBy(signedInCommands, ({ frame }) => frame?.type)) {
  if (type !== undefined) readers.set(type, commandReader(type, commands));
}

function connectionReader(schema: TSchema): FrameReader {
  const validate = createValidator(schema);
  return (fields) => {
    validate(fields);
    // It has passed the schema of its type.
    return fields as ConnectionFrame;
  };
}

/** The reader of a type that one or several commands share. */
function commandReader(type: string, commands: readonly SignedInCommand[]): FrameReader {
  const candidates = commands.map((command): Candidate => {
    const schema = closed({ type: Type.Literal(type), id: Id, ...command.input.properties });
    return { command, selectedBy: command.frame?.selectedBy, validate: createValidator(schema) };
  });
  return (fields) => {
    const { command, validate } = select(candidates, fields);
    validate(fields);
    const { type: _, id, ...input } = fields;
    return { type: 'command', id: id as string | undefined, command, input };
  };
}

type Candidate = Readonly<{ command: SignedInCommand; selectedBy: string | undefined; validate: Validator }>;

/** The candidate whose selecting field the frame has. */
function select(candidates: readonly Candidate[], fields: Fields): Candidate {
  const [selected, another] = candidates.filter(({ selectedBy }) => selectedBy === undefined || selectedBy in fields);
  if (selected !== undefined && another === undefined) return selected;
  const [first, ...others] = candidates.map(({ selectedBy }) => selectedBy);
  const alternatives = others.join(' or ');
  const errors = [{ path: `/${first}`, message: `is required, or ${alternatives}, but not both` }];
  throw new Refusal('malformed', `either ${first} or ${alternatives} is required`, { errors });
}

/** A message of the client: the id for its answer, and the frame once it is checked. */
export type ReceivedFrame = Readonly<{ id: string | undefined; read(): ClientFrame }>;

/** Parses a message of the WebSocket. Throws `malformed` unless it is a JSON object in a text message. */
export function parseClientFrame(data: Buffer, isBinary: boolean): ReceivedFrame {
  const frame = isBinary ? null : parse(data.toString());
  if (typeof frame !== 'object' || frame === null || Array.isArray(frame)) {
    throw new Refusal('malformed', 'a frame must be a JSON object in a text message');
  }
  const fields = frame as Fields;
  const { id, type } = fields;
  return {
    id: answerId(id),
    read() {
      const reader = readers.get(type);
      if (reader !== undefined) return reader(fields);
      const errors = [{ path: '/type', message: `must be one of ${[...readers.keys()].join(', ')}` }];
      throw new Refusal('malformed', 'unknown type of frame', { errors });
    },
  };
}

/** The id for the answer to a message that is refused without being handled; `undefined` when it has none. */
export function frameIdOf(data: Buffer, isBinary: boolean): string | undefined {
  const frame = isBinary ? null : parse(data.toString());
  return typeof frame === 'object' && frame !== null && 'id' in frame ? answerId(frame.id) : undefined;
}

const answerId = (id: unknown): string | undefined => (typeof id === 'string' ? id.slice(0, ID_MAX) : undefined);

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Reported like any other message that is not a JSON object.
    return null;
  }
}
