import { canonicalAddress } from './addresses.ts';
import { hmac } from './secrets.ts';
import { foldUsername } from './username-rules.ts';

/** Ids of the reservation streams `username-<id>` and `address-<id>`: HMACs, so that the log does not disclose the names. */
export type NameIds = Readonly<{ username(username: string): string; address(email: string): string }>;

export function createNameIds(secret: Uint8Array): NameIds {
  return {
    username: (username) => hmac(secret, `username\n${foldUsername(username)}`).toString('hex'),
    address: (email) => hmac(secret, `address\n${canonicalAddress(email)}`).toString('hex'),
  };
}
