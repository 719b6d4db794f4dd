import { hmac } from './secrets.ts';

/** What two usernames are compared by: those that only differ in case or in compatible forms of a letter are one. */
export function foldUsername(username: string): string {
  return username.normalize('NFKC').toLowerCase().normalize('NFKC');
}

/** What two e-mail addresses are compared by. */
export function foldEmail(email: string): string {
  return email.trim().normalize('NFKC').toLowerCase();
}

/** Ids of the reservation streams, `username-<id>` and `address-<id>`: HMACs, so that the log does not tell the names. */
export type NameIds = Readonly<{ username(username: string): string; address(email: string): string }>;

export function createNameIds(secret: Uint8Array): NameIds {
  return {
    username: (username) => hmac(secret, `username\n${foldUsername(username)}`).toString('hex'),
    address: (email) => hmac(secret, `address\n${foldEmail(email)}`).toString('hex'),
  };
}
