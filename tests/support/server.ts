import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const START_MS = 20_000;

/** A whole Parley in a process of its own, which can be killed. */
export type Server = Readonly<{
  url: string;
  /** What it has printed so far. */
  output: () => string;
  /** Kills it as `kill -9` does, and waits until it is gone. */
  kill: () => Promise<void>;
  /** Asks it to stop (SIGTERM) and gives its exit code. */
  stop: () => Promise<number | null>;
}>;

/** A port that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

/** A server that was started and may not be ready yet; then `ready` resolves with its public address. */
export type Launched = Server & Readonly<{ ready: Promise<string> }>;

/** Starts a server and waits until it says that it is ready. `env` must have `PORT` and `DATA_DIR`. */
export async function startServer(env: Readonly<Record<string, string>>): Promise<Server> {
  const server = launchServer(env);
  return { ...server, url: await server.ready };
}

/** Starts a server; waiting for it is up to the caller. */
export function launchServer(env: Readonly<Record<string, string>>): Launched {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN], {
    env: { PATH: process.env.PATH ?? '', HOST: '127.0.0.1', LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const gone = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
  const started = ready(child, lines);
  // Who ends it before that need not hear that it never was ready.
  started.catch(() => {});
  return {
    url: `http://127.0.0.1:${env.PORT}`,
    ready: started,
    output: () => lines.join('\n'),
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
    stop() {
      child.kill('SIGTERM');
      return gone;
    },
  };
}

function ready(child: ChildProcess, lines: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      child.kill('SIGKILL');
      reject(new Error(`${why}:\n${lines.join('\n')}`));
    };
    const patience = setTimeout(() => fail('the server was not ready in time'), START_MS);
    const ended = (code: number | null): void => fail(`the server ended with ${code}`);
    child.once('exit', ended);
    if (child.stdout === null) return fail('the server has no output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      const [, url] = /^Parley is ready at (\S+)$/.exec(line) ?? [];
      if (url === undefined) return;
      clearTimeout(patience);
      child.removeListener('exit', ended);
      resolve(url);
    });
  });
}
