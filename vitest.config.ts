import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    // Real processes and sockets share two cores with the tests that start them.
    maxWorkers: 2,
    // They end what hangs; how long something takes here says how busy the machine is.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
