import type { Static, TObject, TProperties } from 'typebox';
import type { Target } from '../../commands/claims.ts';
import type { RequestContext } from '../../commands/request-context.ts';
import type { Principal } from '../../identity/identity.ts';
import type { IdSource } from '../../kernel/ids.ts';
import type { Language } from '../../kernel/language.ts';
import type { Position } from '../../kernel/position.ts';
import type { AppDeps } from '../deps.ts';
import type { Tag } from '../openapi.ts';
import type { ProblemCode } from '../request/problems.ts';
import type { LocalLimitName, SharedLimitName } from '../request/rate-limits.ts';

/** What a 202 reports: the id of what was created or changed, and the position at which read models show it. */
export type Outcome = Readonly<{ _id: string; position: Position }>;

/** The services that perform commands. */
export type CommandServices = Pick<AppDeps, 'conversations' | 'identity'>;

/** What a command is performed with, besides its input. `expected`: the revisions that `If-Match` accepts; `undefined`: any. */
export type Call = Readonly<{ context: RequestContext; expected: readonly bigint[] | undefined }>;

/** The same with the language of the request: that of a caller without an account is not known otherwise. */
export type PublicCall = Call & Readonly<{ language: Language }>;

/** The same with the caller. `address`: of the client's network, for limits; `null` on a socket. */
export type SignedInCall = Call & Readonly<{ principal: Principal; address: string | null }>;

/** A method and path that serve a command, and where the fields of its input are in the request. */
export type CommandPath<Field extends string = string> = Readonly<{
  method: 'POST' | 'PUT' | 'DELETE';
  path: string;
  /** Parameters of the path, each with the field of the input that it gives. */
  params?: Readonly<Record<string, Field>>;
  /** The same for the query string. */
  query?: Readonly<Record<string, Field>>;
  /** The same for the body. Default: every field that is in neither the path nor the query string, under its own name. */
  body?: Readonly<Record<string, Field>>;
}>;

/** The type of the WebSocket frames that carry a command. Commands that share a type each name the required field that selects them. */
export type FrameBinding<Field extends string = string> = Readonly<{ type: string; selectedBy?: Field }>;

/** The input of a command, with the types of its schema. */
type Input<Properties extends TProperties> = Static<TObject<Properties>>;

type Description<Properties extends TProperties, Done extends Outcome> = Readonly<{
  /** In the imperative, as in `src/commands`. */
  name: string;
  summary: string;
  description?: string;
  tag: Tag;
  /** All fields of the input, wherever a request carries them. */
  input: TObject<Properties>;
  /** Example values for the documentation of bodies. */
  example?: Partial<Input<Properties>>;
  /** The API's own path first, then those of the service that Parley replaces. */
  paths: readonly CommandPath<keyof Properties & string>[];
  /** Rate limits that are charged once the input is valid. */
  limits?: readonly LocalLimitName[];
  /** Problems besides those that follow from the schemas. */
  problems?: readonly ProblemCode[];
  /** Whether it honours `If-Match`. */
  ifMatch?: boolean;
  /** The aggregate that the command changes, for the claim of an `Idempotency-Key`; `owner` owns the key. */
  target: Readonly<{
    aggregate: Target['aggregate'];
    id(input: Input<Properties>, claim: { ids: IdSource; owner: string }): string;
    /** See `Target`. */
    noted?: boolean;
  }>;
  /** Path of the resource that shows the outcome. */
  location(done: Done, input: Input<Properties>): string;
}>;

/** A command of signed-in users; limits are charged to the user, who also owns the idempotency keys. */
type SignedInDescription<Properties extends TProperties, Done extends Outcome> = Description<Properties, Done> &
  Readonly<{
    frame?: FrameBinding<keyof Properties & string>;
    /** What the command is about besides its input: the same `Idempotency-Key` for another subject is refused. */
    subject?(principal: Principal): string;
    perform(services: CommandServices, input: Input<Properties>, call: SignedInCall): Promise<Done>;
  }>;

/** A command that needs no session; limits are charged to the caller's network. */
type PublicDescription<Properties extends TProperties, Done extends Outcome> = Description<Properties, Done> &
  Readonly<{
    /** Limits that all nodes share, charged after the others. */
    sharedLimits?: readonly SharedLimitName[];
    /** The person the request is about, who owns the idempotency keys. May refuse the request. */
    owner(services: CommandServices, input: Input<Properties>): string;
    perform(services: CommandServices, input: Input<Properties>, call: PublicCall): Promise<Done>;
  }>;

/** Input of any command, checked against its schema. */
export type CommandInput = Readonly<Record<string, unknown>>;

export type SignedInCommand = SignedInDescription<TProperties, Outcome> & Readonly<{ access: 'signed-in' }>;
export type PublicCommand = PublicDescription<TProperties, Outcome> & Readonly<{ access: 'public' }>;
export type CommandDescription = SignedInCommand | PublicCommand;

/** Describes a command of signed-in users, once for REST, WebSocket and OpenAPI. */
export function describeCommand<Properties extends TProperties, Done extends Outcome>(
  description: SignedInDescription<Properties, Done>,
): SignedInCommand {
  // The type of the input is dropped: every caller checks it against `input` first.
  return { ...description, access: 'signed-in' } as unknown as SignedInCommand;
}

/** Describes a command that needs no session. */
export function describePublicCommand<Properties extends TProperties, Done extends Outcome>(
  description: PublicDescription<Properties, Done>,
): PublicCommand {
  // As above.
  return { ...description, access: 'public' } as unknown as PublicCommand;
}
