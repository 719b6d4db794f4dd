import { Type } from 'typebox';
import type { Clock } from '../../ports/clock.ts';
import type { App, AppDeps, Part } from '../deps.ts';

/** A part that has not answered by then is away, in ms. */
const CHECK_MS = 2_000;

const PartState = Type.Object({
  name: Type.String(),
  ready: Type.Boolean(),
  reason: Type.Optional(Type.String({ description: 'Why not' })),
});
const Readiness = (description: string) =>
  Type.Object({ ready: Type.Boolean(), parts: Type.Array(PartState) }, { description });

type Readiness = Readonly<{
  ready: boolean;
  parts: readonly Readonly<{ name: string; ready: boolean; reason?: string }>[];
}>;

/** Whether the process lives, and whether what it needs is there. */
export function addHealthRoutes(app: App, { parts, clock, logger }: Pick<AppDeps, 'parts' | 'clock' | 'logger'>): void {
  app.get(
    '/healthz',
    {
      schema: {
        summary: 'Whether the process lives',
        tags: ['operation'],
        response: { 200: Type.Object({ status: Type.Literal('ok') }, { description: 'It does' }) },
      },
    },
    async () => ({ status: 'ok' as const }),
  );

  /** Probes that come at once share one look. */
  let looking: Promise<Readiness> | null = null;
  const look = async (): Promise<Readiness> => {
    const states = await Promise.all(
      parts.map(async (part) => {
        const reason = await ask(part, clock).catch((error: unknown) => {
          logger.warn({ err: error, part: part.name }, 'a part is away');
          return 'does not answer';
        });
        return reason === null ? { name: part.name, ready: true } : { name: part.name, ready: false, reason };
      }),
    );
    return { ready: states.every(({ ready }) => ready), parts: states };
  };

  app.get(
    '/readyz',
    {
      schema: {
        summary: 'Whether all that it needs is there',
        tags: ['operation'],
        response: { 200: Readiness('It is'), 503: Readiness('Something is away') },
      },
    },
    async (_request, reply) => {
      looking ??= look().finally(() => {
        looking = null;
      });
      const readiness = await looking;
      return reply.code(readiness.ready ? 200 : 503).send({ ready: readiness.ready, parts: [...readiness.parts] });
    },
  );
}

async function ask(part: Part, clock: Clock): Promise<string | null> {
  const answered = new AbortController();
  const late = clock.sleep(CHECK_MS, answered.signal).then(() => 'does not answer in time');
  try {
    return await Promise.race([part.check(), late]);
  } finally {
    answered.abort();
  }
}
