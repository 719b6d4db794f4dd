import type { AnyOperation } from './operation.ts';
import { listParked, retryParked } from './parked.ts';
import { listSigningKeys, rotateKeys } from './signing-keys.ts';

/** Every operation that a server performs for the command line. */
export const operations: readonly AnyOperation[] = [listParked, retryParked, listSigningKeys, rotateKeys];
