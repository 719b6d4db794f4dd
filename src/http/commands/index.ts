import { accountDescriptions } from './account-commands.ts';
import type { CommandDescription, PublicCommand, SignedInCommand } from './command-description.ts';
import { conversationDescriptions } from './conversation-commands.ts';
import { messageDescriptions } from './message-commands.ts';

const commands: readonly CommandDescription[] = [
  ...accountDescriptions,
  ...conversationDescriptions,
  ...messageDescriptions,
];

const isPublic = (command: CommandDescription): command is PublicCommand => command.access === 'public';
const isSignedIn = (command: CommandDescription): command is SignedInCommand => command.access === 'signed-in';

/** Every command that needs no session. */
export const publicCommands: readonly PublicCommand[] = commands.filter(isPublic);

/** Every command of signed-in users. */
export const signedInCommands: readonly SignedInCommand[] = commands.filter(isSignedIn);
