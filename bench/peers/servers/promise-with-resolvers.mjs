/** `Promise.withResolvers` where it is missing: Restate's SDK expects Node 22, and on Node 20 lacks nothing else. */
Promise.withResolvers ??= () => {
  let resolve;
  let reject;
  const promise = new Promise((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
};
