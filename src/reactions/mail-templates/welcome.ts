import type { MailWords } from './layout.ts';

/**
 * To somebody who may or may not have registered. It repeats nothing of what was typed there, so that strangers cannot have their words
 * delivered by us.
 */
export function welcomeMail(url: string): MailWords {
  return {
    subject: 'Welcome to Parley: set your password',
    paragraphs: [
      'Welcome to Parley.',
      'One step is left: set a password. That also confirms that this e-mail address is yours.',
    ],
    button: { label: 'Set your password', url },
    notes: [
      'The link works once, for 24 hours.',
      'If you did not register, ignore this mail: nothing happens without that link.',
    ],
  };
}
