import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { NODE_OPTIONS } from './node-options.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
/** Long, because a start needs a second of a processor, and other processes may need it too. */
const START_MS = 60_000;
/** A copy of the program in another folder would fill the cache with entries that are never used again. */
const COMPILE_CACHE = { own: {}, none: { NODE_DISABLE_COMPILE_CACHE: '1' } };

/** A node in a process of its own, which can be killed. */
export type Server = Readonly<{
  url: string;
  /** What it has printed so far. */
  output: () => string;
  /** Kills it like `kill -9`, and waits until it has ended. */
  kill: () => Promise<void>;
  /** Stops it (SIGTERM) and returns its exit code. */
  stop: () => Promise<number | null>;
}>;

/** A port that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return address.port;
}

/** A server that was started and may not be ready yet. `ready` resolves with its public address. */
export type Launched = Server & Readonly<{ ready: Promise<string> }>;

/** Starts a server and waits until it is ready. `env` must have `PORT` and `DATA_DIR`; `main` may be another copy of the program. */
export async function startServer(env: Readonly<Record<string, string>>, main = MAIN): Promise<Server> {
  const server = launchServer(env, main);
  return { ...server, url: await server.ready };
}

/** Starts a server, and does not wait for it. */
export function launchServer(env: Readonly<Record<string, string>>, main = MAIN): Launched {
  const child = spawn(process.execPath, [...NODE_OPTIONS, main], {
    env: {
      PATH: process.env.PATH ?? '',
      HOST: '127.0.0.1',
      LOG_LEVEL: 'warn',
      ...COMPILE_CACHE[main === MAIN ? 'own' : 'none'],
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
  const started = ready(child, lines);
  // A server that is ended before it is ready rejects this, although no caller may wait for it.
  started.catch(() => {});
  return {
    url: `http://127.0.0.1:${env.PORT}`,
    ready: started,
    output: () => lines.join('\n'),
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

function ready(child: ChildProcess, lines: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      child.kill('SIGKILL');
      reject(new Error(`${why}:\n${lines.join('\n')}`));
    };
    const timer = setTimeout(() => fail('the server was not ready in time'), START_MS);
    const onExit = (code: number | null): void => fail(`the server ended with ${code}`);
    child.once('exit', onExit);
    if (child.stdout === null) return fail('the server has no output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      const [, url] = /^Parley is ready at (\S+)$/.exec(line) ?? [];
      if (url === undefined) return;
      clearTimeout(timer);
      child.removeListener('exit', onExit);
      resolve(url);
    });
  });
}
