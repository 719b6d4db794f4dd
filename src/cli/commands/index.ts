import type { Command } from '../command.ts';
import { keysList, keysRotate } from './keys.ts';
import { parkedList, parkedRetry } from './parked.ts';

/** Every command of `parley`, in the order of the help. */
export const commands: readonly Command[] = [parkedList, parkedRetry, keysList, keysRotate];
