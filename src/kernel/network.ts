import { isIP, isIPv4, SocketAddress } from 'node:net';

const WITH_PORT = /^(?:\[([^\]]*)\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5})$/;
const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/;

/**
 * The IP address in one element of a forwarding header, or of a socket: without quotes, brackets, port and zone, in one spelling per address. An
 * IPv4-mapped IPv6 address is the IPv4 address. `null` for everything else, such as `unknown` or a host name.
 */
export function parseAddress(text: string): string | null {
  // How a socket that serves both versions spells IPv4 addresses. The general way is slow.
  const version4 = text.startsWith('::ffff:') ? text.slice(7) : text;
  if (isIPv4(version4)) return version4;
  const trimmed = text.trim();
  const quoted = trimmed.length > 1 && trimmed.startsWith('"') && trimmed.endsWith('"');
  const plain = quoted ? trimmed.slice(1, -1) : trimmed;
  const [, inBrackets, beforePort] = WITH_PORT.exec(plain) ?? [];
  if (isIPv4(beforePort ?? plain)) return beforePort ?? plain;
  const version6 = inBrackets ?? plain;
  if (isIP(version6) !== 6) return null;
  const [address = ''] = version6.split('%');
  const canonical = new SocketAddress({ address, family: 'ipv6' }).address;
  return MAPPED.exec(canonical)?.[1] ?? canonical;
}

/** The network that an address is counted under: an IPv4 address itself, or the first 64 bits of an IPv6 address, usually one household. */
export function networkOf(text: string): string {
  const address = parseAddress(text);
  if (address === null || isIPv4(address)) return address ?? text;
  const [head = '', tail = ''] = address.split('::');
  const groups = groupsOf(head);
  const rest = groupsOf(tail);
  const zeros = Array<string>(Math.max(0, 8 - groups.length - rest.length)).fill('0');
  return [...groups, ...zeros, ...rest].slice(0, 4).join(':');
}

/** The 16-bit groups of a part of an IPv6 address; an IPv4 address at its end stands for two, which are never among the first four. */
function groupsOf(part: string): string[] {
  return part === '' ? [] : part.split(':').flatMap((group) => (group.includes('.') ? ['0', '0'] : [group]));
}
