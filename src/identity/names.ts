import { hmac } from './secrets.ts';

/** The form in which usernames are compared: without regard to case and compatibility variants of letters. */
export function foldUsername(username: string): string {
  return username.normalize('NFKC').toLowerCase().normalize('NFKC');
}

/** The form in which e-mail addresses are compared. */
export function foldEmail(email: string): string {
  return email.trim().normalize('NFKC').toLowerCase();
}

/** Ids of the reservation streams `username-<id>` and `address-<id>`: HMACs, so that the log does not disclose the names. */
export type NameIds = Readonly<{ username(username: string): string; address(email: string): string }>;

export function createNameIds(secret: Uint8Array): NameIds {
  return {
    username: (username) => hmac(secret, `username\n${foldUsername(username)}`).toString('hex'),
    address: (email) => hmac(secret, `address\n${foldEmail(email)}`).toString('hex'),
  };
}
