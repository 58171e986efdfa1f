/**
 * Opens the data folder, prints `held` or `refused <code> <holder>`, and holds it until it is killed or,
 * with `release`, gives it up at once.
 *
 * node hold-data-folder.mjs <built store> <folder> [release]
 */
const [built, path, ending] = process.argv.slice(2);
const { openDataFolder } = await import(`${built}data-folder.js`);
try {
  const folder = await openDataFolder(path);
  console.log('held');
  if (ending === 'release') await folder.close();
  else setInterval(() => {}, 1000);
} catch (error) {
  console.log(`refused ${error.code} ${error.holderPid} ${error.message}`);
}
