import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../scripts/healthcheck.mjs', import.meta.url));

let authorization: string | undefined;
const server = createServer((request, response) => {
  authorization = request.headers.authorization;
  response.writeHead(request.url === '/healthz' ? 200 : 503).end(`requested ${request.url}`);
});

function check(env: Record<string, string>, ...args: string[]): Promise<{ code: unknown; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...args], { env }, (error, stdout) =>
      resolve({ code: error?.code ?? 0, output: stdout.trim() }),
    );
  });
}

describe('the container health check', () => {
  let port: string;

  beforeEach(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = String((server.address() as AddressInfo).port);
  });

  afterEach(() => {
    server.close();
  });

  it('succeeds when the server answers', async () => {
    expect(await check({ PORT: port })).toEqual({ code: 0, output: 'requested /healthz' });
  });

  it('reads port and address from the same variables as the server', async () => {
    expect(await check({ PORT: '', SERVER_PORT: port, HOST: '0.0.0.0' })).toEqual({
      code: 0,
      output: 'requested /healthz',
    });
  });

  it('fails for an error status, and prints the response', async () => {
    expect(await check({ PORT: port }, '/readyz')).toEqual({ code: 1, output: 'requested /readyz' });
  });

  it('has the same result when its output is closed', async () => {
    for (const [path, code] of [
      ['/healthz', 0],
      ['/readyz', 1],
    ] as const) {
      const child = spawn(process.execPath, [SCRIPT, path], { env: { PORT: port } });
      const exited = once(child, 'exit');
      child.stdout.destroy();
      child.stderr.destroy();
      expect(await exited).toEqual([code, null]);
    }
  });

  it('sends METRICS_TOKEN where it is set, because the reasons in /readyz require it', async () => {
    await check({ PORT: port, METRICS_TOKEN: 'a-token-for-prometheus' }, '/readyz');
    expect(authorization).toBe('Bearer a-token-for-prometheus');
    await check({ PORT: port, METRICS_TOKEN: ' ' }, '/readyz');
    expect(authorization).toBeUndefined();
  });

  it('fails when the server does not answer', async () => {
    server.close();
    await once(server, 'close');
    const { code, output } = await check({ PORT: port });
    expect({ code, output }).toEqual({ code: 1, output: expect.stringContaining('no response: ') });
  });
});
