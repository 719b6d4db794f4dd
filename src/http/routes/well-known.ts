import { Type } from 'typebox';
import type { App, AppDeps } from '../deps.ts';

const Keys = Type.Object(
  { keys: Type.Array(Type.Record(Type.String(), Type.Unknown())) },
  { description: 'The public keys (RFC 7517)' },
);

const Discovery = Type.Object(
  { issuer: Type.String(), jwks_uri: Type.String(), id_token_signing_alg_values_supported: Type.Array(Type.String()) },
  { description: 'The issuer, and where its keys are' },
);

/** What other services need to verify access tokens. */
export function addWellKnownRoutes(app: App, { identity, config }: Pick<AppDeps, 'identity' | 'config'>): void {
  app.get(
    '/.well-known/jwks.json',
    { schema: { summary: 'Get the keys that verify access tokens', tags: ['sessions'], response: { 200: Keys } } },
    async (_request, reply) => {
      const keys = (await identity.jwks()).keys.map((key) => ({ ...key }));
      return reply.header('cache-control', 'public, max-age=300').send({ keys });
    },
  );
  app.get(
    '/.well-known/openid-configuration',
    { schema: { summary: 'Discover issuer and keys', tags: ['sessions'], response: { 200: Discovery } } },
    async (_request, reply) => {
      const algorithms = (await identity.jwks()).keys.flatMap(({ alg }) => (alg === undefined ? [] : [alg]));
      return reply.header('cache-control', 'public, max-age=300').send({
        issuer: config.publicUrl,
        jwks_uri: `${config.publicUrl}/.well-known/jwks.json`,
        id_token_signing_alg_values_supported: [...new Set(algorithms)],
      });
    },
  );
}
