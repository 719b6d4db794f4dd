// Prepares a fresh clone: installs the packages of the lock file, unless they are already installed.
// Runs before `npm start` and `npm test`, and therefore on the Node that npm itself runs on (18 or later), without dependencies.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR = 24;
const root = fileURLToPath(new URL('..', import.meta.url));
const packagedNode = `${root}node_modules/.bin/node${process.platform === 'win32' ? '.cmd' : ''}`;

if (!isInstalled()) install();
if (process.platform === 'win32') provideExec();

/** Compares the lock file with npm's record of the installed packages. */
function isInstalled() {
  const wanted = readPackages('package-lock.json');
  const installed = readPackages('node_modules/.package-lock.json');
  if (wanted === undefined || installed === undefined) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed[path];
    // Packages for other platforms are optional, and npm does not install them.
    if (found === undefined) return Boolean(entry.optional || entry.devOptional);
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

function readPackages(path) {
  try {
    return JSON.parse(readFileSync(root + path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

function install() {
  const started = Date.now();
  console.log('setup: installing packages; the first time takes about a minute');
  const args = ['ci', '--include=dev', '--include=optional', '--prefer-offline', '--loglevel=error'];
  const { status, error, stdout, stderr } = runNpm(args);
  if (status !== 0) {
    console.error(`${stdout ?? ''}${stderr ?? ''}setup: npm ci failed${error ? ` (${error.message})` : ''}`);
    process.exit(status || 1);
  }
  chooseNode();
  console.log(`setup: installed in ${Math.round((Date.now() - started) / 1000)} s`);
}

/** Runs the current npm on the Node that runs it: the one in node_modules is being replaced. */
function runNpm(args) {
  const { npm_execpath: npm, npm_node_execpath: node } = process.env;
  const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64 * 1024 * 1024 };
  return npm?.endsWith('.js')
    ? spawnSync(node ?? process.execPath, [npm, ...args], options)
    : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' });
}

/**
 * `npm start` runs `exec node …`, so that signals to npm reach the server and not a shell around it. On Windows, which has neither such signals nor
 * `exec`, a command of this name runs its arguments.
 */
function provideExec() {
  const path = `${root}node_modules/.bin/exec.cmd`;
  if (!existsSync(path)) writeFileSync(path, '@%*\r\n');
}

/** Scripts use the packaged Node, or the machine's own where the packaged one is missing or does not run (macOS on ARM, musl). */
function chooseNode() {
  if (existsSync(packagedNode)) {
    const { status } = spawnSync(packagedNode, ['--version'], { shell: process.platform === 'win32' });
    if (status === 0) return;
    rmSync(packagedNode, { force: true });
  }
  const { stdout } = spawnSync('node', ['--version'], { encoding: 'utf8', shell: process.platform === 'win32' });
  if (Number.parseInt(stdout?.slice(1) ?? '', 10) >= NODE_MAJOR) return;
  console.error(
    `setup: no packaged Node ${NODE_MAJOR} for ${process.platform} ${process.arch}; install Node ${NODE_MAJOR} or later`,
  );
  rmSync(`${root}node_modules/.package-lock.json`, { force: true });
  process.exit(1);
}
