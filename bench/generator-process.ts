/**
 * A generator as a process of its own: nothing of the bench's parent (printing, waiting, merging) and
 * nothing of the server can hold its event loop. Talks to its parent over the fork channel: gets a plan,
 * says `ready` when every connection stands, starts on `start` (so that several begin together), sends
 * progress and one result. Ends when the parent does.
 */
import type { LoadPlan, LoadProgress, LoadResult } from './load-plan.ts';
import { LoadRun } from './load-run.ts';

export type GeneratorCommand = { readonly type: 'plan'; readonly plan: LoadPlan } | { readonly type: 'start' };
export type GeneratorReport =
  | { readonly type: 'ready' }
  | { readonly type: 'progress'; readonly progress: LoadProgress }
  | { readonly type: 'result'; readonly result: LoadResult }
  | { readonly type: 'failed'; readonly message: string };

function tell(report: GeneratorReport): void {
  process.send?.(report);
}

let connecting: Promise<LoadRun> | null = null;

async function obey(command: GeneratorCommand): Promise<void> {
  if (command.type === 'plan') {
    connecting = LoadRun.connect(command.plan);
    await connecting;
    tell({ type: 'ready' });
  } else {
    const run = await connecting;
    if (run === null) throw new Error('the generator was started before it had a plan');
    tell({ type: 'result', result: await run.run((progress) => tell({ type: 'progress', progress })) });
    process.disconnect();
  }
}

process.on('message', (command: GeneratorCommand) => {
  obey(command).catch((error: unknown) => {
    tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
    process.disconnect();
  });
});
process.on('disconnect', () => {
  // The parent is gone, or has its result: open sockets must not keep an orphan spinning.
  connecting?.then(
    (run) => run.close(),
    () => {},
  );
});
