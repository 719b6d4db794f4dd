import { Type } from 'typebox';
import type { Clock } from '../../ports/clock.ts';
import { LATE, within } from '../../ports/within.ts';
import type { App, AppDeps, ReadinessCheck } from '../deps.ts';

/** How long a readiness check may take, in ms. */
const CHECK_MS = 2_000;

const PartShape = Type.Object({
  name: Type.String(),
  ready: Type.Boolean(),
  reason: Type.Optional(Type.String({ description: 'Why it is not ready' })),
});
const ReadinessShape = (description: string) =>
  Type.Object({ ready: Type.Boolean(), parts: Type.Array(PartShape) }, { description });

/** The body of `/readyz`, with one entry for each check. */
type Readiness = { ready: boolean; parts: { name: string; ready: boolean; reason?: string }[] };

/** Liveness of the process, and readiness of what it depends on. */
export function addHealthRoutes(
  app: App,
  { readinessChecks, clock, logger }: Pick<AppDeps, 'readinessChecks' | 'clock' | 'logger'>,
): void {
  app.get(
    '/healthz',
    {
      schema: {
        summary: 'Check that the process runs',
        tags: ['operation'],
        response: { 200: Type.Object({ status: Type.Literal('ok') }, { description: 'It runs' }) },
      },
    },
    async () => ({ status: 'ok' as const }),
  );

  const checkAll = async (): Promise<Readiness> => {
    const parts = await Promise.all(
      readinessChecks.map(async (check) => {
        const reason = await run(check, clock).catch((error: unknown) => {
          logger.warn({ err: error, check: check.name }, 'readiness check failed');
          return 'does not answer';
        });
        return reason === null ? { name: check.name, ready: true } : { name: check.name, ready: false, reason };
      }),
    );
    return { ready: parts.every(({ ready }) => ready), parts };
  };
  /** Concurrent probes share one run of the checks. */
  let running: Promise<Readiness> | null = null;

  app.get(
    '/readyz',
    {
      schema: {
        summary: 'Check that all dependencies are ready',
        tags: ['operation'],
        response: { 200: ReadinessShape('All are ready'), 503: ReadinessShape('At least one is not ready') },
      },
    },
    async (_request, reply) => {
      running ??= checkAll().finally(() => {
        running = null;
      });
      const readiness = await running;
      return reply.code(readiness.ready ? 200 : 503).send(readiness);
    },
  );
}

async function run(check: ReadinessCheck, clock: Clock): Promise<string | null> {
  const reason = await within(clock, CHECK_MS, check.check());
  return reason === LATE ? 'does not answer in time' : reason;
}
