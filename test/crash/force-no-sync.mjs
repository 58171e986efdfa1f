/**
 * For `node --import`: whoever then opens lmdb opens it with `noSync`, the option that the store never uses. The
 * check of power losses must fail on such a store, or it could not fail at all.
 */
import { register } from 'node:module';

const hook = `
export async function resolve(specifier, context, next) {
  if (specifier !== 'lmdb' || context.parentURL?.startsWith('data:')) return next(specifier, context);
  const { url } = await next(specifier, context);
  const text = 'import * as lmdb from ' + JSON.stringify(url) + ';' +
    'export const open = (options) => lmdb.open({ ...options, noSync: true, overlappingSync: false });';
  return { url: 'data:text/javascript,' + encodeURIComponent(text), shortCircuit: true };
}`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
