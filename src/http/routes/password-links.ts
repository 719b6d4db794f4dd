import { Type } from 'typebox';
import { closed } from '../../commands/fields.ts';
import type { App, AppDeps } from '../deps.ts';

/** Whether a mailed link can still be used. */
export function addPasswordLinkQuery(app: App, { identity }: Pick<AppDeps, 'identity'>): void {
  app.get(
    '/api/v1/password-tokens/:token',
    {
      schema: {
        summary: 'Check a mailed link',
        tags: ['accounts'],
        params: closed({ token: Type.String() }),
        response: { 204: Type.Null({ description: 'The link can be used' }) },
      },
      config: { problems: ['invalid-link'] },
    },
    async (request, reply) => {
      await identity.checkPasswordLink(request.params.token);
      return reply.code(204).send(null);
    },
  );
}
