import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    environment: 'node',
    // A process per file: tests own their environment variables, native modules and open files.
    pool: 'forks',
    maxWorkers: 2,
    execArgv: ['--disable-warning=ExperimentalWarning', '--import=./scripts/compile-cache.mjs'],
    // Only for what hangs: tests have deadlines of their own, and some start servers, which takes many seconds when other processes need the processors.
    testTimeout: 60_000,
    hookTimeout: 90_000,
    unstubEnvs: true,
    // Code under test is loaded as in production: by Node itself, which strips the types.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    reporters: ['default', './tests/support/reporter.ts'],
  },
});
