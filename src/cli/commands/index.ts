import type { Command } from '../command.ts';
import { parkedList, parkedRetry } from './parked.ts';

/** Every command of `parley`, in the order of the help. */
export const commands: readonly Command[] = [parkedList, parkedRetry];
