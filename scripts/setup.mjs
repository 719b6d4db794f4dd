// Makes a fresh clone ready: installs what the lock file names, when it is not there already.
// Runs before `npm start` and `npm test`, hence on whatever Node npm itself runs on (18 or later), with no dependency.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR = 24;
const root = fileURLToPath(new URL('..', import.meta.url));
const packagedNode = `${root}node_modules/.bin/node${process.platform === 'win32' ? '.cmd' : ''}`;

if (!isInstalled()) install();

/** Whether node_modules is what the lock file says, by the record that npm keeps of what it installed. */
function isInstalled() {
  const wanted = readPackages('package-lock.json');
  const installed = readPackages('node_modules/.package-lock.json');
  if (wanted === undefined || installed === undefined) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed[path];
    // Packages of other platforms are optional; npm leaves them out.
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
  console.log('setup: installing packages, this takes about a minute the first time');
  const args = ['ci', '--include=dev', '--include=optional', '--prefer-offline', '--loglevel=error'];
  const { status, error, stdout, stderr } = runNpm(args);
  if (status !== 0) {
    console.error(`${stdout ?? ''}${stderr ?? ''}setup: npm ci failed${error ? ` (${error.message})` : ''}`);
    process.exit(status || 1);
  }
  chooseNode();
  console.log(`setup: installed in ${Math.round((Date.now() - started) / 1000)} s`);
}

/** npm as it was started, under the Node it was started with: the one in node_modules is about to be replaced. */
function runNpm(args) {
  const { npm_execpath: npm, npm_node_execpath: node } = process.env;
  const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64 * 1024 * 1024 };
  return npm?.endsWith('.js')
    ? spawnSync(node ?? process.execPath, [npm, ...args], options)
    : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' });
}

/** The scripts run on the packaged Node, or where there is none that runs here (macOS on ARM, musl) on the machine's own. */
function chooseNode() {
  if (existsSync(packagedNode)) {
    const { status } = spawnSync(packagedNode, ['--version'], { shell: process.platform === 'win32' });
    if (status === 0) return;
    rmSync(packagedNode, { force: true });
  }
  const { stdout } = spawnSync('node', ['--version'], { encoding: 'utf8', shell: process.platform === 'win32' });
  if (Number.parseInt(stdout?.slice(1) ?? '', 10) >= NODE_MAJOR) return;
  console.error(
    `setup: found no Node ${NODE_MAJOR} for ${process.platform} ${process.arch}; please install Node ${NODE_MAJOR} or later`,
  );
  rmSync(`${root}node_modules/.package-lock.json`, { force: true });
  process.exit(1);
}
