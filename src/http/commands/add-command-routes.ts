import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Target } from '../../commands/claims.ts';
import { preferredLanguage } from '../../kernel/language.ts';
import { networkOf } from '../../kernel/network.ts';
import type { App, AppDeps } from '../deps.ts';
import { principalOf } from '../request/authentication.ts';
import { expectedRevisions } from '../request/preconditions.ts';
import { charge, chargeShared, type RateLimits } from '../request/rate-limits.ts';
import { Accepted, AcceptedPublicly } from '../shapes/common.ts';
import type {
  Call,
  CommandDescription,
  CommandInput,
  CommandPath,
  Outcome,
  PublicCommand,
} from './command-description.ts';
import { mapRequest } from './request-mapping.ts';
import { runCommand } from './run-command.ts';

/** Serves each command under all of its paths. A 202 says that the outcome is durable; `Location` is the resource that shows it. */
export function addCommandRoutes(
  app: App,
  deps: AppDeps,
  limits: RateLimits,
  commands: readonly CommandDescription[],
): void {
  for (const command of commands) {
    for (const path of command.paths) addRoute(app, deps, limits, command, path);
  }
}

function addRoute(app: App, deps: AppDeps, limits: RateLimits, command: CommandDescription, path: CommandPath): void {
  const { summary, description, tag, problems } = command;
  const { schema, read } = mapRequest(command, path);
  app.route({
    method: path.method,
    url: path.path,
    schema: {
      summary,
      ...(description === undefined ? {} : { description }),
      tags: [tag],
      ...schema,
      response: { 202: command.access === 'public' ? AcceptedPublicly : Accepted },
    },
    config: {
      ...(problems === undefined ? {} : { problems }),
      ...(command.ifMatch === true ? { precondition: 'if-match' as const } : {}),
    },
    async handler(request: FastifyRequest, reply: FastifyReply) {
      const input = read(request);
      chargeLimits(limits, command, request);
      if (command.access === 'public') await chargeSharedLimits(limits, command, request);
      const done = await perform(deps, command, request, input);
      const { _id, position } = done;
      reply.code(202).header('location', command.location(done, input));
      return reply.send(command.access === 'public' ? { _id } : { _id, position });
    },
  });
}

function chargeLimits(limits: RateLimits, command: CommandDescription, request: FastifyRequest): void {
  const key = command.access === 'public' ? networkOf(request.ip) : principalOf(request).userId;
  for (const name of command.limits ?? []) charge(limits[name], key);
}

async function chargeSharedLimits(limits: RateLimits, command: PublicCommand, request: FastifyRequest): Promise<void> {
  for (const name of command.sharedLimits ?? []) await chargeShared(limits[name], networkOf(request.ip));
}

async function perform(
  deps: AppDeps,
  command: CommandDescription,
  request: FastifyRequest,
  input: CommandInput,
): Promise<Outcome> {
  const expected = command.ifMatch === true ? expectedRevisions(request) : undefined;
  const owner = command.access === 'public' ? command.owner(deps, input) : principalOf(request).userId;
  const subject = command.access === 'public' ? undefined : command.subject?.(principalOf(request));
  const { aggregate, id, noted } = command.target;
  const target: Target = { aggregate, id: (ids) => id(input, { ids, owner }), noted };
  return runCommand(deps, request, { owner, subject, target }, (context) => {
    const call: Call = { context, expected };
    return command.access === 'public'
      ? command.perform(deps, input, { ...call, language: preferredLanguage(request.headers['accept-language']) })
      : command.perform(deps, input, { ...call, principal: principalOf(request), address: request.ip });
  });
}
