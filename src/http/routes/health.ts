import { Type } from 'typebox';
import type { Clock } from '../../ports/clock.ts';
import { LATE, within } from '../../ports/within.ts';
import type { App, AppDeps, HttpConfig, ReadinessCheck } from '../deps.ts';
import { createOperatorCheck } from './metrics.ts';

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
  {
    readinessChecks,
    clock,
    logger,
    config,
  }: Pick<AppDeps, 'readinessChecks' | 'clock' | 'logger'> & Readonly<{ config: Pick<HttpConfig, 'metricsToken'> }>,
): void {
  const isOperator = createOperatorCheck(config);
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

  /** The reasons of the latest run. Only changes are logged: probes come often. */
  const reasons = new Map<string, string>();
  const logChange = (check: string, reason: string | null): void => {
    if ((reasons.get(check) ?? null) === reason) return;
    if (reason === null) {
      reasons.delete(check);
      logger.info({ check }, 'ready again');
    } else {
      reasons.set(check, reason);
      logger.warn({ check, reason }, 'not ready');
    }
  };

  const checkAll = async (): Promise<Readiness> => {
    const parts = await Promise.all(
      readinessChecks.map(async (check) => {
        const reason = await run(check, clock).then(
          (found) => {
            logChange(check.name, found);
            return found;
          },
          (error: unknown) => {
            logger.warn({ err: error, check: check.name }, 'readiness check failed');
            return 'does not answer';
          },
        );
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
        description: 'The reasons are shown to those who may read the metrics; they are in the log too.',
        tags: ['operation'],
        response: { 200: ReadinessShape('All are ready'), 503: ReadinessShape('At least one is not ready') },
      },
    },
    async (request, reply) => {
      running ??= checkAll().finally(() => {
        running = null;
      });
      const { ready, parts } = await running;
      const shown = isOperator(request) ? parts : parts.map(({ name, ready: isReady }) => ({ name, ready: isReady }));
      return reply.code(ready ? 200 : 503).send({ ready, parts: shown });
    },
  );
}

async function run(check: ReadinessCheck, clock: Clock): Promise<string | null> {
  const reason = await within(clock, CHECK_MS, check.check());
  return reason === LATE ? 'does not answer in time' : reason;
}
