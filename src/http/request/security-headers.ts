import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

/** Of every answer, unless it is a page: nothing may run it, frame it, sniff it or keep it. */
export const dataHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
} as const;

const none = ["'none'"];
const self = ["'self'"];

/** Pages have a stylesheet and forms, all from here, and no script. */
const pageDirectives = {
  defaultSrc: none,
  styleSrc: self,
  imgSrc: self,
  formAction: self,
  baseUri: none,
  frameAncestors: none,
};

/** The API's documentation is a program, from here. */
const docsDirectives = {
  ...pageDirectives,
  scriptSrc: self,
  connectSrc: self,
  imgSrc: [...self, 'data:'],
  formAction: none,
};

/**
 * Helmet for the pages of a scope. It works anew at each request, which pages can bear and the API cannot; hence `dataHeaders`.
 * @param secure whether the outside comes by HTTPS
 */
export function guardPages(scope: FastifyInstance, pages: 'forms' | 'docs', secure: boolean): void {
  scope.addHook('onRequest', (_request, reply, done) => {
    for (const name of Object.keys(dataHeaders)) if (name !== 'cache-control') reply.removeHeader(name);
    done();
  });
  void scope.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: pages === 'docs' ? docsDirectives : pageDirectives },
    strictTransportSecurity: secure,
    xXssProtection: false,
  });
}
