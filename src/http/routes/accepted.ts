import type { FastifyReply } from 'fastify';
import type { Position } from '../../kernel/position.ts';

/** Answers a command: it is durable. `location` is the path of what to read, once it has reached `position`. */
export function accepted(
  reply: FastifyReply,
  done: { _id: string; position: Position },
  location: string,
): FastifyReply {
  return reply.code(202).header('location', location).send({ _id: done._id, position: done.position });
}
