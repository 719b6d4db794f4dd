import type { IncomingMessage } from 'node:http';
import { BlockList, isIPv6 } from 'node:net';
import { parseAddress } from '../../kernel/network.ts';

const HEADER = 'x-forwarded-for';
/** Proxies on the way of a request; elements before these are not read. */
const HOPS_MAX = 16;

/** Well-known ranges by name, as in `TRUST_PROXY`. */
const RANGES: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};

/** Whether an address, in any spelling, is that of a trusted proxy. `proxies`: addresses, subnets and names of ranges. */
export function createProxyCheck(proxies: readonly string[]): (address: string) => boolean {
  if (proxies.length === 0) return () => false;
  const trusted = new BlockList();
  for (const proxy of proxies.flatMap((name) => RANGES[name] ?? [name])) {
    const [address = '', bits] = proxy.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (bits === undefined) trusted.addAddress(address, family);
    else trusted.addSubnet(address, Number(bits), family);
  }
  return (text) => {
    const address = parseAddress(text);
    return address !== null && trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
  };
}

/**
 * Reduces the `X-Forwarded-For` of trusted proxies to IP addresses without ports, before anything reads `request.ip`. The list ends at the first
 * element, from the nearest proxy on, that is not an address: the client then has the address of the proxy that sent this element. The header stays,
 * so that the request still counts as forwarded.
 */
export function cleanForwardedFor(request: IncomingMessage, isProxy: (address: string) => boolean): void {
  const header = request.headers[HEADER];
  if (header === undefined || !isProxy(request.socket.remoteAddress ?? '')) return;
  request.headers[HEADER] = addressesIn(String(header)).join(', ');
}

function addressesIn(header: string): readonly string[] {
  const addresses: string[] = [];
  for (const element of header.split(',').slice(-HOPS_MAX).reverse()) {
    const address = parseAddress(element);
    if (address === null) break;
    addresses.push(address);
  }
  return addresses.reverse();
}
