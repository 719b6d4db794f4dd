import swaggerUi from '@fastify/swagger-ui';
import type { App } from '../deps.ts';

/** The OpenAPI document. */
export function addOpenApiRoute(app: App): void {
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
    return reply.header('cache-control', 'public, max-age=300').send(app.swagger());
  });
}

/** The same as a page, from which requests can be sent. */
export function addDocsRoutes(scope: App): void {
  void scope.register(swaggerUi, {
    routePrefix: '/docs',
    uiConfig: { url: '/openapi.json', deepLinking: true, docExpansion: 'list', tryItOutEnabled: true },
    theme: {
      title: 'Parley API',
      // Hides the tool's own bar, which is of no use with a single document.
      css: [{ filename: 'parley.css', content: '.swagger-ui .topbar { display: none }' }],
    },
  });
}
