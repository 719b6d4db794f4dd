import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, type Server, startServer } from '../support/server.ts';
import { service } from '../support/services.ts';

const run = promisify(execFile);
const README = new URL('../../README.md', import.meta.url);

/** Why the commands of the README cannot run; `null` when all tools that they call are installed. */
function missingTool(): string | null {
  for (const tool of ['bash', 'curl', 'sed', 'grep']) {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`]);
    } catch {
      return `${tool} is not installed`;
    }
  }
  return null;
}

describe.skipIf(!service('bash and curl', missingTool()))('the README', () => {
  let folder: string;
  let server: Server;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parley-readme-'));
    server = await startServer({ PORT: String(await freePort()), DATA_DIR: join(folder, 'data') });
  });

  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  });

  it('has curl commands that work as pasted', async () => {
    const readme = await readFile(README, 'utf8');
    const lines = /## Ten lines of curl[\s\S]*?```sh\n([\s\S]*?)```/.exec(readme)?.[1];
    const script = lines?.replace('http://localhost:3000', server.url) ?? '';
    const { stdout } = await run('bash', ['-c', script], { cwd: folder, timeout: 30_000 });
    const [sent, list] = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
    expect(sent).toEqual({ _id: expect.any(String), position: expect.any(String) });
    expect(list.items).toHaveLength(1);
    expect(list.items[0].lastMessage).toMatchObject({ _id: sent._id, content: 'Hello Bob' });
  }, 60_000);
});
