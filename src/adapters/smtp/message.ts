import type { SendMailOptions } from 'nodemailer';
import { type Mail, MailError } from '../../ports/mailer.ts';

/** A mail as nodemailer takes it. Nothing in it can make it read files or addresses. */
export function messageOf(from: string, { messageId, to, subject, text, html }: Mail): SendMailOptions {
  // As an object it is one address, whatever is in it; as a string it would be a list.
  const recipient = { name: '', address: to };
  const headers = { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' };
  return {
    from,
    to: recipient,
    messageId,
    subject,
    text,
    html,
    headers,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

/** Refuses what cannot be the address of one person. */
export function checkRecipient(to: string): void {
  if (!/^[^\s@<>(),;:"\\]+@[^\s@<>(),;:"\\]+$/.test(to))
    throw new MailError('this is no e-mail address', { permanent: true });
}
