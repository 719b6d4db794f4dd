import type { MailWords } from './layout.ts';

/**
 * To an address with which somebody registered, possibly not its owner. The mail contains none of the registration's input, so that strangers cannot
 * send texts of their own through it.
 */
export function welcomeMail(url: string): MailWords {
  return {
    subject: 'Welcome to Parley: set your password',
    paragraphs: [
      'Welcome to Parley.',
      'To complete your registration, set a password. This also confirms that this e-mail address is yours.',
    ],
    button: { label: 'Set your password', url },
    notes: [
      'The link can be used once and expires after 24 hours.',
      'If you did not register, ignore this mail: without the link, the account cannot be used.',
    ],
  };
}
