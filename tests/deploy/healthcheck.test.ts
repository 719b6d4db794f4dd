import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../scripts/healthcheck.mjs', import.meta.url));

const server = createServer((request, response) => {
  response.writeHead(request.url === '/healthz' ? 200 : 503).end(`asked for ${request.url}`);
});

function check(env: Record<string, string>, ...args: string[]): Promise<{ code: unknown; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...args], { env }, (error, stdout) =>
      resolve({ code: error?.code ?? 0, output: stdout.trim() }),
    );
  });
}

describe('the health check of a container', () => {
  let port: string;

  beforeEach(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = String((server.address() as AddressInfo).port);
  });

  afterEach(() => {
    server.close();
  });

  it('is content when the process answers', async () => {
    expect(await check({ PORT: port })).toEqual({ code: 0, output: 'asked for /healthz' });
  });

  it('finds the port and the address where the server does', async () => {
    expect(await check({ PORT: '', SERVER_PORT: port, HOST: '0.0.0.0' })).toEqual({
      code: 0,
      output: 'asked for /healthz',
    });
  });

  it('fails for an answer that is none of success, and shows it', async () => {
    expect(await check({ PORT: port }, '/readyz')).toEqual({ code: 1, output: 'asked for /readyz' });
  });

  it('fails when nobody answers', async () => {
    server.close();
    await once(server, 'close');
    const { code, output } = await check({ PORT: port });
    expect({ code, output }).toEqual({ code: 1, output: expect.stringContaining('no answer: ') });
  });
});
