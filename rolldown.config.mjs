/**
 * Makes the shard thread one file, and a few for what it loads on demand: each worker, the spare and whatever takes the
 * place of one load it, and two hundred files, each looked up and linked by itself, take more than twice as long.
 * Packages stay packages: what is in node_modules can be looked at and replaced there.
 */
import { defineConfig } from 'rolldown';

export default defineConfig({
  input: { 'shard-thread.bundle': 'dist/server/shard-thread.js' },
  platform: 'node',
  external: /^@?[a-z]/,
  output: { dir: 'dist/server', chunkFileNames: '[name].bundle.js', sourcemap: true },
});
