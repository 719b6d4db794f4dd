import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

/** Headers of every response that is not a page: it must not be executed, framed, sniffed or cached. */
export const dataHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
} as const;

/** One year, as HSTS preload lists require at least. */
const HSTS = 'max-age=31536000; includeSubDomains';

/** `dataHeaders`, with HSTS when users reach this server by HTTPS. Every answer has these, unless it is a page, which replaces all but HSTS. */
export function securityHeaders(publicUrl: string): Readonly<Record<string, string>> {
  return publicUrl.startsWith('https:') ? { ...dataHeaders, 'strict-transport-security': HSTS } : dataHeaders;
}

const none = ["'none'"];
const self = ["'self'"];

/** Pages have a stylesheet and forms of this origin, and no script. */
const pageDirectives = {
  defaultSrc: none,
  styleSrc: self,
  imgSrc: self,
  formAction: self,
  baseUri: none,
  frameAncestors: none,
};

/** The API documentation also runs scripts of this origin. */
const docsDirectives = {
  ...pageDirectives,
  scriptSrc: self,
  connectSrc: self,
  imgSrc: [...self, 'data:'],
  formAction: none,
};

/**
 * Adds Helmet to a scope of pages. It builds the headers anew for each request, which is too slow for the API; hence `dataHeaders`. HSTS is set for
 * all answers alike.
 */
export function guardPages(scope: FastifyInstance, pages: 'forms' | 'docs'): void {
  scope.addHook('onRequest', (_request, reply, done) => {
    for (const name of Object.keys(dataHeaders)) if (name !== 'cache-control') reply.removeHeader(name);
    done();
  });
  void scope.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: pages === 'docs' ? docsDirectives : pageDirectives },
    strictTransportSecurity: false,
    xXssProtection: false,
  });
}
