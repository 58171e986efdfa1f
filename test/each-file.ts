/**
 * Runs with each test file. Files of one worker share their modules, which saves loading them three hundred times; so a
 * hook that belongs to every file is registered here, and none at the top of a module that files share.
 */
import { afterAll } from 'vitest';
import { clearAway } from './server/running-node.ts';

afterAll(clearAway);
