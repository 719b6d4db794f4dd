import { runCli } from '../../src/cli/run.ts';
import { openInstallation } from '../../src/compose/without-server.ts';
import { silentLogger } from '../../src/kernel/logger.ts';

/** What a run of `parley` has printed, and its exit code. */
export type Run = Readonly<{ code: number; out: readonly string[]; err: readonly string[] }>;

/** Runs `parley` in this process. */
export async function parley(env: Readonly<Record<string, string>>, ...argv: readonly string[]): Promise<Run> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await runCli(argv, env, {
    print: (line) => out.push(line),
    printError: (line) => err.push(line),
    openStores: (config) => openInstallation(config, silentLogger),
  });
  return { code, out, err };
}
