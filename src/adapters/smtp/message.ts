import type { SendMailOptions } from 'nodemailer';
import { type Mail, MailError } from '../../ports/mailer.ts';

/** The options of nodemailer for a mail. Its contents cannot make nodemailer read files or URLs. */
export function messageOf(from: string, mail: Mail): SendMailOptions {
  const { messageId, to, subject, text, html, unsubscribeUrl } = mail;
  // As an object it is always a single address; a string would be parsed as a list.
  const recipient = { name: '', address: to };
  const headers = {
    'Auto-Submitted': 'auto-generated',
    'X-Auto-Response-Suppress': 'All',
    // Mail programs send such a request over HTTPS only (RFC 8058, section 3.1).
    ...(unsubscribeUrl?.startsWith('https:') ? { 'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click' } : {}),
  };
  return {
    from,
    to: recipient,
    messageId,
    subject,
    text,
    html,
    headers,
    ...(unsubscribeUrl === undefined ? {} : { list: { unsubscribe: { url: unsubscribeUrl } } }),
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

/** Throws a permanent `MailError` for text that is not a single e-mail address. */
export function checkRecipient(to: string): void {
  if (!/^[^\s@<>(),;:"\\]+@[^\s@<>(),;:"\\]+$/.test(to))
    throw new MailError('invalid e-mail address', { permanent: true });
}
