import type { Static, TObject, TProperties } from 'typebox';
import type { SigningKeyService } from '../identity/access-tokens.ts';
import type { Json } from '../kernel/json.ts';
import type { ParkedEffects } from '../reactions/parked-effects.ts';

/** What operations work with: the services of a node. */
export type OperationServices = Readonly<{
  /** The parked effects of each reaction. */
  parked: readonly ParkedEffects[];
  signingKeys: SigningKeyService;
}>;

/**
 * Something that an operator asks of an installation, by the command line. It runs in the embedded server, where there is one, and else in the
 * process of the command line; `params` and results are sent as JSON.
 */
export type Operation<Properties extends TProperties = TProperties, Result extends Json = Json> = Readonly<{
  /** Lower-case words with dashes in between. */
  name: string;
  params: TObject<Properties>;
  /** Throws a `Refusal` for what cannot be done, with a message for the operator, and a `StoreError` with `UNAVAILABLE`. */
  run(services: OperationServices, params: Static<TObject<Properties>>): Promise<Result>;
}>;

/** Performs an operation with parameters that fit its schema; throws `malformed` or `out-of-range` for others. */
export type Perform = <Properties extends TProperties, Result extends Json>(
  operation: Operation<Properties, Result>,
  params: Static<TObject<Properties>>,
) => Promise<Result>;

/** Describes an operation. `src/operations/index.ts` lists them. */
export function describeOperation<Properties extends TProperties, Result extends Json>(
  operation: Operation<Properties, Result>,
): Operation<Properties, Result> {
  return operation;
}

/** An operation of any kind. Its parameters are checked against their schema before it runs. */
export type AnyOperation = Omit<Operation, 'run'> &
  Readonly<{ run(services: OperationServices, params: never): Promise<Json> }>;
