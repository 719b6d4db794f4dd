import type { IncomingMessage } from 'node:http';

/** The path of live updates. */
export const LIVE_PATH = '/api/v1/live';

/**
 * Whether a request is one to open a WebSocket. Every other offer of an upgrade, such as the `h2c` of HTTP clients that prefer HTTP/2, is
 * ignored, as RFC 9110, section 7.8, allows: the request is answered over HTTP/1.1.
 */
export function opensWebSocket({ method, url = '', headers }: IncomingMessage): boolean {
  const path = url.split('?', 1)[0]?.replace(/\/$/, '');
  return method === 'GET' && path === LIVE_PATH && headers.upgrade?.trim().toLowerCase() === 'websocket';
}
