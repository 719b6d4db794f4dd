import swaggerUi from '@fastify/swagger-ui';
import type { App } from '../deps.ts';

/** The description of the API for programs. */
export function addOpenApiRoute(app: App): void {
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
    return reply.header('cache-control', 'public, max-age=300').send(app.swagger());
  });
}

/** The same for people, to read and to try. */
export function addDocsRoutes(scope: App): void {
  void scope.register(swaggerUi, {
    routePrefix: '/docs',
    uiConfig: { url: '/openapi.json', deepLinking: true, docExpansion: 'list', tryItOutEnabled: true },
    // Without the bar of the tool that draws the page.
    theme: {
      title: 'Parley: the API',
      css: [{ filename: 'parley.css', content: '.swagger-ui .topbar { display: none }' }],
    },
  });
}
