// Loaded before the server, on each of its threads (`node --import`): keeps the code that Node has stripped of types and compiled. From the second start on,
// no thread loads the module that strips types, which saves 40 MiB of memory and a third of the time to start. `npm ci` removes the cache with node_modules;
// where its folder cannot be written, Node goes on without. This file is JavaScript, because it runs before anything is cached.
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/node', import.meta.url)));
