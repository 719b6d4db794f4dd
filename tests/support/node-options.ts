import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);

/** The options of Node with which `npm start` runs the server, independent of the working directory. */
export const NODE_OPTIONS: readonly string[] = (startScript().match(/ --\S+/g) ?? []).map((option) =>
  option.trim().replace('=./', `=${fileURLToPath(root)}`),
);

function startScript(): string {
  const { scripts } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { scripts: { start: string } };
  return scripts.start;
}
